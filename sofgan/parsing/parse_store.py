"""Label maps of a whole photo store, resumable block by block.

On a CPU each thread takes photos from their bytes to their maps with a network of one thread: nothing waits for
the slowest part of a convolution, and decoding and encoding need no cores of their own. On a GPU threads decode
and encode around it, and it gets a batch ahead of the one whose maps are fetched.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from sofgan import runtime
from sofgan.images import to_network_range
from sofgan.labels import NAMES, class_areas, colorize
from sofgan.parallel import ordered_map
from sofgan.parsing.config import ParseFaces
from sofgan.parsing.fast.inference import InferenceParser, prepare_for_inference
from sofgan.parsing.parser import FaceParser, load_parser
from sofgan.photos.decoding import encode_labels
from sofgan.photos.store import SHARD_PHOTOS, PhotoStore, PhotoStoreWriter
from sofgan.pieces import Pieces
from sofgan.progress import SILENT, Part, Progress
from sofgan.runtime import use_gpu

# Pixels that a CPU thread takes at once: more fall out of its cache, fewer are dear to call for.
_CPU_PIXELS = 512 * 512
BLOCK_PHOTOS = SHARD_PHOTOS  # photos in a piece of the work


@dataclass(frozen=True)
class ParserFile:
    """A parser by its weights file, which may be sent to other processes and is loaded once in each.

    Attributes:
        path: as `sofgan.parsing.parser.save_parser` writes it.
        sha256: digest of the file, by which a process that lives long sees that it is another one.
        device: torch's name of where to parse.
    """

    path: Path
    sha256: str
    device: str = "cpu"

    def load(self) -> InferenceParser:
        """The parser, made ready to parse."""
        return _loaded(self)


@lru_cache(1)
def _loaded(file: ParserFile) -> InferenceParser:
    use_gpu(file.device, exact=True)
    return prepare_for_inference(load_parser(file.path, file.device))


def parse_store(
    photos: PhotoStore,
    parser: FaceParser | ParserFile,
    path: str | Path,
    config: ParseFaces,
    work: Pieces,
    workers: int = 1,
) -> int:
    """Write a store of label maps with the keys, order and splits of `photos`.

    A killed run continues at the first block of photos that isn't among its pieces. The maps depend on neither the
    number of threads nor `workers`.

    Args:
        parser: a file, where other processes are to parse.
        workers: threads that decode, and as many that encode, around a GPU. A CPU uses torch's own number of
            threads instead.

    Returns:
        How many photos were parsed in this call.
    """
    folder, progress = work.folder, work.progress
    starts = range(0, len(photos), BLOCK_PHOTOS)
    missing = [start for start in starts if not (folder / f"{start:07d}").is_dir()]
    blocks = [range(start, min(start + BLOCK_PHOTOS, len(photos))) for start in missing]
    total = sum(map(len, blocks))
    done = len(photos) - total
    progress.items(done, len(photos), "photos")
    if work.mapper is None:
        ready = parser if isinstance(parser, ParserFile) else prepare_for_inference(parser)
        for block in blocks:
            part = Part(progress, done, len(photos))
            done += _write_block(block, photos, ready, folder, config, workers, part)
    else:
        task = partial(
            _write_block, photos=photos, parser=parser, folder=folder, config=config, workers=workers
        )
        for count in work.mapper(task, blocks):
            done += count
            progress.items(done, len(photos), "photos")
    with PhotoStoreWriter(path) as writer:
        for start in starts:
            block = PhotoStore(folder / f"{start:07d}")
            for index in range(len(block)):
                record = block[index]
                writer.add(record.key, labels=record.labels, split=record.split)
    return total


def _write_block(
    block: range,
    photos: PhotoStore,
    parser: InferenceParser | ParserFile,
    folder: Path,
    config: ParseFaces,
    workers: int,
    progress: Progress = SILENT,
) -> int:
    """A store of the label maps of some photos, in `folder`; how many they are."""
    ready = parser.load() if isinstance(parser, ParserFile) else parser
    parse = _parse_block_on_gpu if ready.mean.device.type == "cuda" else _parse_block_on_cpu
    splits = photos.splits()
    with PhotoStoreWriter(folder / f"{block.start:07d}") as writer:
        for batch, maps in parse(photos, ready, block, config, workers):
            for index, labels in zip(batch, maps):
                writer.add(photos.key(index), labels=labels, split=int(splits[index]))
            progress.items(batch.stop - block.start, len(block), "photos")
    return len(block)


def _parse_block_on_cpu(
    photos: PhotoStore, parser: InferenceParser, block: range, config: ParseFaces, workers: int
) -> Iterator[tuple[range, list[bytes]]]:
    """Batches of indices with their maps as PNGs."""
    size, threads, before = _decoded_size(config, parser), runtime.threads(), torch.get_num_threads()

    def parse(batch: range) -> tuple[range, list[bytes]]:
        torch.set_num_threads(1)  # Of this thread: a pool of OpenMP's for each would fight for the cores.
        images = to_network_range(np.stack([photos.image(index, size) for index in batch]))
        maps = parser.parse(images, config.label_size, config.mirror, config.scales)
        return batch, [encode_labels(labels) for labels in maps]

    count = min(config.batch, max(1, _CPU_PIXELS // size**2))
    try:
        yield from ordered_map(parse, _batches(block, count), threads)
    finally:
        torch.set_num_threads(before)


def _parse_block_on_gpu(
    photos: PhotoStore, parser: InferenceParser, block: range, config: ParseFaces, workers: int
) -> Iterator[tuple[range, list[bytes]]]:
    """Parse a block on a GPU. The only wait for it is for maps, once the next batch is on its way."""
    size, device = _decoded_size(config, parser), parser.mean.device

    def decode(batch: range) -> tuple[range, torch.Tensor]:
        images = np.stack([photos.image(index, size) for index in batch])
        return batch, torch.from_numpy(images).pin_memory()

    @torch.inference_mode()
    def launch(batch: range, images: torch.Tensor) -> tuple[range, torch.Tensor, torch.cuda.Event]:
        images = images.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast("cuda", torch.bfloat16, enabled=config.autocast):
            ids = parser.class_ids(images, config.label_size, config.mirror, config.scales)
        fetched = torch.empty(ids.shape, dtype=ids.dtype, pin_memory=True)
        fetched.copy_(ids, non_blocking=True)
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(device))
        return batch, fetched, done

    def fetch(batch: range, fetched: torch.Tensor, done: torch.cuda.Event) -> tuple[range, np.ndarray]:
        done.synchronize()
        return batch, fetched.numpy()

    def parsed() -> Iterator[tuple[range, np.ndarray]]:
        launched = deque()
        for decoded in ordered_map(decode, _batches(block, config.batch), workers):
            launched.append(launch(*decoded))
            if len(launched) > 1:
                yield fetch(*launched.popleft())
        while launched:
            yield fetch(*launched.popleft())

    def encode(one: tuple[range, np.ndarray]) -> tuple[range, list[bytes]]:
        return one[0], [encode_labels(labels) for labels in parser.to_labels(one[1])]

    yield from ordered_map(encode, parsed(), workers, ahead=2)


def _decoded_size(config: ParseFaces, parser: InferenceParser) -> int:
    return round(parser.config.size * max(1.0, *config.scales))


def _batches(block: range, count: int) -> list[range]:
    return [block[start : start + count] for start in range(0, len(block), count)]


def picture_parsed(photos: PhotoStore, labels: PhotoStore, count: int, size: int = 128) -> np.ndarray:
    """The first photos above their maps: (2 * size, count * size, 3) uint8."""
    columns = [
        np.concatenate([photos.image(i, size), colorize(labels.labels(i, size))])
        for i in range(min(count, len(photos)))
    ]
    return np.concatenate(columns, 1)


def mean_class_areas(labels: PhotoStore) -> dict[str, float]:
    """Share of each class in a store's maps, each map counting alike."""
    areas = sum(class_areas(labels.labels(i)) for i in range(len(labels))) / max(1, len(labels))
    return dict(zip(NAMES, map(float, areas)))
