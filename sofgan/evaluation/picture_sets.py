"""Sets of pictures that scores compare: those of a folder or a photo store, or painted by a generator.

A set knows its digest, sizes and formats before a picture is decoded. Pictures come as their centred squares.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from sofgan.baselines.painter import Painter, load_painter
from sofgan.config import ConfigError
from sofgan.errors import InputError, MissingInput
from sofgan.files import sha256_file
from sofgan.labels import resize
from sofgan.photos.compression import PAINTED, Compression, Summary, compression
from sofgan.photos.decoding import PhotoError, decode
from sofgan.photos.folder import list_tree, natural_key, read_regular
from sofgan.photos.store import PhotoStore
from sofgan.progress import SILENT, Progress
from sofgan.seeds import numpy_generator
from sofgan.siw.model import to_uint8
from sofgan.siw.painted_sets import paint_all

BATCH = 16  # pictures painted or decoded at a time by a thread


# Makes what is needed of a picture (S, S, 3) uint8 of any S, so that no two large ones are in memory.
Prepare = Callable[[np.ndarray], object]


class PictureSet(Protocol):
    """Pictures by number.

    Attributes:
        name: as it is told to the user.
        digest: sha256 of what decides on the pictures, in their order: of the files' own sha256, or of generator, label
            maps, number and seed.
        summary: sizes and formats.
        left_out: why files of it are no pictures.
        hashes: sha256 of each file; none of painted pictures.
    """

    name: str
    digest: str
    summary: Summary
    left_out: list[str]
    hashes: Sequence[bytes]

    def __len__(self) -> int: ...

    def read(self, rows: range, prepare: Prepare) -> tuple[list, list[str]]:
        """What is made of the pictures with these numbers, and why others of them can't be decoded."""


@dataclass(frozen=True)
class FileSet:
    """Pictures of files. `contents` reads a file's bytes by number."""

    name: str
    digest: str
    summary: Summary
    files: Sequence[str]
    contents: Sequence[Callable[[], bytes]]
    hashes: Sequence[bytes]
    left_out: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files)

    def read(self, rows: range, prepare: Prepare) -> tuple[list, list[str]]:
        """As of `PictureSet`."""
        made, damaged = [], []
        for row in rows:
            try:
                made.append(prepare(square(decode(self.contents[row]()))))
            except (PhotoError, OSError) as error:
                damaged.append(f"{self.files[row]}: {_reason(error)}")
        return made, damaged


@dataclass(frozen=True)
class PaintedSet:
    """Pictures that a generator paints from a store's label maps in turn, each in a style and noise of its own."""

    name: str
    digest: str
    summary: Summary
    painter: Painter
    store: PhotoStore
    count: int
    seed: int
    left_out: list[str] = field(default_factory=list)
    hashes: Sequence[bytes] = ()

    def __len__(self) -> int:
        return self.count

    def read(self, rows: range, prepare: Prepare) -> tuple[list, list[str]]:
        """As of `PictureSet`; `rows` begins at a multiple of `BATCH`."""
        size = self.painter.generator.config.label_size
        maps = np.stack([resize(self.store.labels(row % len(self.store)), size) for row in rows])
        batches = paint_all(self.painter, maps, self.seed, "score", BATCH, rows.start)
        return [prepare(picture) for _, painted in batches for picture in to_uint8(painted)], []


def square(pixels: np.ndarray) -> np.ndarray:
    """The centred square of a picture (H, W, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side].copy()  # torch wants what may be written to


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """A square picture (S, S, 3) uint8 at another size, by PIL's antialiased bilinear resize."""
    if len(pixels) == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def open_files(path: Path, count: int | None, seed: int, progress: Progress = SILENT) -> FileSet:
    """The pictures of a folder and its subfolders, or of a photo store.

    Args:
        count: so many of them at most, drawn by the seed; None: all.
        progress: listener, which gets the count of files whose heads were read.

    Raises:
        MissingInput: there is no such folder.
        InputError: it is a file, or holds no picture.
    """
    files, left_out = _store_files(path) if (path / "store.json").is_file() else _folder_files(path)
    order = np.arange(len(files))
    if count is not None and count < len(files):
        order = numpy_generator(seed, "score", "draw").permutation(len(files))
    chosen: list[tuple[int, Compression, bytes]] = []
    wanted = len(files) if count is None else min(count, len(files))
    for number in order:
        if len(chosen) == wanted:
            break
        name, content = files[number]
        try:
            found = content()
            told = compression(found), hashlib.sha256(found).digest()
        except (PhotoError, OSError) as error:
            left_out.append(f"{name}: {_reason(error)}")
            continue
        chosen.append((int(number), *told))
        progress.items(len(chosen), wanted, f"files of {path}")
    if len(chosen) < wanted:
        progress.items(len(chosen), len(chosen), f"files of {path}")
    if not chosen:
        reason = f": {left_out[0]}" if left_out else ""
        raise InputError(f"{path} holds no picture that can be read{reason}")
    chosen.sort(key=lambda item: item[0])
    numbers, compressions, hashes = zip(*chosen)
    digest = hashlib.sha256(b"".join(hashes)).hexdigest()
    names, contents = zip(*(files[number] for number in numbers))
    return FileSet(str(path), digest, Summary.of(compressions), names, contents, hashes, left_out)


def repetitions(one: PictureSet, other: PictureSet) -> list[str]:
    """Pictures that two sets share, or one has more than once, in words: scores take all as drawn independently."""
    found = []
    others = set(other.hashes)
    if shared := sum(item in others for item in one.hashes):
        found.append(f"{shared} of A's {len(one)} pictures are among B's, byte by byte")
    for letter, pictures in zip("AB", (one, other)):
        if again := len(pictures.hashes) - len(set(pictures.hashes)):
            found.append(f"{again} of {letter}'s {len(pictures)} are there already")
    return found


def _folder_files(folder: Path) -> tuple[list[tuple[str, Callable[[], bytes]]], list[str]]:
    if folder.is_file():
        raise InputError(f"{folder} is a file: name a folder of pictures or a photo store")
    if not folder.is_dir():
        raise MissingInput(f"there is no folder {folder}")
    listed = list_tree(folder)
    good = [(item.name, partial(read_regular, item.path)) for item in listed if item.problem is None]
    return good, [f"{item.name}: {item.problem}" for item in listed if item.problem is not None]


def _store_files(folder: Path) -> tuple[list[tuple[str, Callable[[], bytes]]], list[str]]:
    store = PhotoStore(folder)
    keys = store.keys()
    order = sorted(range(len(keys)), key=lambda index: natural_key(keys[index]))
    return [(keys[index], partial(_photo, store, index)) for index in order], []


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _photo(store: PhotoStore, index: int) -> bytes:
    content = store[index].bytes
    if content is None:
        raise PhotoError("a label map without a photo")
    return content


def open_painter(model: Path, maps: Path, count: int | None, seed: int, device: str) -> PaintedSet:
    """Pictures by a generator's file, ours or a competitor's, from the label maps of a store.

    Args:
        count: of pictures; maps are painted in turn where there are fewer. None: as many as maps.
        seed: of styles and noise.

    Raises:
        InputError: a record of the store has no label map, or the file is no generator.
    """
    try:
        painter = load_painter(model, device)
    except ConfigError as error:
        raise InputError(f"{model} holds no painter, as siw.pt does: {error}") from error
    store = PhotoStore(maps)
    if not len(store) or not store.has_labels():
        raise InputError(
            f"{maps} has records without a label map, or none at all: there is nothing to paint from"
        )
    count = count or len(store)
    made_of = [sha256_file(model), store.fingerprint(), count, seed]
    digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    summary = Summary.of([Compression(painter.resolution, painter.resolution, PAINTED, None)])
    return PaintedSet(str(model), digest, summary, painter, store, count, seed)
