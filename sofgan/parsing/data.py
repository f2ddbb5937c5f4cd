"""Labelled photos of a store, weights of their classes, and the order in which a training draws them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sofgan.errors import InputError
from sofgan.labels import NUM_CLASSES
from sofgan.photos.store import HELD_OUT, TRAIN, VALIDATION, PhotoStore
from sofgan.seeds import numpy_generator


class LabelledPhotos:
    """Photos of a store with their maps at one size, decoded once where memory allows.

    Args:
        indices: which records.
        size: side in pixels of photos and maps.
        cache_bytes: keep all decoded if they take no more than this.
    """

    def __init__(self, store: PhotoStore, indices: np.ndarray, size: int, cache_bytes: int = 2 << 30) -> None:
        self.store, self.indices, self.size = store, np.asarray(indices), size
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] | None = None
        if len(self.indices) * size * size * 4 <= cache_bytes:
            self._kept = {}

    def __len__(self) -> int:
        return len(self.indices)

    def load(self, positions) -> tuple[np.ndarray, np.ndarray]:
        """Photos (B, S, S, 3) and maps (B, S, S), uint8."""
        pairs = [self._pair(int(position)) for position in positions]
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    def labels(self, position: int) -> np.ndarray:
        """One map (S, S) uint8, without decoding its photo."""
        position = int(position)
        if self._kept is not None and position in self._kept:
            return self._kept[position][1]
        return self.store.labels(int(self.indices[position]), self.size)

    def _pair(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        if self._kept is not None and position in self._kept:
            return self._kept[position]
        index = int(self.indices[position])
        pair = self.store.image(index, self.size), self.store.labels(index, self.size)
        if self._kept is not None:
            self._kept[position] = pair
        return pair


@dataclass(frozen=True)
class Splits:
    """Photos by what they are for."""

    training: LabelledPhotos
    validation: LabelledPhotos  # choose the best state
    held_out: LabelledPhotos  # score it, and choose nothing


def splits_of(store: PhotoStore, size: int) -> Splits:
    """A store's photos at a size in pixels.

    Raises:
        InputError: the store has no maps, or none of some.
    """
    return Splits(*(photos_of(store, split, size) for split in (TRAIN, VALIDATION, HELD_OUT)))


def photos_of(store: PhotoStore, split: int, size: int) -> LabelledPhotos:
    """The photos of one split of a store with their maps.

    Raises:
        InputError: the store has no maps or no such photos.
    """
    if not store.has_labels():
        raise InputError(f"{store.path} has photos without label maps: a parser can't be trained on it")
    chosen = np.flatnonzero(store.splits() == split)
    if not len(chosen):
        told = {
            TRAIN: "to train on: lower its held_out_share and validation_share",
            HELD_OUT: "held out: raise its held_out_share",
            VALIDATION: "to choose the best state by: raise its validation_share",
        }
        raise InputError(f"{store.path} has no photos {told[split]} under import_photos, or add photos")
    return LabelledPhotos(store, chosen, size)


def class_weights(photos: LabelledPhotos, power: float, sample: int = 256) -> np.ndarray:
    """Weights (C,) float32, shares to the power of minus `power`, of mean 1 over all pixels.

    The shares are those of `sample` photos spread over the set; a class that none shows counts as 1e-5.
    """
    counts = np.zeros(NUM_CLASSES)
    for position in np.linspace(0, len(photos) - 1, min(sample, len(photos))).astype(int):
        counts += np.bincount(photos.labels(position).reshape(-1), minlength=NUM_CLASSES)
    shares = counts / counts.sum()
    weights = np.maximum(shares, 1e-5) ** -power
    return (weights / (weights * shares).sum()).astype(np.float32)


def repeat_factors(photos: LabelledPhotos, below: float) -> np.ndarray:
    """Draws of each photo an epoch, (N,) float64, at least 1: those of its rarest class.

    A class that a share f of the photos shows has the factor max(1, sqrt(below / f)), "LVIS", eq. in section 5.
    """
    if not below:
        return np.ones(len(photos))
    present = np.stack(
        [np.bincount(photos.labels(i).reshape(-1), minlength=NUM_CLASSES) > 0 for i in range(len(photos))]
    )
    factors = np.sqrt(below / present.mean(0).clip(1 / len(photos))).clip(1)
    return np.where(present, factors, 1).max(1)


def draw_plan(repeats: np.ndarray, batch: int, seed: int, start: int, steps: int) -> Iterator[np.ndarray]:
    """Positions of every step's photos: each epoch its own order, batches across its end.

    A photo occurs in an epoch as often as its factor says, rounded up or down by chance; epochs have one length.
    """
    length = max(round(repeats.sum()), 1)
    orders: dict[int, np.ndarray] = {}
    for step in range(start, steps):
        positions = []
        for draw in range(step * batch, (step + 1) * batch):
            epoch = draw // length
            if epoch not in orders:
                orders = {epoch: _epoch(repeats, length, numpy_generator(seed, "parser", "epoch", epoch))}
            positions.append(orders[epoch][draw % length])
        yield np.array(positions)


def _epoch(repeats: np.ndarray, length: int, generator: np.random.Generator) -> np.ndarray:
    # Systematic sampling: from one random offset on, every whole number of the running sum takes its photo.
    order = generator.permutation(length)
    marks = np.cumsum(repeats) * (length / repeats.sum())
    picked = np.searchsorted(marks, np.arange(length) + generator.random(), side="right")
    return picked.clip(max=len(repeats) - 1)[order]
