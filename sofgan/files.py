"""Files that appear whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

FIGURES = "figures.json"  # of a batch, beside what a stage makes of it


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place if the block ends well.

    The block may make a file or a folder there. On an exception it is removed and what was at `path` stays.
    The temporary name keeps the suffix, by which writers choose a format. A process that is killed leaves a
    folder `.NAME.partial-*` behind, which `.dvcignore` and `.gitignore` keep out of hashes and commits.

    Raises:
        FileNotFoundError: `path` is in such a folder, which is there no more.
    """
    path = Path(path)
    if gone := [parent for parent in path.parents if ".partial-" in parent.name and not parent.is_dir()]:
        # Whoever made it was stopped and has removed it; made again by another process it would stay.
        raise FileNotFoundError(f"{gone[-1]} is gone: what was being made there was given up")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    temporary = folder / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            os.replace(path, folder / f"{path.name}.old")
        os.replace(temporary, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file whole, to disk before it takes its name."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: str | os.PathLike, value) -> None:
    """Write JSON with sorted keys, so that equal values are equal bytes. NaN is refused, being no JSON."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: str | os.PathLike):
    """The value of a JSON file."""
    return json.loads(Path(path).read_text())


def write_npz(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Write a compressed archive of arrays; equal arrays are equal bytes."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an (H, W), (H, W, 3) or (H, W, 4) uint8 array as a PNG."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="PNG")


def sha256_file(path: str | os.PathLike) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
