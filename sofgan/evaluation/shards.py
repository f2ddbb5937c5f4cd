"""Features of photos and of painted pictures in shards, which any process can work off: all that is costly in a
distance. A shard is so many whole batches, so the numbers are those of one process that works off all.

What is kept of a picture is its features: photos and maps are read as a batch needs them, so memory does not grow with
their number.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sofgan.evaluation.portraits import Control, make_extractors
from sofgan.evaluation.restyling import region_colors
from sofgan.images import to_network_range
from sofgan.labels import resize
from sofgan.parallel import Mapper, map_in_processes, ordered_map
from sofgan.parsing.fast.inference import prepare_for_inference
from sofgan.parsing.parser import load_parser
from sofgan.photos.store import PhotoStore
from sofgan.progress import SILENT, Progress
from sofgan.runtime import use_gpu
from sofgan.scores.features import extract
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.siw.model import load_siw
from sofgan.siw.painted_sets import paint_all
from sofgan.siw.sheets import REGIONS

Features = dict[str, np.ndarray]  # by extractor, (N, d) float32
Colors = dict[str, np.ndarray]  # by region, (n, 3) float64: of the photos that show enough of it

GPU_BATCHES = 16  # in a shard, so that a GPU's next batch is read while it works on one


class Maps(Protocol):
    """Label maps that are read one by one, in whichever process paints them."""

    def __len__(self) -> int: ...

    def labels(self, index: int) -> np.ndarray:
        """One map, (S, S) uint8."""

    def take(self, rows: np.ndarray) -> "Maps":
        """The same of some rows: what a shard is sent."""


@dataclass(frozen=True)
class StoreMaps:
    """Label maps of some records of a store, at one size."""

    store: PhotoStore
    indices: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.indices)

    def labels(self, index: int) -> np.ndarray:
        """One map, (size, size) uint8."""
        return self.store.labels(int(self.indices[index]), self.size)

    def take(self, rows: np.ndarray) -> "StoreMaps":
        """The same of some rows."""
        return StoreMaps(self.store, self.indices[rows], self.size)


@dataclass(frozen=True)
class SourceMaps:
    """Some label maps of a source as a training has them, with `fetch` (`sofgan.siw.data`), at one size."""

    source: object
    indices: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.indices)

    def labels(self, index: int) -> np.ndarray:
        """One map, (size, size) uint8."""
        return resize(self.source.fetch(self.indices[index : index + 1]), self.size)[0]

    def take(self, rows: np.ndarray) -> "SourceMaps":
        """The same of some rows."""
        return SourceMaps(self.source, self.indices[rows], self.size)


@dataclass(frozen=True)
class Judges:
    """The models that paint and that judge, as files and settings: small enough to be sent along with every shard.

    Attributes:
        painter, parser: model files.
        digests: of all files, by which a process that lives long sees that they are others.
        extractors, inception_weights: as of `make_extractors`.
        batch: pictures worked on at once.
        device: torch's name.
        readers: threads that read photos and maps for a shard, where it is on a GPU.
        load_painter: reads the painter's file to a device: what has `sample_z`, `map_styles` and `paint` as `Siw`.
    """

    painter: Path
    parser: Path
    digests: tuple[str, ...]
    extractors: tuple[str, ...]
    inception_weights: str
    batch: int
    device: str
    readers: int = 1
    load_painter: Callable = load_siw

    def load(self):
        """Painter, parser and extractors, once in each process."""
        return _loaded(self)

    def shards(self, count: int) -> list[range]:
        """So many pictures in shards of whole batches. On a CPU each is one batch, read by its own thread."""
        size = self.batch * (1 if torch.device(self.device).type == "cpu" else GPU_BATCHES)
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    def read(self, function: Callable, items: Iterable) -> Iterator[list]:
        """Batches of what a function reads for each of some items, some of them ahead."""
        workers = 1 if torch.device(self.device).type == "cpu" else self.readers
        results = ordered_map(function, items, workers)
        while batch := list(islice(results, self.batch)):
            yield batch


@lru_cache(1)
def _loaded(judges: Judges):
    use_gpu(judges.device, exact=True)
    parser = load_parser(judges.parser, judges.device)
    extractors = make_extractors(judges.extractors, parser, judges.inception_weights, judges.device)
    painter = judges.load_painter(judges.painter, judges.device)
    return painter, prepare_for_inference(parser), extractors


def photo_features(
    store: PhotoStore,
    indices: np.ndarray,
    size: int,
    judges: Judges,
    workers: int | Mapper = 1,
    progress: Progress = SILENT,
    maps: Maps | None = None,
) -> tuple[Features, Colors]:
    """Features of a store's photos at these indices, cut and resized to `size` pixels first, and the mean colours of
    their regions.

    Args:
        workers: as of `map_in_processes`.
        progress: listener, which gets the count of photos.
        maps: the photos' own, in their order, at `size` pixels; None: no colours.
    """
    task = partial(_photos, store=store, size=size, judges=judges)
    shards = [
        (indices[rows.start : rows.stop], maps and maps.take(np.arange(rows.start, rows.stop)))
        for rows in judges.shards(len(indices))
    ]
    parts, done = [], 0
    for part, (chosen, _) in zip(map_in_processes(task, shards, workers), shards):
        done += len(chosen)
        progress.items(done, len(indices), f"photos of {store.path.name}")
        parts.append(part)
    features, colors = zip(*parts)
    return _joined(features), _joined(colors)


def painted_features(
    maps: Maps,
    count: int,
    seed: int,
    name: str,
    judges: Judges,
    workers: int | Mapper = 1,
    progress: Progress = SILENT,
) -> tuple[Features, ConfusionMatrix]:
    """Features of `count` pictures, painted from the maps in turn and each in a style of its own (`paint_all`), and the
    confusion of maps with what the parser sees in their pictures.

    Args:
        workers: as of `map_in_processes`.
        progress: listener, which gets the count of pictures.
    """
    task = partial(_painted, seed=seed, name=name, judges=judges)
    shards = [
        (rows, maps.take(np.arange(rows.start, rows.stop) % len(maps))) for rows in judges.shards(count)
    ]
    parts, confusion = [], ConfusionMatrix()
    for (part, seen), (rows, _) in zip(map_in_processes(task, shards, workers), shards):
        progress.items(rows.stop, count, f"pictures of {name}")
        parts.append(part)
        confusion.merge(seen)
    return _joined(parts), confusion


def _photos(
    shard: tuple[np.ndarray, Maps | None], store: PhotoStore, size: int, judges: Judges
) -> tuple[Features, Colors]:
    *_, extractors = judges.load()
    indices, maps = shard
    colors: dict[str, list[np.ndarray]] = {} if maps is None else {name: [] for name in REGIONS}

    def read(row: int) -> tuple[np.ndarray, np.ndarray | None]:
        return store.image(int(indices[row]), size), None if maps is None else maps.labels(row)

    def images() -> Iterator[Tensor]:
        for batch in judges.read(read, range(len(indices))):
            photos = to_network_range(np.stack([photo for photo, _ in batch]), judges.device)
            if maps is not None:
                labels = np.stack([labels for _, labels in batch])
                for name, classes in REGIONS.items():
                    colors[name].append(region_colors(photos, labels, classes))
            yield photos

    features = extract(images(), extractors, judges.device)
    return features, {name: np.concatenate(found) for name, found in colors.items()}


def _painted(
    shard: tuple[range, Maps], seed: int, name: str, judges: Judges
) -> tuple[Features, ConfusionMatrix]:
    painter, parser, extractors = judges.load()
    rows, maps = shard
    seen = Control(parser)

    def images() -> Iterator[Tensor]:
        first = rows.start
        for batch in judges.read(maps.labels, range(len(maps))):
            for labels, painted in paint_all(painter, np.stack(batch), seed, name, judges.batch, first):
                seen.update(labels, painted)
                yield painted
            first += len(batch)

    return extract(images(), extractors, judges.device), seen.confusion


def _joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
