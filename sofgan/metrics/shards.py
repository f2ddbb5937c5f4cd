"""Features of photos and of painted pictures in shards, which any process can work off: all that is costly in a
distance. A shard is so many whole batches, so the numbers are those of one process that works off all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from sofgan.faces.inference import prepare_for_inference
from sofgan.faces.parser import load_parser
from sofgan.faces.store import PhotoStore
from sofgan.metrics.features import extract
from sofgan.metrics.portraits import Control, make_extractors, paint_all, real_features
from sofgan.metrics.segmentation import ConfusionMatrix
from sofgan.processes import Mapper, map_in_processes
from sofgan.siw.model import load_siw

Features = dict[str, np.ndarray]  # by extractor, (N, d) float32


@dataclass(frozen=True)
class Judges:
    """The models that paint and that judge, as files and settings: small enough to be sent along with every shard.

    Attributes:
        siw, parser: model files.
        digests: of all files, by which a process that lives long sees that they are others.
        extractors, inception_weights: as of `make_extractors`.
        batch: pictures worked on at once.
        device: torch's name.
    """

    siw: Path
    parser: Path
    digests: tuple[str, ...]
    extractors: tuple[str, ...]
    inception_weights: str
    batch: int
    device: str

    def load(self):
        """Generator, parser and extractors, once in each process."""
        return _loaded(self)


@lru_cache(1)
def _loaded(judges: Judges):
    parser = load_parser(judges.parser, judges.device)
    extractors = make_extractors(judges.extractors, parser, judges.inception_weights, judges.device)
    return load_siw(judges.siw, judges.device), prepare_for_inference(parser), extractors


def photo_features(
    store: PhotoStore,
    indices: np.ndarray,
    size: int,
    judges: Judges,
    workers: int | Mapper = 1,
    tell: Callable[[int], None] = lambda done: None,
) -> Features:
    """Features of a store's photos at these indices, cut and resized to `size` pixels first.

    Args:
        workers: as of `map_in_processes`.
        tell: called with how many are done.
    """
    task = partial(_photos, store=store, indices=indices, size=size, judges=judges)
    shards, parts = _shards(len(indices), judges.batch), []
    for part in map_in_processes(task, shards, workers):
        tell(shards[len(parts)].stop)
        parts.append(part)
    return _joined(parts)


def painted_features(
    labels: np.ndarray,
    seed: int,
    name: str,
    judges: Judges,
    workers: int | Mapper = 1,
    control: bool = False,
    tell: Callable[[int], None] = lambda done: None,
) -> tuple[Features, ConfusionMatrix]:
    """Features of maps (N, S, S), each painted once (`paint_all`), and the confusion of maps with what the parser sees
    in their pictures (empty without `control`).

    Args:
        workers, tell: as of `photo_features`.
    """
    shards = [(rows, labels[rows.start : rows.stop]) for rows in _shards(len(labels), judges.batch)]
    task = partial(_painted, count=len(labels), seed=seed, name=name, judges=judges, control=control)
    parts, confusion = [], ConfusionMatrix()
    for part, seen in map_in_processes(task, shards, workers):
        tell(shards[len(parts)][0].stop)
        parts.append(part)
        confusion.merge(seen)
    return _joined(parts), confusion


def _photos(rows: range, store: PhotoStore, indices: np.ndarray, size: int, judges: Judges) -> Features:
    *_, extractors = judges.load()
    chosen = indices[rows.start : rows.stop]
    return real_features(lambda i: store.image(i, size), chosen, extractors, judges.batch, judges.device)


def _painted(
    shard: tuple[range, np.ndarray], count: int, seed: int, name: str, judges: Judges, control: bool
) -> tuple[Features, ConfusionMatrix]:
    siw, parser, extractors = judges.load()
    rows, labels = shard
    seen = Control(parser)

    def images():
        for maps, painted in paint_all(siw, labels, seed, name, judges.batch, rows.start, count):
            if control:
                seen.update(maps, painted)
            yield painted

    return extract(images(), extractors, judges.device), seen.confusion


def _shards(count: int, batch: int) -> list[range]:
    return [range(start, min(start + batch, count)) for start in range(0, count, batch)]


def _joined(parts: Sequence[Features]) -> Features:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
