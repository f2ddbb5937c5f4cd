"""Batches of unpaired photos and label maps, each cropped by its own draw.

What a batch holds depends on the seed and the step's number alone, so a resumed training sees what it would
have seen.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.labels import MIRROR_TABLE
from sofgan.seeds import numpy_generator


class ArraySource:
    """Pictures in memory.

    Args:
        array: (N, S, S, 3) or (N, S, S) uint8, all of one size.
    """

    def __init__(self, array: np.ndarray):
        if array.dtype != np.uint8 or len(array) == 0:
            raise ValueError(
                f"a source is a uint8 array of at least one picture, not {array.shape} {array.dtype}"
            )
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """The pictures of these numbers, stacked."""
        return self.array[indices]


class LazySource:
    """Pictures that are read when they are needed, such as a photo store larger than memory.

    Args:
        count: how many there are.
        read: number to (S, S, 3) or (S, S) uint8; called from several threads.
        workers: threads that read.
    """

    def __init__(self, count: int, read: Callable[[int], np.ndarray], workers: int):
        self.count, self.read = count, read
        self.pool = ThreadPoolExecutor(max(1, workers))

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """The pictures of these numbers, stacked."""
        return np.stack(list(self.pool.map(self.read, indices.tolist())))


def open_source(count: int, read: Callable[[int], np.ndarray], workers: int, memory_limit_gb: float):
    """An `ArraySource` of all pictures where they fit into that memory, else a `LazySource`.

    Raises:
        ValueError: there are no pictures.
    """
    if count == 0:
        raise ValueError("a source of pictures is empty")
    lazy = LazySource(count, read, workers)
    if read(0).nbytes * count > memory_limit_gb * 1e9:
        return lazy
    return ArraySource(lazy.fetch(np.arange(count)))


@dataclass(frozen=True)
class Crops:
    """A square window of each picture: corner and side as shares of the picture, and whether it is mirrored."""

    left: np.ndarray  # (B,) float64
    top: np.ndarray
    side: np.ndarray
    mirror: np.ndarray  # (B,) bool


def draw_crops(batch: int, scale_max: float, mirror: bool, rng: np.random.Generator) -> Crops:
    """Windows of side 1 / scale, the scale uniform in [1, scale_max], anywhere inside the picture (6.2)."""
    side = 1 / rng.uniform(1.0, scale_max, batch)
    left, top = rng.random((2, batch)) * (1 - side)
    return Crops(left, top, side, rng.random(batch) < (0.5 if mirror else 0.0))


def crop_photos(photos: np.ndarray, crops: Crops, size: int, device: torch.device | str = "cpu") -> Tensor:
    """Cut the windows, bilinear.

    Args:
        photos: (B, S, S, 3) uint8. S at most twice `size` keeps the result free of aliasing.

    Returns:
        (B, 3, size, size) float32 in [-1, 1].
    """
    images = torch.from_numpy(photos).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    places = (np.arange(size) + 0.5) / size
    columns = np.where(crops.mirror[:, None], places[::-1], places)
    x = 2 * (crops.left[:, None] + columns * crops.side[:, None]) - 1
    y = 2 * (crops.top[:, None] + places * crops.side[:, None]) - 1
    shape = (len(photos), size, size)
    grid = np.stack([np.broadcast_to(x[:, None], shape), np.broadcast_to(y[:, :, None], shape)], -1)
    grid = torch.from_numpy(grid.astype(np.float32)).to(device)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def crop_labels(labels: np.ndarray, crops: Crops, size: int) -> np.ndarray:
    """Cut the windows, nearest; mirrored ones swap the halves of the nose.

    Args:
        labels: (B, S, S) uint8.

    Returns:
        (B, size, size) uint8.
    """
    places = (np.arange(size) + 0.5) / size
    columns = np.where(crops.mirror[:, None], places[::-1], places)
    extent = labels.shape[1]
    x = ((crops.left[:, None] + columns * crops.side[:, None]) * extent).astype(np.int64)
    y = ((crops.top[:, None] + places * crops.side[:, None]) * extent).astype(np.int64)
    x, y = np.minimum(x, extent - 1), np.minimum(y, extent - 1)
    cut = labels[np.arange(len(labels))[:, None, None], y[:, :, None], x[:, None]]
    return np.where(crops.mirror[:, None, None], MIRROR_TABLE[cut], cut)


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    photos: Tensor  # (B, 3, R, R) float32 in [-1, 1]
    labels: Tensor  # (rounds, B, L, L) long; a round a batch of fakes


class Batches:
    """Makes the batch of any step, read one ahead of time in a thread.

    The thread runs no torch: with it comes a second pool of OpenMP threads, whose busy waiting takes the cores
    from the training (25 against 45 img/s on two cores).

    Args:
        photos: source of (S, S, 3).
        maps: name to source of (S, S) label maps.
        proportions: name to share; sources with no share are not used.
        rounds: batches of maps a step.

    Raises:
        ValueError: a source with a share is missing.
    """

    def __init__(
        self,
        photos,
        maps: dict,
        proportions: dict[str, float],
        batch: int,
        rounds: int,
        resolution: int,
        label_size: int,
        scale_max: float,
        mirror: bool,
        seed: int,
        device: torch.device | str = "cpu",
    ):
        self.photos, self.device, self.seed = photos, torch.device(device), seed
        self.batch, self.rounds = batch, rounds
        self.resolution, self.label_size = resolution, label_size
        self.scale_max, self.mirror = scale_max, mirror
        used = {name: share for name, share in proportions.items() if share > 0}
        for name in used:
            if name not in maps:
                raise ValueError(f"map_proportions gives '{name}' a share, but there are no such maps")
        self.sources = [maps[name] for name in used]
        self.shares = np.array(list(used.values())) / sum(used.values())
        self.pool = ThreadPoolExecutor(1)
        self.next: tuple[int, Future] | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of that step, on the device."""
        if self.next is not None and self.next[0] == step:
            photos, crops, labels = self.next[1].result()
        else:
            photos, crops, labels = self._read(step)
        self.next = (step + 1, self.pool.submit(self._read, step + 1))
        photos = crop_photos(photos, crops, self.resolution, self.device)
        return Batch(photos, torch.from_numpy(labels).to(self.device).long())

    def _read(self, step: int) -> tuple[np.ndarray, Crops, np.ndarray]:
        rng = numpy_generator(self.seed, "siw", "batch", step)
        crops = draw_crops(self.batch, self.scale_max, self.mirror, rng)
        photos = self.photos.fetch(rng.integers(len(self.photos), size=self.batch))
        return photos, crops, np.stack([self._maps(rng) for _ in range(self.rounds)])

    def _maps(self, rng: np.random.Generator) -> np.ndarray:
        crops = draw_crops(self.batch, self.scale_max, self.mirror, rng)
        chosen = rng.choice(len(self.sources), size=self.batch, p=self.shares)
        result = np.empty((self.batch, self.label_size, self.label_size), np.uint8)
        for index, source in enumerate(self.sources):
            places = np.flatnonzero(chosen == index)
            if len(places) == 0:
                continue
            maps = source.fetch(rng.integers(len(source), size=len(places)))
            part = Crops(*(getattr(crops, name)[places] for name in ("left", "top", "side", "mirror")))
            result[places] = crop_labels(maps, part, self.label_size)
        return result
