"""Batches of unpaired photos and label maps, each cropped by its own draw.

What a batch holds depends on the seed and the step's number alone, so a resumed training sees what it would
have seen.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import distributed
from sofgan.errors import InputError
from sofgan.labels import MIRROR_TABLE, resize
from sofgan.seeds import numpy_generator
from sofgan.siw.condition_store import ConditionHeads, HeadPairs
from sofgan.siw.config import TrainSiw
from sofgan.siw.view_pairs import ViewPairs, align_views


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


def shares_of(folders: Sequence[str], proportions: Mapping[str, float]) -> np.ndarray | None:
    """Probabilities (N,) of photos, by the folders that they lie in; None where there are no proportions.

    Args:
        folders: of each photo; "" of one that lies in none.
        proportions: shares of some folders; photos of all others have what is left of 1.

    Raises:
        InputError: a folder has a share but no photos, or all photos lie in such folders and something is left of 1.
    """
    if not proportions:
        return None
    named = np.array([folder if folder in proportions else "" for folder in folders])
    left = max(0.0, 1 - sum(proportions.values()))
    if missing := sorted(set(proportions) - set(named)):
        known = sorted(set(folders) - {""})
        there = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "") if known else "none"
        raise InputError(
            f"photo_proportions gives {missing[0]} a share, but no photo lies there: folders are {there}"
        )
    if "" not in named and left > 1e-6:
        raise InputError(f"photo_proportions add up to {1 - left:g}, but all photos lie in these folders")
    shares = {**proportions, "": left}
    counts = {name: int((named == name).sum()) for name in shares}
    return np.array([shares[name] / counts[name] for name in named.tolist()])


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
        InputError: there are no pictures.
    """
    if count == 0:
        raise InputError("no photos or label maps are left to train on: lower held_out_share, or add photos")
    lazy = LazySource(count, read, workers)
    if read(0).nbytes * count > memory_limit_gb * 1e9:
        return lazy
    return ArraySource(lazy.fetch(np.arange(count)))


@dataclass(frozen=True)
class Sources:
    """Photos and label maps that a generator is trained on."""

    photos: ArraySource | LazySource  # (S, S, 3)
    maps: dict[str, ArraySource | LazySource]  # by name, (S, S): to paint
    photo_labels: ArraySource | LazySource | None = (
        None  # (S, S): the photos' own maps, which some critics need
    )
    heads: ConditionHeads | None = None  # with several views each, which are compared
    photo_shares: np.ndarray | None = None  # (N,) of all photos, adding up to 1; None: all alike


@dataclass(frozen=True)
class Crops:
    """A square window of each picture: corner and side as shares of the picture, and whether it is mirrored."""

    left: np.ndarray  # (B,) float64
    top: np.ndarray
    side: np.ndarray
    mirror: np.ndarray  # (B,) bool

    def rows(self, rows) -> "Crops":
        """Crops of some pictures, by a slice or an array of indices."""
        return Crops(self.left[rows], self.top[rows], self.side[rows], self.mirror[rows])


def draw_crops(batch: int, scale_max: float, mirror: bool, rng: np.random.Generator) -> Crops:
    """Windows of side 1 / scale, the scale uniform in [1, scale_max], anywhere inside the picture (6.2)."""
    side = 1 / rng.uniform(1.0, scale_max, batch)
    left, top = rng.random((2, batch)) * (1 - side)
    return Crops(left, top, side, rng.random(batch) < (0.5 if mirror else 0.0))


def crop_photos(
    photos: np.ndarray | Tensor, crops: Crops, size: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Cut the windows, bilinear; means of areas where photos are more than twice as large as what is cut.

    Args:
        photos: (B, S, S, 3) uint8, an array or a tensor on the CPU.

    Returns:
        (B, 3, size, size) float32 in [-1, 1].
    """
    images = _to_device(photos, device).permute(0, 3, 1, 2).float() / 127.5 - 1
    # Places two pixels apart see all pixels between them; farther apart, means of places a pixel apart at most do.
    extent = photos.shape[1]
    finer = 1 if extent <= 2 * size else -(-extent // size)
    places = (np.arange(finer * size) + 0.5) / (finer * size)
    columns = np.where(crops.mirror[:, None], places[::-1], places)
    x = 2 * (crops.left[:, None] + columns * crops.side[:, None]) - 1
    y = 2 * (crops.top[:, None] + places * crops.side[:, None]) - 1
    # A window is as affine as its two axes, so these are all that the host computes; places come on the device.
    x, y = (_to_device(axis.astype(np.float32), device) for axis in (x, y))
    grid = torch.stack(torch.broadcast_tensors(x[:, None], y[:, :, None]), -1)
    cut = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return F.avg_pool2d(cut, finer) if finer > 1 else cut


def _to_device(values: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """Values as a tensor on a device; the host doesn't wait for what lies in pinned memory to arrive on a GPU."""
    return torch.as_tensor(values).to(device, non_blocking=torch.device(device).type == "cuda")


def _pinned(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).pin_memory()


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
    """Batch of one step, or one process' share of it."""

    photos: Tensor  # (B, 3, R, R) float32 in [-1, 1]
    labels: Tensor  # (rounds, B, L, L) long: maps to paint; a round a batch of fakes
    photo_labels: Tensor | None  # (B, L, L) long: the photos' own maps
    pairs: ViewPairs | None = None  # ceil(B / 2) heads, where the step compares views

    def rows(self, rows: slice) -> "Batch":
        """Some of the pictures, and of the heads those of every second one."""
        own = None if self.photo_labels is None else self.photo_labels[rows]
        pairs = self.pairs and self.pairs.rows(half(rows))
        return Batch(self.photos[rows], self.labels[:, rows], own, pairs)


def half(rows: slice) -> slice:
    """Rows of every second picture among all of these: rows begin at an even one, or there is no other part."""
    return slice(rows.start // 2, (rows.stop + 1) // 2)


class Batches:
    """Makes the batch of any step, read one ahead of time in a thread.

    On the CPU the thread runs no torch: with it comes a second pool of OpenMP threads, whose busy waiting takes the
    cores from the training (25 against 45 img/s on two cores). For a GPU it copies what it read into pinned memory.

    Args:
        config: the block `train_siw`; maps with no share in its `map_proportions` are not used.
        sources: those of the photos' own maps are read where they are there.

    Raises:
        ValueError: a source with a share is missing, the photos' maps are not as many as they, or heads are missing
            or their views' size is no multiple of the pictures'.
    """

    def __init__(
        self,
        config: TrainSiw,
        sources: Sources,
        seed: int,
        device: torch.device | str = "cpu",
    ):
        photos, maps, photo_labels, heads = sources.photos, sources.maps, sources.photo_labels, sources.heads
        self.config, self.seed, self.device = config, seed, torch.device(device)
        self.photos, self.photo_labels, self.heads = photos, photo_labels, heads
        if config.compares_views:
            if heads is None:
                raise ValueError("views are compared, but there are no heads with several views")
            if heads.size % config.generator.resolution:
                raise InputError(
                    f"views of {heads.size} pixels can't be compared in pictures of {config.generator.resolution}: "
                    "with train_siw.consistency_every, sample_conditions.size_px is a multiple of "
                    "train_siw.generator.resolution"
                )
        self.batch = config.batch
        self.mine = distributed.share(config.batch)
        self.rounds = 1 if config.share_fakes else 2
        used = {name: share for name, share in config.map_proportions.items() if share > 0}
        for name in used:
            if name not in maps:
                raise ValueError(f"map_proportions gives '{name}' a share, but there are no such maps")
        if photo_labels is not None and len(photo_labels) != len(photos):
            raise ValueError(f"{len(photos)} photos have {len(photo_labels)} label maps")
        self.ends = None if sources.photo_shares is None else np.cumsum(sources.photo_shares)
        self.sources = [maps[name] for name in used]
        self.shares = np.array(list(used.values())) / sum(used.values())
        self.pool = ThreadPoolExecutor(1)
        self.next: tuple[int, Future] | None = None

    def __call__(self, step: int) -> Batch:
        """This process' share of the batch of that step, on the device."""
        if self.next is not None and self.next[0] == step:
            photos, crops, labels, photo_labels, pairs = self.next[1].result()
        else:
            photos, crops, labels, photo_labels, pairs = self._read(step)
        self.next = (step + 1, self.pool.submit(self._read, step + 1))
        resolution = self.config.resolution_at(step * self.batch)
        photos = crop_photos(photos, crops, resolution, self.device)
        labels = _to_device(labels, self.device).long()
        if photo_labels is not None:
            photo_labels = _to_device(photo_labels, self.device).long()
        if pairs is not None:
            pairs = align_views(pairs.each(lambda values: _to_device(values, self.device)), resolution)
        return Batch(photos, labels, photo_labels, pairs)

    def _read(self, step: int) -> tuple:
        """Photos, their windows, maps, the photos' own maps and views of heads of a step, as `crop_photos`, `Batch`
        and `align_views` have them."""
        # Draws are those of the whole batch, whatever this process' share.
        rng = numpy_generator(self.seed, "siw", "batch", step)
        crops = self._crops(rng).rows(self.mine)
        chosen = self._chosen(rng)[self.mine]
        photos, own = self.photos.fetch(chosen), None
        if self.photo_labels is not None:
            own = crop_labels(self.photo_labels.fetch(chosen), crops, self.config.generator.label_size)
        labels = np.stack([self._maps(rng) for _ in range(self.rounds)])
        pairs = self._pairs(step) if self.config.compares_views_at(step) else None
        if self.device.type == "cuda":
            photos, labels = _pinned(photos), _pinned(labels)
            own, pairs = own if own is None else _pinned(own), pairs and pairs.each(_pinned)
        return photos, crops, labels, own, pairs

    def _chosen(self, rng: np.random.Generator) -> np.ndarray:
        """Numbers of the photos of a whole batch."""
        if self.ends is None:
            return rng.integers(len(self.photos), size=self.batch)
        return np.minimum(np.searchsorted(self.ends, rng.random(self.batch), "right"), len(self.photos) - 1)

    def _pairs(self, step: int) -> HeadPairs:
        """Views of heads that are compared in a step, with maps of the size that is painted."""
        draws = numpy_generator(self.seed, "siw", "view pairs", step)
        pairs = self.heads.draw((self.batch + 1) // 2, draws, half(self.mine))
        return replace(pairs, labels=resize(pairs.labels, self.config.generator.label_size))

    def _crops(self, rng: np.random.Generator) -> Crops:
        return draw_crops(self.batch, self.config.scale_max, self.config.mirror, rng)

    def _maps(self, rng: np.random.Generator) -> np.ndarray:
        crops, size = self._crops(rng).rows(self.mine), self.config.generator.label_size
        sources = rng.choice(len(self.sources), size=self.batch, p=self.shares)[self.mine]
        places = rng.random(self.batch)[self.mine]
        result = np.empty((len(places), size, size), np.uint8)
        for index, source in enumerate(self.sources):
            rows = np.flatnonzero(sources == index)
            if len(rows) == 0:
                continue
            maps = source.fetch((places[rows] * len(source)).astype(np.int64))
            result[rows] = crop_labels(maps, crops.rows(rows), size)
        return result
