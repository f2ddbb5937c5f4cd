"""Batches of training rays and points, drawn from sets of label views."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from sofgan import distributed, labels
from sofgan.cameras import Camera
from sofgan.seeds import torch_generator
from sofgan.sof.config import RaySampling
from sofgan.sof.pixel_density import class_counts, class_rarity, densities
from sofgan.sof.ray_draws import draw_pixels
from sofgan.sof.rays import Rays, ball_interval, pixel_rays
from sofgan.sof.view_set import ViewsError, ViewSet

FREE_MARGIN = 0.004  # head units in front of the surface that are not called free: depth is float16


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
