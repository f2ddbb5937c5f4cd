"""Rendering views of a code: volume fields only where an occupancy grid says that something is seen, others
ray by ray."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.cameras import Camera
from sofgan.sof import volume_marcher
from sofgan.sof.field import Representation
from sofgan.sof.model import SofModel, field_instance
from sofgan.sof.occupancy import CLOSED, Instance, Occupancy, find_occupancy, in_chunks
from sofgan.sof.rays import Projection, Rays, ball_interval, camera_rays
from sofgan.sof.surface import (
    LOG_HALF,
    crossing,
    solid_log_odds,
    surface_depth,
    surface_normals,
)

COARSE_SIZE = 32  # rays along a side of the coarse view
COARSE_SAMPLES = 32
COARSE_OPEN = 0.1  # a coarse sample with more than this chance of being solid opens the fine range
COARSE_CLOSED = 0.02  # and it is closed where less than this passes
SAMPLES = 64  # along the ball's diameter
LOOKUP_SIZE = 64  # rays along a side that look up the occupancy for their neighbours; half of them if more
ROUNDS = (0, 4, 8)  # of a ray's needed samples, those that begin the rounds in which they are asked for
SEEN_OPACITY = 0.01  # rays that are stopped less show no class
CLASS_DEPTH = 0.005  # head units behind the surface: there a ray's classes are read
RAYS_PER_CHUNK = 512  # of dense views: memory that stays in caches


@dataclass(frozen=True)
class RenderedView:
    """One rendered view: labels (H, W) uint8, camera depth (H, W) float32 with 0 where nothing is hit, and
    where asked for class probabilities (H, W, K) float32 and outward unit normals (H, W, 3) float32 along the
    world's axes, 0 where nothing is hit."""

    labels: Tensor
    depth: Tensor
    probabilities: Tensor | None = None
    normals: Tensor | None = None


@dataclass(frozen=True)
class PreparedCode:
    """A code made ready for many views: its representation, and where it is solid (of a volume field)."""

    representation: Representation
    occupancy: Occupancy | None


def coarse_range(model: SofModel, representation: Representation, camera: Camera):
    """Range of depths where surfaces may lie, from a coarse view of one camera, whatever its size.

    Returns:
        low, high (COARSE_SIZE, COARSE_SIZE): camera depths between which pixels of the view need samples;
        low > high where they need none.
    """
    rays = camera_rays(replace(camera, size=COARSE_SIZE))
    near, far, hit = ball_interval(rays)
    depths = volume_marcher.stratified(near, far, COARSE_SAMPLES, None)
    logits = model.field.logits(representation, rays.at(depths).flatten(1, 2)).float()
    log_empty = logits.log_softmax(-1)[..., 0].unflatten(1, depths.shape[1:])  # (1, N, S)
    solid = (1 - log_empty.exp() > COARSE_OPEN) & hit[..., None]
    before = log_empty.cumsum(-1) - log_empty  # log of what reaches each sample
    needed = solid & (before.exp() > COARSE_CLOSED)
    spacing = (far - near)[..., None] / COARSE_SAMPLES
    low = torch.where(needed, depths - spacing, torch.inf).amin(-1)
    high = torch.where(needed, depths + 0.5 * spacing, -torch.inf).amax(-1)
    square = (1, COARSE_SIZE, COARSE_SIZE)
    low = -F.max_pool2d(-low.reshape(square), 3, stride=1, padding=1)
    high = F.max_pool2d(high.reshape(square), 3, stride=1, padding=1)
    return low[0], high[0]


def project_occupied(instance: Instance, occupancy: Occupancy, camera: Camera) -> Projection:
    """One view: samples at distances that all rays share, only where the occupancy grid wants them.

    The needed samples of all rays lie in one list, ray by ray and in order of depth. Classes are asked for once
    a ray, just behind the surface: the paper's query of the field at a ray's depth. Samples lie up to their
    spacing behind it, where small parts have ended, so that adding up theirs would be less sharp.

    Returns:
        Axes (1, size * size). The depth is where half of a ray is stopped, 0 where that isn't.
    """
    rays = camera_rays(camera)[0]
    near, _, hit = ball_interval(rays)
    length = rays.directions.norm(dim=-1)
    nearest = torch.where(hit, near * length, 1e3).amin()
    spacing = 2 / SAMPLES
    distances = nearest + (torch.arange(SAMPLES, device=length.device) + 0.5) * spacing
    needed = _needed_samples(occupancy, camera, distances)
    logs = length.new_full((len(length), instance.num_classes), volume_marcher.LOG_FLOOR)
    logs[:, 0] = 0
    index = torch.nonzero(needed.flatten())[:, 0]
    if len(index) == 0:
        return Projection(logs[None], torch.zeros_like(length)[None], torch.zeros_like(length)[None])
    ray, sample = index // SAMPLES, index % SAMPLES
    depths = distances[sample] / length[ray]
    points = rays.origins[ray] + depths[:, None] * rays.directions[ray]
    ends = torch.searchsorted(index, SAMPLES * torch.arange(1, len(length) + 1, device=index.device))
    log_empty = _ask_front_to_back(instance, points, ray, ends)

    def running_sums(values):  # Before each sample and after the last; double precision keeps rays apart.
        return F.pad(values.double().cumsum(0), (1, 0))

    def ray_sums(sums):
        return sums[ends].diff(prepend=sums[:1])

    passed = running_sums(log_empty)
    log_passed = ray_sums(passed).float()
    before_ray = F.pad(passed[ends[:-1]], (1, 0))
    log_reached = (passed[:-1] - before_ray[ray]).float()
    surface = _listed_depth(index, log_empty, log_reached, depths, spacing / length[ray])
    depth = ray_sums(running_sums(surface)).float()
    opacity = -torch.expm1(log_passed)
    stops = log_reached.exp() * -torch.expm1(log_empty)
    mean_depth = ray_sums(running_sums(stops * depths)).float() / opacity.clamp_min(1e-6)
    # Ask for classes. What is stopped less than by half shows those of its mean depth.
    seen = torch.nonzero(opacity > SEEN_OPACITY)[:, 0]
    if len(seen):
        place = torch.where(depth > 0, depth + CLASS_DEPTH / length, mean_depth)[seen]
        points = rays.origins[seen] + place[:, None] * rays.directions[seen]
        logs[seen, 1:] = opacity[seen].log()[:, None] + in_chunks(instance.log_classes, points)
    logs[:, 0] = torch.where(opacity > SEEN_OPACITY, log_passed, 0.0)
    return Projection(logs.clamp_min(volume_marcher.LOG_FLOOR)[None], depth[None], opacity[None])


def _needed_samples(occupancy: Occupancy, camera: Camera, distances: Tensor) -> Tensor:
    """(size * size, S) bool: lookups for a view of fewer rays, each of which stands for its neighbours."""
    size = camera.size
    lookups = max(min(size, LOOKUP_SIZE), size // 2)
    rays = camera_rays(replace(camera, size=lookups))[0]
    needed = occupancy.needed(rays, distances).unflatten(0, (lookups, lookups))
    places = torch.arange(size, device=distances.device) * lookups // size
    return needed[places][:, places].flatten(0, 1)


def _ask_front_to_back(instance: Instance, points: Tensor, ray: Tensor, ends: Tensor) -> Tensor:
    """(P,) log of what passes each sample of a list, of whose rays the samples end at `ends` (N,).

    A ray is asked a few samples at a time, so that those behind its surface are left out: they count as empty.
    """
    rank = torch.arange(len(ray), device=ray.device) - F.pad(ends[:-1], (1, 0))[ray]
    log_empty, log_passed = points.new_zeros(len(ray)), points.new_zeros(len(ends))
    for first, last in zip(ROUNDS, (*ROUNDS[1:], SAMPLES)):
        asked = (rank >= first) & (rank < last) & (log_passed[ray] > math.log(CLOSED))
        asked = torch.nonzero(asked)[:, 0]
        if len(asked) == 0:
            break
        places = points[asked]
        in_ball = (places * places).sum(-1) < 1
        log_empty[asked] = torch.where(in_ball, in_chunks(instance.log_empty, places), 0.0)
        log_passed.index_add_(0, ray[asked], log_empty[asked])
    return log_empty


def _listed_depth(index, log_empty, log_reached, depths, spacing) -> Tensor:
    """`surface_depth` for a list of samples: the depth at the one of each ray that stops it by half, else 0."""
    stops = (log_reached >= LOG_HALF) & (log_reached + log_empty < LOG_HALF)
    follows = (index.diff(prepend=index[:1] - 2) == 1) & (index % SAMPLES > 0)
    odds = solid_log_odds(log_empty)
    share = torch.where(follows, crossing(odds.roll(1), odds), 1.0)
    return torch.where(stops, depths - (1 - share) * spacing, 0.0)


def project_coarse_to_fine(
    model: SofModel, representation: Representation, camera: Camera, occupancy: Occupancy | None = None
) -> Projection:
    """One view, axes (1, size * size). The occupancy is found for it where none is given."""
    instance = field_instance(model, representation)
    if occupancy is None:
        occupancy = find_occupancy(instance, device=camera.cam2world.device)
    return project_occupied(instance, occupancy, camera)


def project_dense(
    model: SofModel, representation: Representation, camera: Camera, samples: int = SAMPLES
) -> Projection:
    """One view by `samples` samples along every ray (volume_marcher), or the marcher's own walk: the plain twin."""
    rays = camera_rays(camera)
    parts = []
    for chunk in torch.arange(camera.size**2, device=rays.origins.device).split(RAYS_PER_CHUNK):
        if model.config.marcher.kind == "volume":
            parts.append(_chord(model, representation, rays[:, chunk], samples))
        else:
            parts.append(model.project(representation, rays[:, chunk]))
    columns = zip(*((p.log_probabilities, p.depth, p.opacity) for p in parts))
    return Projection(*(torch.cat(column, 1) for column in columns))


def _chord(model: SofModel, representation: Representation, rays: Rays, samples: int) -> Projection:
    near, far, hit = ball_interval(rays)
    depths = volume_marcher.stratified(near, far, samples, None)
    logits = model.field.logits(representation, rays.at(depths).flatten(1, 2)).float()
    logs = logits.log_softmax(-1).unflatten(1, depths.shape[1:])
    seen = volume_marcher.composite(logs, depths)
    seen = Projection(seen.log_probabilities, surface_depth(logs[..., 0], depths), seen.opacity)
    return volume_marcher.pass_missed(seen, hit)


@torch.no_grad()
def render_view(
    model: SofModel,
    representation: Representation,
    camera: Camera,
    *,
    probabilities: bool = False,
    normals: bool = False,
    dense: bool = False,
    occupancy: Occupancy | None = None,
) -> RenderedView:
    """View of a representation of one instance from one camera, of float32 tensors on the model's device.

    Args:
        probabilities, normals: whether the view has them.
        dense: sample every ray all along (the plain twin).
        occupancy: of the instance, where it is kept for several views.
    """
    if model.config.marcher.kind != "volume" or dense:
        seen = project_dense(model, representation, camera)
    else:
        seen = project_coarse_to_fine(model, representation, camera, occupancy)
    view = picture(seen, camera.size, probabilities)
    if not normals:
        return view
    return with_normals(view, camera_rays(camera), field_instance(model, representation))


def picture(seen: Projection, size: int, probabilities: bool = False) -> RenderedView:
    """View that a projection of all pixels (1, size * size) shows."""
    logs = seen.log_probabilities.reshape(size, size, -1)
    label_map = logs.argmax(-1).to(torch.uint8)
    depth = torch.where(label_map > 0, seen.depth.reshape(size, size), 0.0)
    return RenderedView(label_map, depth, logs.exp() if probabilities else None)


def with_normals(view: RenderedView, rays: Rays, instance: Instance) -> RenderedView:
    """The view with the normals of what its rays (1, H * W) hit."""
    hit = torch.nonzero(view.labels.flatten())[:, 0]
    normals = torch.zeros((view.labels.numel(), 3), device=view.depth.device)
    if len(hit):
        points = rays.at(view.depth.reshape(1, -1))[0, hit]
        normals[hit] = surface_normals(instance, points)
    return replace(view, normals=normals.reshape(*view.labels.shape, 3))
