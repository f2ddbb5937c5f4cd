"""Round 2: codes and cameras of single label maps (paper, section 6.2), and optionally the modules with them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import cameras
from sofgan.labels import NUM_CLASSES
from sofgan.metrics.segmentation import image_mean_iou
from sofgan.seeds import torch_generator
from sofgan.sof import volume
from sofgan.sof.config import InvertMasks, RaySampling
from sofgan.sof.data import pixel_density
from sofgan.sof.field import Representation, select
from sofgan.sof.inversion_cameras import FramingCameras, PositionCameras
from sofgan.sof.inversion_start import search_start
from sofgan.sof.model import Sof, SofModel
from sofgan.sof.rays import Projection, Rays, ball_interval
from sofgan.sof.render import COARSE_SIZE, coarse_range, render_cameras
from sofgan.training import Checkpoints, warmup_cosine

FIT_SAMPLES = 10  # of a ray, where a coarse view says that the surface lies
RANGES_EVERY_STEPS = 20  # the coarse views are made anew
WARMUP_SHARE = 0.05


@dataclass(frozen=True)
class Inversion:
    """Fitted maps: codes (M, Z), camera parameters (M, C) with their names, the cameras themselves, and the
    mean IoU (M,) of each map against the fit. `model` is the field, changed only where it was released."""

    codes: Tensor
    camera_names: tuple[str, ...]
    cameras: Tensor
    cam2world: Tensor
    intrinsics: Tensor
    miou: np.ndarray
    fitted: np.ndarray  # (M, H, W) uint8 label maps of the fit
    model: SofModel


@torch.no_grad()
def depth_ranges(model: SofModel, codes: Tensor, cam2world: Tensor, intrinsics: Tensor) -> Tensor:
    """(M, 2, C, C) depths between which the surfaces of M codes, seen from M cameras, may lie."""
    made = model.generate(codes)
    views = zip(range(len(codes)), cam2world.split(1), intrinsics)
    return torch.stack(
        [torch.stack(coarse_range(model, select(made, slice(i, i + 1)), p, k)) for i, p, k in views]
    )


def project_within(
    model: SofModel, representation: Representation, rays: Rays, ranges: Tensor, generator: torch.Generator
) -> Projection:
    """Project rays (M, N) with few samples, all of them between depths (M, N, 2) as rendering places them.

    A ray whose range is empty is sampled all along: there something may have to grow.
    """
    near, far, hit = ball_interval(rays)
    known = ranges[..., 0] < ranges[..., 1]
    low = torch.where(known, torch.maximum(ranges[..., 0], near), near)
    high = torch.where(known, torch.minimum(ranges[..., 1], far), far)
    depths = volume.stratified(low, high, FIT_SAMPLES, generator)
    return volume.pass_missed(volume.shade(model.field, representation, rays, depths), hit)


def map_rays(pixels: Tensor, size: int, cam2world: Tensor, intrinsics: Tensor) -> Rays:
    """Rays (M, N) through pixels (M, N), flat indices of size x size maps, of M cameras; differentiable."""
    centres = torch.stack([pixels % size + 0.5, pixels // size + 0.5], -1) / size
    directions = cameras.unproject(centres, intrinsics[:, None]) @ cam2world[:, :3, :3].transpose(1, 2)
    return Rays(cam2world[:, None, :3, 3].expand_as(directions), directions)


class _Fit:
    """Codes, cameras and modules of a group of maps under optimisation."""

    def __init__(self, model: SofModel, maps: Tensor, codes: Tensor, views, config: InvertMasks, prior):
        self.model, self.maps, self.config, self.views = model, maps, config, views
        self.codes = torch.nn.Parameter(codes.clone())
        self.mean, self.std = prior
        self.ranges = None
        self.density = pixel_density(maps, maps, RaySampling())
        self.modules = [*model.field.parameters(), *model.marcher.parameters()]
        for parameter in self.modules:
            parameter.requires_grad_(False)
        self.rates = [config.code_learning_rate, config.camera_learning_rate, config.module_learning_rate]
        groups = ([self.codes], list(views.parameters()), self.modules)
        self.optimizer = torch.optim.Adam(
            [{"params": params, "lr": rate} for params, rate in zip(groups, self.rates)], betas=(0.9, 0.99)
        )

    def step(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """One step on a random part of the maps (all of them, where the group is no larger)."""
        config, device = self.config, self.maps.device
        if step == config.release_after_steps:
            for parameter in self.modules:
                parameter.requires_grad_(True)
        count = min(config.maps_per_step, len(self.maps))
        index = torch.randperm(len(self.maps), generator=generator, device=device)[:count]
        cumulative = self.density[index].float().cumsum(1)
        draws = torch.rand((count, config.rays_per_map), generator=generator, device=device)
        pixels = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)
        pixels = pixels.clamp_max(cumulative.shape[1] - 1)
        weights = (cumulative[:, -1:] / self.density[index].gather(1, pixels).float()) ** 0.5
        classes = self.maps[index].flatten(1).gather(1, pixels).long()

        factor = warmup_cosine(step, config.steps, max(1, int(WARMUP_SHARE * config.steps)))
        still = step < config.camera_only_share * config.steps
        for group, rate, held in zip(self.optimizer.param_groups, self.rates, (still, False, still)):
            group["lr"] = 0.0 if held else rate * factor
        codes = self.codes[index]
        cam2world, intrinsics = self.views(index)
        rays = map_rays(pixels, self.maps.shape[-1], cam2world, intrinsics)
        representation = self.model.generate(codes)
        if self.model.config.marcher.kind == "volume":
            if count < len(self.maps):
                ranges = depth_ranges(self.model, codes, cam2world, intrinsics)
            else:
                if step % RANGES_EVERY_STEPS == 0:
                    self.ranges = depth_ranges(self.model, self.codes, *self.views(torch.arange(count)))
                ranges = self.ranges[index]
            ranges = self._at_pixels(ranges, pixels)
            projection = project_within(self.model, representation, rays, ranges, generator)
        else:
            projection = self.model.project(representation, rays, generator)
        picked = projection.log_probabilities.gather(-1, classes[..., None])[..., 0]
        fit = -(weights / weights.mean() * picked).mean()
        prior = ((codes - self.mean) / self.std).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        (fit + config.code_weight * prior).backward()
        self.optimizer.step()
        return {"cross_entropy": fit.detach(), "code_distance": prior.detach()}

    def _at_pixels(self, ranges: Tensor, pixels: Tensor) -> Tensor:
        """(M, N, 2) of the coarse cells (M, 2, C, C) in which pixels (M, N) lie."""
        size = self.maps.shape[-1]
        column, row = pixels % size * COARSE_SIZE // size, pixels // size * COARSE_SIZE // size
        cell = (row * COARSE_SIZE + column)[:, None].expand(-1, 2, -1)
        return ranges.flatten(2).gather(2, cell).transpose(1, 2)

    def state(self) -> dict:
        """For a checkpoint."""
        return {
            "ranges": self.ranges,
            "codes": self.codes.detach(),
            "views": self.views.state_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict) -> None:
        """Go on from a checkpoint."""
        with torch.no_grad():
            self.codes.copy_(state["codes"])
        self.ranges = state["ranges"]
        self.views.load_state_dict(state["views"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def _start(
    sof: Sof, model: SofModel, maps: Tensor, radius: float, intrinsics: Tensor, config: InvertMasks, seed: int
):
    """Starting codes and cameras: searched (fast), or the mean code and a frontal camera (paper)."""
    if config.preset == "paper":
        position = torch.tensor([0.0, 0.0, radius], device=maps.device).expand(len(maps), 3)
        codes = sof.codes.mean(0).expand(len(maps), -1)
        return codes, PositionCameras(position, (0.0, 0.0, 0.0), intrinsics)
    codes, values = search_start(model, sof.codes, maps, radius, intrinsics, config, seed)
    return codes, FramingCameras(values, radius, intrinsics)


def invert(
    sof: Sof,
    maps: Tensor,
    config: InvertMasks,
    seed: int,
    checkpoints: Checkpoints | None = None,
    checkpoint_every_steps: int = 500,
    status: Callable[[str], None] | None = None,
    report: Callable[[int, dict[str, float], dict[str, np.ndarray]], None] | None = None,
) -> Inversion:
    """Fit codes and cameras to label maps (M, H, W) uint8, by `config`.

    The fast preset takes groups of `maps_per_step` maps one after another; the paper's draws so many of all
    maps at each step. Modules change only from `release_after_steps` on, and are then carried from group to
    group.

    """
    device = sof.device
    maps, radius, intrinsics = maps.to(device), sof.radius, sof.intrinsics.to(device)
    model = copy.deepcopy(sof.model)
    prior = (sof.codes.mean(0), sof.codes.std(0).clamp_min(1e-3) if len(sof.codes) > 1 else torch.ones(()))
    size = config.maps_per_step if config.preset == "fast" else len(maps)
    groups = list(torch.arange(len(maps)).split(size))
    resumed = checkpoints.latest(device) if checkpoints else None
    total, done_steps, state = len(groups) * config.steps, *(resumed or (0, None))
    finished = state["finished"] if state else []
    for number, group in enumerate(groups):
        if number < len(finished):
            continue
        codes, views = _start(sof, model, maps[group], radius, intrinsics, config, seed)
        fit = _Fit(model, maps[group], codes, views.to(device), config, prior)
        first = 0
        if state:
            first = done_steps - number * config.steps
            fit.load(state["fit"])
            if first > config.release_after_steps:
                model.requires_grad_(True)
            state = None
        for step in range(first, config.steps):
            terms = fit.step(step, torch_generator(seed, "inversion", number, step, device=device))
            done = number * config.steps + step + 1
            if status and done % 10 == 0:
                status(f"{done}/{total} steps of {len(groups)} groups")
            if report and done % 100 == 0:
                report(done, {name: float(value) for name, value in terms.items()}, {})
            if checkpoints and done % checkpoint_every_steps == 0 and step + 1 < config.steps:
                checkpoints.save(done, {"finished": finished, "fit": fit.state()})
        finished = [*finished, {"codes": fit.codes.detach(), "values": views.values.detach()}]
    return _score(model, maps, finished, views)


@torch.no_grad()
def _score(model: SofModel, maps: Tensor, finished: list[dict], views) -> Inversion:
    codes = torch.cat([part["codes"] for part in finished])
    values = torch.cat([part["values"] for part in finished])
    all_views = copy.deepcopy(views)
    all_views.values = torch.nn.Parameter(values)
    cam2world, intrinsics = all_views(torch.arange(len(values), device=values.device))
    fitted = []
    for code, pose, own in zip(codes, cam2world, intrinsics):
        representation = model.generate(code[None])
        fitted.append(render_cameras(model, representation, pose[None], own, maps.shape[-1]).labels)
    fitted = torch.stack(fitted)
    miou = image_mean_iou(fitted, maps, NUM_CLASSES)
    model.requires_grad_(False)
    return Inversion(codes, views.NAMES, values, cam2world, intrinsics, miou, fitted.cpu().numpy(), model)


def extend(sof: Sof, inversion: Inversion, keys: list[str]) -> Sof:
    """The field with the inverted codes after the known ones, marked as round 2."""
    model = copy.deepcopy(inversion.model)
    model.codes = torch.nn.Parameter(
        torch.cat([sof.codes, inversion.codes.to(sof.device)]), requires_grad=False
    )
    names, rounds = [*sof.instance_names, *keys], [*sof.rounds, *[2] * len(keys)]
    return Sof(model, names, rounds, sof.space, sof.poses, sof.intrinsics)


def resize_maps(maps: np.ndarray, size: int) -> Tensor:
    """(M, H, W) uint8 label maps to (M, size, size), nearest neighbour."""
    tensor = torch.from_numpy(np.ascontiguousarray(maps))
    return F.interpolate(tensor[:, None].float(), size=(size, size), mode="nearest-exact")[:, 0].to(
        torch.uint8
    )
