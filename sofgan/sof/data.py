"""The multi-view dataset in memory, and the draw of training rays and points from it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sofgan import cameras, distributed, labels
from sofgan.errors import UserError
from sofgan.seeds import derive_seed, torch_generator
from sofgan.sof.config import RaySampling
from sofgan.sof.ray_draws import draw_pixels
from sofgan.sof.rays import Rays, ball_interval

DENSITY_LEVELS = 255  # a pixel's chance to be drawn is kept as one byte
LARGEST_HELD_OUT_SHARE = 0.2  # of the instances: who has few scans has none to spare
FREE_MARGIN = 0.004  # head units in front of the surface that are not called free: depth is float16


class ViewsError(UserError, ValueError):
    """A view file can't be used."""


@dataclass(frozen=True)
class ViewSet:
    """Label views of several instances. A view's picture, pose and instance share one index."""

    names: list[str]  # of the S instances, "batch/scan"
    labels: Tensor  # (T, H, W) uint8, VOID where a surface's class is unknown
    depth: Tensor  # (T, H, W) float16 camera z, 0 = nothing
    cam2world: Tensor  # (T, 4, 4) float32
    intrinsics: Tensor  # (S, 3, 3) float32, in image widths
    instance: Tensor  # (T,) int64
    held_out: Tensor  # (T,) bool

    @property
    def size(self) -> int:
        """Pixels along a side."""
        return self.labels.shape[-1]

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


def read_views(paths: list[Path]) -> ViewSet:
    """Read view files, one instance each, in the order given.

    Raises:
        ViewsError: there are none, or one holds other shapes, ids or sizes than the first; it is named.
    """
    if not paths:
        raise ViewsError("there are no view files: run render_views first")
    parts, intrinsics, names = [], [], []
    for index, path in enumerate(paths):
        with np.load(path) as file:
            missing = {"labels", "depth", "cam2world", "intrinsics", "split"} - set(file)
            if missing:
                raise ViewsError(f"{path}: no {', '.join(sorted(missing))}")
            count, *shape = file["labels"].shape
            if len(shape) != 2 or shape[0] != shape[1] or (parts and shape != [*parts[0][0].shape[1:]]):
                raise ViewsError(f"{path}: label maps of {shape} pixels; all must be square and of one size")
            if file["depth"].shape != file["labels"].shape or file["cam2world"].shape != (count, 4, 4):
                raise ViewsError(f"{path}: labels, depth and cam2world disagree in shape")
            labels.check_ids(file["labels"], str(path), void=True)
            parts.append(
                (
                    file["labels"],
                    file["depth"].astype(np.float16),
                    file["cam2world"].astype(np.float32),
                    np.full(count, index),
                    file["split"] != 0,
                )
            )
            intrinsics.append(file["intrinsics"].astype(np.float32))
        names.append(instance_name(path))
    stacked = [torch.from_numpy(np.concatenate(column)) for column in zip(*parts)]
    label_maps, depth, cam2world, instance, held_out = stacked
    return ViewSet(
        names, label_maps, depth, cam2world, torch.from_numpy(np.stack(intrinsics)), instance, held_out
    )


@dataclass(frozen=True)
class RayBatch:
    """Rays of several instances with their truth; all (I, N) beside `instances` (I,)."""

    instances: Tensor
    rays: Rays
    labels: Tensor  # int64, VOID where the class is unknown
    depth: Tensor  # float32, 0 = nothing hit
    weights: Tensor  # of the loss, mean about 1
    void: bool = False  # whether labels may be VOID


class RaySampler:
    """Draws rays of training views, more of them near label borders and on rare classes."""

    def __init__(self, views: ViewSet, sampling: RaySampling):
        """Views lie on the device where rays shall be drawn; held-out ones are never drawn."""
        self.views, self.sampling = views, sampling
        self.density = pixel_density(views.labels, views.labels[~views.held_out], sampling)
        # A row an instance, its training views in order, filled up with -1.
        seen = torch.nonzero(~views.held_out)[:, 0]
        whose, order = views.instance[seen].sort(stable=True)
        self.void = bool((views.labels == labels.VOID).any())
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
        device = self.views.labels.device
        scores = distributed.rand((len(instances), self.training_views.shape[1]), generator, device)
        scores = scores.masked_fill(self.training_views[instances] < 0, 2.0)
        chosen = scores.argsort(1)[:, : min(views, self.fewest)]
        index = self.training_views[instances].gather(1, chosen)  # (I, V) views
        flat = index.flatten()
        pixels, weights = draw_pixels(self.density[flat], rays, self.sampling, generator)
        size = self.views.size
        centres = torch.stack([pixels % size + 0.5, pixels // size + 0.5], -1) / size
        cam2world = self.views.cam2world[flat]
        intrinsics = self.views.intrinsics[self.views.instance[flat]]
        directions = cameras.unproject(centres, intrinsics[:, None]) @ cam2world[:, :3, :3].transpose(1, 2)
        origins = cam2world[:, None, :3, 3].expand_as(directions)
        group = lambda value: value.reshape(len(instances), -1, *value.shape[2:])  # noqa: E731
        return RayBatch(
            instances,
            Rays(group(origins), group(directions)),
            group(self.views.labels[flat].flatten(1).gather(1, pixels).long()),
            group(self.views.depth[flat].flatten(1).gather(1, pixels).float()),
            group(weights / weights.mean()),
            self.void,
        )


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


def border_mask(label_maps: Tensor) -> Tensor:
    """(T, H, W) bool: pixels with another class among their eight neighbours. Void borders nothing but background."""
    void = label_maps == labels.VOID
    if bool(void.any()):
        return _border(label_maps, void)
    padded = torch.nn.functional.pad(label_maps.float()[:, None], (1, 1, 1, 1), mode="replicate")
    highest = torch.nn.functional.max_pool2d(padded, 3, stride=1)
    lowest = -torch.nn.functional.max_pool2d(-padded, 3, stride=1)
    return (highest != lowest)[:, 0]


def _border(label_maps: Tensor, void: Tensor) -> Tensor:
    """The outline of what is there, and borders between pixels of known classes: where void ends, no class does."""
    outline = border_mask((label_maps != labels.BACKGROUND).to(torch.uint8))
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
    # In parts, as ids of all views as numbers that can be counted would take four times their memory.
    parts = (part.flatten().int() for part in counted.split(1024))
    shares = sum(torch.bincount(part, minlength=labels.VOID + 1) for part in parts).double()
    # Void is of no class: it is neither rare nor common, and doesn't make others so.
    shares = shares[: labels.NUM_CLASSES] / shares[: labels.NUM_CLASSES].sum().clamp_min(1)
    rarity = torch.where(shares > 0, shares.clamp_min(1e-9) ** -sampling.rare_power, 0.0)
    rarity = (rarity / (rarity * shares).sum().clamp_min(1e-9)).float()  # mean over pixels 1
    rarity = torch.cat([rarity, rarity.new_ones(labels.VOID + 1 - labels.NUM_CLASSES)])
    uniform = 1 - sampling.border_share - sampling.rare_share
    if uniform < 0:
        raise ValueError("rays.border_share and rays.rare_share add up to more than 1")
    density = torch.empty(
        (len(label_maps), label_maps[0].numel()), dtype=torch.uint8, device=label_maps.device
    )
    for chunk in torch.arange(len(label_maps), device=label_maps.device).split(64):
        border = border_mask(label_maps[chunk]).flatten(1).float()
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
