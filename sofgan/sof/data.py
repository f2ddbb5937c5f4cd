"""The multi-view dataset, in memory or in mapped files, and the draw of training rays and points from it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sofgan import distributed, labels
from sofgan.cameras import Camera
from sofgan.errors import UserError
from sofgan.seeds import derive_seed, torch_generator
from sofgan.sof.config import RaySampling
from sofgan.sof.ray_draws import draw_pixels
from sofgan.sof.rays import Rays, ball_interval, pixel_rays

DENSITY_LEVELS = 255  # a pixel's chance to be drawn is kept as one byte
COUNTED_AT_ONCE = 1024  # label maps
LARGEST_HELD_OUT_SHARE = 0.2  # of the instances: who has few scans has none to spare
FREE_MARGIN = 0.004  # head units in front of the surface that are not called free: depth is float16


class ViewsError(UserError, ValueError):
    """A view file can't be used."""


@dataclass(frozen=True)
class ViewSet:
    """Label views of several instances. A view's picture, pose and instance share one index.

    Where they are `mapped`, labels and depth lie in files, and are in memory as far as they are looked at
    (`sofgan.sof.mapped_views`).
    """

    names: list[str]  # of the S instances, "batch/scan"
    labels: Tensor  # (T, H, W) uint8, VOID where a surface's class is unknown
    depth: Tensor  # (T, H, W) float16 camera z, 0 = nothing
    cam2world: Tensor  # (T, 4, 4) float32
    intrinsics: Tensor  # (S, 3, 3) float32, in image widths
    instance: Tensor  # (T,) int64
    held_out: Tensor  # (T,) bool
    mapped: bool = False

    @property
    def size(self) -> int:
        """Pixels along a side."""
        return self.labels.shape[-1]

    def camera(self, view: int) -> Camera:
        """The camera of one view."""
        return Camera(self.cam2world[view], self.intrinsics[int(self.instance[view])], self.size)

    def subset(self, views: Tensor) -> "ViewSet":
        """The views of those indices, instances kept as they are."""
        return ViewSet(
            self.names,
            self.labels[views],
            self.depth[views],
            self.cam2world[views],
            self.intrinsics,
            self.instance[views],
            self.held_out[views],
        )

    def of_instances(self, instances: list[int]) -> "ViewSet":
        """The views of those instances, which are then numbered in that order."""
        number = torch.full((len(self.names),), -1, device=self.instance.device)
        number[instances] = torch.arange(len(instances), device=number.device)
        chosen = self.subset(torch.nonzero(number[self.instance] >= 0)[:, 0])
        return replace(
            chosen,
            names=[self.names[i] for i in instances],
            intrinsics=self.intrinsics[instances],
            instance=number[chosen.instance],
        )

    def to(self, device: str | torch.device) -> "ViewSet":
        """The same on another device."""
        values = (self.labels, self.depth, self.cam2world, self.intrinsics, self.instance, self.held_out)
        return ViewSet(self.names, *(value.to(device) for value in values))


def view_files(root: str | Path, batches: list[str]) -> list[Path]:
    """The view files `root/<batch>/<scan>.npz` of some batches, sorted within each."""
    return [path for batch in batches for path in sorted(Path(root, batch).glob("*.npz"))]


def instance_name(path: Path) -> str:
    """The name "batch/scan" of the instance whose views a file holds."""
    return f"{path.parent.name}/{path.stem}"


def split_instances(files: list[Path], count: int, seed: int) -> tuple[list[Path], list[Path]]:
    """View files to train on and `count` to hold out, both in the order given; at most a fifth are held out.

    Those are held out whose names have the lowest hashes with the seed. So where files are added, and the count stays,
    some of them may be held out in place of others; who was trained on before still is.
    """
    count = min(count, int(LARGEST_HELD_OUT_SHARE * len(files)))
    ranked = sorted(files, key=lambda path: derive_seed(seed, "held-out instance", instance_name(path)))
    held_out = set(ranked[:count])
    return [f for f in files if f not in held_out], [f for f in files if f in held_out]


VIEW_ARRAYS = ("labels", "depth", "cam2world", "intrinsics", "split")  # of a view file
Allocate = Callable[[str, tuple[int, ...], type], np.ndarray]  # name, shape, kind of numbers


def count_views(path: Path) -> tuple[int, int]:
    """Number of views in a file, and their pixels along a side.

    Raises:
        ViewsError: something is missing in it, or its label maps are not square.
    """
    with np.load(path) as file:
        if missing := set(VIEW_ARRAYS) - set(file):
            raise ViewsError(f"{path}: no {', '.join(sorted(missing))}")
        count, *shape = _shape(file, "labels")
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ViewsError(f"{path}: label maps of {shape} pixels; all must be square and of one size")
        return count, shape[0]


def _shape(file, name: str) -> tuple[int, ...]:
    """The shape of one of an archive's arrays, of which no more than its header is read."""
    with file.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        return read(member)[0]


def read_views(
    paths: list[Path], allocate: Allocate = lambda name, shape, kind: np.empty(shape, kind)
) -> ViewSet:
    """Read view files, one instance each, in the order given.

    Args:
        allocate: makes the arrays of all label maps and depths; by default in memory.

    Raises:
        ViewsError: there are none, or one holds other shapes, ids or sizes than the first; it is named.
    """
    if not paths:
        raise ViewsError("there are no view files: run render_views first")
    counts, sizes = zip(*(count_views(path) for path in paths))
    total, size = sum(counts), sizes[0]
    label_maps = allocate("labels", (total, size, size), np.uint8)
    depth = allocate("depth", (total, size, size), np.float16)
    poses, intrinsics = np.empty((total, 4, 4), np.float32), np.empty((len(paths), 3, 3), np.float32)
    held_out, first = np.empty(total, bool), 0
    for index, (path, count) in enumerate(zip(paths, counts)):
        rows = slice(first, first := first + count)
        with np.load(path) as file:
            if sizes[index] != size:
                shape = [sizes[index]] * 2
                raise ViewsError(f"{path}: label maps of {shape} pixels; all must be square and of one size")
            shapes = {"depth": (count, size, size), "cam2world": (count, 4, 4), "split": (count,)}
            if any(_shape(file, name) != shape for name, shape in shapes.items()):
                raise ViewsError(f"{path}: labels, depth, cam2world and split disagree in shape")
            label_maps[rows] = file["labels"]
            labels.check_ids(label_maps[rows], str(path), void=True)
            depth[rows] = file["depth"]
            poses[rows] = file["cam2world"]
            held_out[rows] = file["split"] != 0
            intrinsics[index] = file["intrinsics"]
    instance = np.repeat(np.arange(len(paths)), counts)
    arrays = map(torch.from_numpy, (label_maps, depth, poses, intrinsics, instance, held_out))
    return ViewSet([instance_name(path) for path in paths], *arrays)


@dataclass(frozen=True)
class RayBatch:
    """Rays of several instances with their truth; all (I, N) beside `instances` (I,)."""

    instances: Tensor
    rays: Rays
    labels: Tensor  # int64, VOID where the class is unknown
    depth: Tensor  # float32, 0 = nothing hit
    weights: Tensor  # of the loss, mean about 1
    void: bool = False  # whether labels may be VOID


@dataclass(frozen=True)
class ViewDraw:
    """Draw of `views` (I, V) int64 of the instances (I,)."""

    instances: Tensor
    views: Tensor


@dataclass(frozen=True)
class ViewRows:
    """Some views, a row (H * W) each, with their cameras; `density` is None where it was not kept."""

    labels: Tensor
    depth: Tensor
    density: Tensor | None
    cam2world: Tensor
    intrinsics: Tensor

    def to(self, device: torch.device) -> "ViewRows":
        """The same on another device, which does not wait for pinned ones."""
        values = (self.labels, self.depth, self.density, self.cam2world, self.intrinsics)
        return ViewRows(*(None if value is None else value.to(device, non_blocking=True) for value in values))

    def pinned(self) -> "ViewRows":
        """The same in memory that a GPU copies from by itself."""
        values = (self.labels, self.depth, self.density, self.cam2world, self.intrinsics)
        return ViewRows(*(None if value is None else value.pin_memory() for value in values))


class RaySampler:
    """Draws rays of training views, more of them near label borders and on rare classes."""

    def __init__(self, views: ViewSet, sampling: RaySampling, device: str | torch.device | None = None):
        """Held-out views are never drawn.

        Args:
            device: where the rays are wanted; None: where the views lie. Of views that lie elsewhere no more is
                brought there than a draw is of.
        """
        self.views, self.sampling = views, sampling
        self.device = torch.device(device) if device is not None else views.labels.device
        # A row an instance, its training views in order, filled up with -1.
        seen = torch.nonzero(~views.held_out)[:, 0]
        whose, order = views.instance[seen].sort(stable=True)
        counts = class_counts(views.labels, seen)
        held_out = class_counts(views.labels, torch.nonzero(views.held_out)[:, 0])
        self.void = bool((counts + held_out)[labels.VOID])
        self.rarity = class_rarity(counts, sampling)
        # Of mapped views it would take as much memory as their labels.
        self.density = None if views.mapped else densities(views.labels, self.rarity, sampling)
        self.rarity = self.rarity.to(self.device)
        self.view_counts = torch.bincount(whose, minlength=len(views.names))
        self.fewest = int(self.view_counts.min())
        if self.fewest == 0:
            empty = [name for name, count in zip(views.names, self.view_counts.tolist()) if count == 0]
            raise ViewsError(f"no training views of {', '.join(empty)}")
        place = (
            torch.arange(len(seen), device=seen.device)
            - (self.view_counts.cumsum(0) - self.view_counts)[whose]
        )
        self.training_views = seen.new_full((len(views.names), int(self.view_counts.max())), -1)
        self.training_views[whose, place] = seen[order]

    def draw(self, instances: Tensor, views: int, rays: int, generator: torch.Generator) -> RayBatch:
        """`views` different training views of each instance (I,), and `rays` rays of each of these."""
        drawn = self.choose(instances, views, generator)
        return self.cast(drawn, self.read(drawn), rays, generator)

    def choose(self, instances: Tensor, views: int, generator: torch.Generator) -> ViewDraw:
        """The views of a draw."""
        table = self.training_views[instances.to(self.training_views.device)].cpu()
        scores = distributed.rand(table.shape, generator)
        chosen = scores.masked_fill(table < 0, 2.0).argsort(1)[:, : min(views, self.fewest)]
        return ViewDraw(instances, table.gather(1, chosen))

    def read(self, drawn: ViewDraw) -> ViewRows:
        """Content of the views of a draw: reading it takes time where they lie in files. Another thread may do it."""
        flat = drawn.views.flatten().to(self.views.labels.device)
        rows = ViewRows(
            self.views.labels[flat].flatten(1),
            self.views.depth[flat].flatten(1),
            None if self.density is None else self.density[flat],
            self.views.cam2world[flat],
            self.views.intrinsics[self.views.instance[flat]],
        )
        return rows.pinned() if self.device.type == "cuda" and not flat.is_cuda else rows

    def cast(self, drawn: ViewDraw, rows: ViewRows, rays: int, generator: torch.Generator) -> RayBatch:
        """`rays` rays of each of the views, on the sampler's device."""
        instances, rows, size = drawn.instances.to(self.device), rows.to(self.device), self.views.size
        density = rows.density
        if density is None:
            density = densities(rows.labels.unflatten(1, (size, size)), self.rarity, self.sampling, self.void)
        pixels, weights = draw_pixels(density, rays, self.sampling, generator)
        cast = pixel_rays(Camera(rows.cam2world, rows.intrinsics, size), pixels)
        group = lambda value: value.reshape(len(instances), -1, *value.shape[2:])  # noqa: E731
        return RayBatch(
            instances,
            Rays(group(cast.origins), group(cast.directions)),
            group(rows.labels.gather(1, pixels).long()),
            group(rows.depth.gather(1, pixels).float()),
            group(weights / weights.mean()),
            self.void,
        )


class RayBatches:
    """Makes the rays of any step before `last`; the views of the next one are read ahead, in a thread.

    Args:
        schedule: the instances (I,) int64 of a step, on the CPU; depends on no earlier call.
        views, rays: as of `RaySampler.draw`.
        seed: of the draws, which come from generators on the CPU that are named after the step: they are the same on
            every device.
    """

    def __init__(
        self,
        sampler: RaySampler,
        schedule: Callable[[int], Tensor],
        views: int,
        rays: int,
        seed: int,
        last: int,
    ):
        self.sampler, self.schedule, self.views, self.rays = sampler, schedule, views, rays
        self.seed, self.last = seed, last
        self.pool = ThreadPoolExecutor(1)
        self.next: tuple[int, ViewDraw, torch.Generator, Future] | None = None

    def __call__(self, step: int) -> tuple[RayBatch, torch.Generator]:
        """The rays of that step, and the generator of what else it draws."""
        if self.next is None or self.next[0] != step:
            self.next = self._begin(step)
        _, drawn, generator, reading = self.next
        rows = reading.result()
        self.next = self._begin(step + 1) if step + 1 < self.last else None
        batch = self.sampler.cast(drawn, rows, self.rays, generator)
        return batch, generator

    def _begin(self, step: int):
        generator = torch_generator(self.seed, "sof step", step)
        drawn = self.sampler.choose(self.schedule(step), self.views, generator)
        return step, drawn, generator, self.pool.submit(self.sampler.read, drawn)


def instance_schedule(seed: int, step: int, count: int, batch: int) -> Tensor:
    """The instances (batch,) int64 of a step, see `take_turns`. Depends on no earlier draw."""
    return take_turns(seed, step * batch, batch, count)


def take_turns(seed: int, first: int, number: int, count: int) -> Tensor:
    """(number,) int64 below `count`, from position `first` of seeded permutations of all, one after another."""
    orders = {}
    chosen = torch.empty(number, dtype=torch.int64)
    for i, position in enumerate(range(first, first + number)):
        epoch, offset = divmod(position, count)
        if epoch not in orders:
            orders[epoch] = torch.randperm(count, generator=torch_generator(seed, "sof epoch", epoch))
        chosen[i] = orders[epoch][offset]
    return chosen


def border_mask(label_maps: Tensor, may_be_void: bool | None = None) -> Tensor:
    """(T, H, W) bool: pixels with another class among their eight neighbours. Void borders nothing but background.

    Args:
        may_be_void: whether there may be void; None: it is looked for, for which the host waits for a GPU.
    """
    void = label_maps == labels.VOID
    if may_be_void is None:
        may_be_void = bool(void.any())
    if may_be_void:
        return _border(label_maps, void)
    padded = torch.nn.functional.pad(label_maps.float()[:, None], (1, 1, 1, 1), mode="replicate")
    highest = torch.nn.functional.max_pool2d(padded, 3, stride=1)
    lowest = -torch.nn.functional.max_pool2d(-padded, 3, stride=1)
    return (highest != lowest)[:, 0]


def _border(label_maps: Tensor, void: Tensor) -> Tensor:
    """The outline of what is there, and borders between pixels of known classes: where void ends, no class does."""
    outline = border_mask((label_maps != labels.BACKGROUND).to(torch.uint8), may_be_void=False)
    known = label_maps.float()[:, None].masked_fill(
        void[:, None], -1
    )  # void is VOID, above all, or below all
    lowest = -torch.nn.functional.max_pool2d(-known.masked_fill(void[:, None], labels.VOID), 3, 1, 1)
    highest = torch.nn.functional.max_pool2d(known, 3, 1, 1)
    return ((highest > lowest)[:, 0] & ~void) | outline


def pixel_density(label_maps: Tensor, counted: Tensor, sampling: RaySampling) -> Tensor:
    """Relative chance of each pixel of a view to be drawn, (T, H*W) uint8, at least 1.

    `counted` are the label maps whose class areas say what is rare.
    """
    return densities(
        label_maps, class_rarity(class_counts(counted, torch.arange(len(counted))), sampling), sampling
    )


def class_counts(label_maps: Tensor, chosen: Tensor) -> Tensor:
    """(256,) int64: how many pixels of those label maps of (T, H, W) that are chosen (N,) have each id."""
    # In parts, as ids of all views as numbers that can be counted would take four times their memory.
    parts = (label_maps[part].flatten().int() for part in chosen.split(COUNTED_AT_ONCE))
    counts = torch.zeros(labels.VOID + 1, dtype=torch.int64, device=label_maps.device)
    return sum((torch.bincount(part, minlength=labels.VOID + 1) for part in parts), counts)


def class_rarity(counts: Tensor, sampling: RaySampling) -> Tensor:
    """(256,) float32 by id: how much more often pixels are drawn for their class, by `class_counts`; mean over pixels
    1."""
    shares = counts.double()
    # Void is of no class: it is neither rare nor common, and doesn't make others so.
    shares = shares[: labels.NUM_CLASSES] / shares[: labels.NUM_CLASSES].sum().clamp_min(1)
    rarity = torch.where(shares > 0, shares.clamp_min(1e-9) ** -sampling.rare_power, 0.0)
    rarity = (rarity / (rarity * shares).sum().clamp_min(1e-9)).float()  # mean over pixels 1
    return torch.cat([rarity, rarity.new_ones(labels.VOID + 1 - labels.NUM_CLASSES)])


def densities(
    label_maps: Tensor, rarity: Tensor, sampling: RaySampling, may_be_void: bool | None = None
) -> Tensor:
    """`pixel_density` by how rare classes are (`class_rarity`); `may_be_void` is as of `border_mask`."""
    uniform = 1 - sampling.border_share - sampling.rare_share
    if uniform < 0:
        raise ValueError("rays.border_share and rays.rare_share add up to more than 1")
    density = torch.empty(
        (len(label_maps), label_maps[0].numel()), dtype=torch.uint8, device=label_maps.device
    )
    for chunk in torch.arange(len(label_maps), device=label_maps.device).split(64):
        border = border_mask(label_maps[chunk], may_be_void).flatten(1).float()
        border = border / border.mean(1, keepdim=True).clamp_min(1e-3)
        rare = rarity[label_maps[chunk].flatten(1).int()]
        mixed = uniform + sampling.border_share * border + sampling.rare_share * rare
        mixed = mixed / mixed.amax(1, keepdim=True) * DENSITY_LEVELS
        density[chunk] = mixed.round().clamp(1, DENSITY_LEVELS).to(torch.uint8)
    return density


def known_points(batch: RayBatch, sampling: RaySampling, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points whose class is known from depth: free space before the surface, the label just behind it.

    Half of the free points lie anywhere on the ray, the others close to the surface. All points of a ray
    that hits nothing are free.

    Returns:
        points (I, N, F + B, 3), classes (I, N, F + B) int64, VOID behind a surface of unknown class.
    """
    near, far, _ = ball_interval(batch.rays)
    solid = batch.depth > 0
    end = torch.where(solid, batch.depth - FREE_MARGIN, far).clamp_min(near)
    free, surface = sampling.free_points, sampling.surface_points
    shape = (*near.shape, free + surface)
    draw = distributed.rand(shape, generator=generator, device=near.device)
    anywhere = near[..., None] + (end - near)[..., None] * draw
    close = end[..., None] - sampling.surface_width * draw**2
    behind = batch.depth[..., None] + sampling.surface_thickness * draw
    kind = torch.arange(free + surface, device=near.device)
    kind = torch.where(kind >= free, 2, (kind >= free - free // 2).long()).expand(shape)
    kind = torch.where(solid[..., None], kind, 0)
    depth = torch.where(kind == 2, behind, torch.where(kind == 1, close.clamp_min(near[..., None]), anywhere))
    classes = torch.where(kind == 2, batch.labels[..., None], 0)
    return batch.rays.at(depth), classes
