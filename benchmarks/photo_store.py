"""What the photo store costs for a set of FFHQ's size, with tiny records, so that little but bookkeeping is timed.

Writes the records, opens the store, reads records at random and beside them single files of the same content, and
reads the whole store in several processes at once. Run from the project's root:

    python -m benchmarks.photo_store [--check]

Limits: writing takes 1 ms a photo, the store has 1000 files, and every reader finds what was written.
"""

import argparse
import hashlib
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import harness
from sofgan.photos.store import HELD_OUT, PhotoStore, PhotoStoreWriter, held_out

MOST_MS, MOST_FILES = 1.0, 1000
LABELS = b"label map"


def _content(index: int, size: int) -> bytes:
    return hashlib.blake2b(str(index).encode(), digest_size=32).digest() * (size // 32)


def _write(path: Path, count: int, size: int) -> float:
    """Seconds of the store's own work; making the contents is not counted."""
    spent = 0.0
    writer = PhotoStoreWriter(path)
    start = time.perf_counter()
    writer.__enter__()
    spent += time.perf_counter() - start
    for index in range(count):
        content, key = _content(index, size), f"{index // 1000 * 1000:05d}/{index:05d}"
        start = time.perf_counter()
        writer.add(key, content, LABELS, held_out(key, 0.05))
        spent += time.perf_counter() - start
    start = time.perf_counter()
    writer.__exit__(None, None, None)
    return spent + time.perf_counter() - start


def _read(store: PhotoStore, order: np.ndarray, size: int) -> tuple[float, int]:
    """Microseconds a record, and how many are not as written."""
    start = time.perf_counter()
    found = [store[index].bytes for index in order]
    spent = time.perf_counter() - start
    wrong = sum(content != _content(int(index), size) for index, content in zip(order, found))
    return spent / len(order) * 1e6, wrong


def _read_files(folder: Path, order: np.ndarray, size: int) -> float:
    """Microseconds a file, of files of the same contents: as many as are read, in folders of a thousand."""
    places = [folder / f"{index // 1000:03d}" / f"{index:05d}.jpg" for index in np.unique(order)]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_content(int(place.stem), size))
    paths = [str(folder / f"{index // 1000:03d}" / f"{index:05d}.jpg") for index in order]
    start = time.perf_counter()
    for path in paths:
        with open(path, "rb") as file:
            file.read()
    return (time.perf_counter() - start) / len(order) * 1e6


def _digest(store: PhotoStore, answers) -> None:
    digest = hashlib.sha256()
    for index in range(len(store)):
        digest.update(store[index].bytes)
    answers.put(digest.hexdigest())


def _read_together(store: PhotoStore, readers: int) -> tuple[set[str], float]:
    """Digests that processes find who read all records at the same time, and the seconds it took."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=_digest, args=(store, answers)) for _ in range(readers)]
    start = time.perf_counter()
    for process in processes:
        process.start()
    found = {answers.get(timeout=600) for _ in processes}
    for process in processes:
        process.join()
    return found, time.perf_counter() - start


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__)
    found.add_argument("--photos", type=int, default=70000)
    found.add_argument("--bytes", type=int, default=512, help="of a photo, a multiple of 32")
    found.add_argument("--reads", type=int, default=10000, help="random accesses")
    found.add_argument("--readers", type=int, default=3, help="processes at once")
    return found


def main(arguments) -> list[bool]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        written = _write(path, arguments.photos, arguments.bytes)
        files = sum(1 for file in path.rglob("*") if file.is_file())
        start = time.perf_counter()
        store = PhotoStore(path)
        opened = time.perf_counter() - start
        order = np.random.default_rng(0).integers(0, arguments.photos, arguments.reads)
        first, wrong = _read(store, order, arguments.bytes)
        again, _ = _read(store, order, arguments.bytes)
        single = _read_files(Path(folder) / "files", order, arguments.bytes)
        start = time.perf_counter()
        held = int((store.splits() == HELD_OUT).sum())
        keys = len(set(store.keys()))
        listed = time.perf_counter() - start
        found, together = _read_together(store, arguments.readers)
        expected = hashlib.sha256()
        for index in range(arguments.photos):
            expected.update(_content(index, arguments.bytes))
        strangers = len(found - {expected.hexdigest()})
    cost = written / arguments.photos * 1e3
    print(f"{arguments.photos} photos of {arguments.bytes} bytes")
    print(f"opening           {opened * 1e3:7.1f} ms")
    print(f"all keys, splits  {listed * 1e3:7.1f} ms ({keys} keys, {held} held out)")
    print(f"random access     {first:7.1f} us a record at first, {again:.1f} again")
    print(f"single files      {single:7.1f} us a file, in the disk's cache")
    print(f"{arguments.readers} processes read all of it at once in {together:.1f} s")
    return [
        harness.verdict("files", files, at_most=MOST_FILES),
        harness.verdict("keys that are missing", arguments.photos - keys, at_most=0),
        harness.verdict("records read otherwise than written", wrong, at_most=0),
        harness.verdict("other contents that processes at once read", strangers, at_most=0),
        harness.verdict("ms to write a photo", cost, at_most=MOST_MS),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
