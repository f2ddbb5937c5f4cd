"""Rendering label views of a code: coarse to fine for volume fields, ray by ray for others."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.sof import volume
from sofgan.sof.field import Representation
from sofgan.sof.model import RenderedView, SofModel
from sofgan.sof.rays import Projection, ball_interval, camera_rays

COARSE_SIZE = 32  # rays along a side of the coarse view
COARSE_SAMPLES = 32
FINE_SAMPLES = 10
COARSE_OPEN = 0.1  # a coarse sample with more than this chance of being solid opens the fine range
COARSE_CLOSED = 0.02  # and it is closed where less than this passes
RAYS_PER_CHUNK = 16384


def coarse_range(model: SofModel, representation: Representation, cam2world: Tensor, intrinsics: Tensor):
    """Where surfaces may lie, from a coarse view of one camera.

    Returns:
        low, high (COARSE_SIZE, COARSE_SIZE): camera depths between which pixels of the view need samples;
        low > high where they need none.
    """
    rays = camera_rays(cam2world[:, None], intrinsics, COARSE_SIZE)
    near, far, hit = ball_interval(rays)
    depths = volume.stratified(near, far, COARSE_SAMPLES, None)
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


def project_coarse_to_fine(
    model: SofModel, representation: Representation, cam2world: Tensor, intrinsics: Tensor, size: int
) -> Projection:
    """One view: samples only where the coarse view found something. Axes (1, size * size)."""
    rays = camera_rays(cam2world[:, None], intrinsics, size)
    coarse = torch.stack(coarse_range(model, representation, cam2world, intrinsics))
    low, high = F.interpolate(coarse[None], size=(size, size), mode="nearest").reshape(2, 1, -1)
    near, far, hit = ball_interval(rays)
    low, high = torch.maximum(low, near), torch.minimum(high, far)
    active = torch.nonzero((low < high) & hit)[:, 1]
    logs = torch.full((1, size * size, model.config.field.num_classes), volume.LOG_FLOOR, device=low.device)
    logs[..., 0] = 0.0
    depth, opacity = torch.zeros_like(low), torch.zeros_like(low)
    for chunk in active.split(RAYS_PER_CHUNK) if len(active) else ():
        depths = volume.stratified(low[:, chunk], high[:, chunk], FINE_SAMPLES, None)
        part = volume.shade(model.field, representation, rays[:, chunk], depths)
        logs[:, chunk], depth[:, chunk], opacity[:, chunk] = part.log_probabilities, part.depth, part.opacity
    return Projection(logs, depth, opacity)


def project_dense(
    model: SofModel,
    representation: Representation,
    cam2world: Tensor,
    intrinsics: Tensor,
    size: int,
    samples: int = 64,
) -> Projection:
    """One view by `samples` samples along every ray (volume), or the marcher's own walk: the plain twin."""
    rays = camera_rays(cam2world[:, None], intrinsics, size)
    parts = []
    for chunk in torch.arange(size * size, device=cam2world.device).split(RAYS_PER_CHUNK):
        if model.config.marcher.kind == "volume":
            near, far, hit = ball_interval(rays[:, chunk])
            depths = volume.stratified(near, far, samples, None)
            part = volume.shade(model.field, representation, rays[:, chunk], depths)
            parts.append(volume.pass_missed(part, hit))
        else:
            parts.append(model.project(representation, rays[:, chunk]))
    columns = zip(*((p.log_probabilities, p.depth, p.opacity) for p in parts))
    return Projection(*(torch.cat(column, 1) for column in columns))


@torch.no_grad()
def render_cameras(
    model: SofModel,
    representation: Representation,
    cam2world: Tensor,
    intrinsics: Tensor,
    size: int,
    probabilities: bool = False,
    dense: bool = False,
) -> RenderedView:
    """The view from cam2world (1, 4, 4) of a representation of one instance."""
    fast = model.config.marcher.kind == "volume" and not dense
    projection = (project_coarse_to_fine if fast else project_dense)(
        model, representation, cam2world, intrinsics, size
    )
    logs = projection.log_probabilities.reshape(size, size, -1)
    label_map = logs.argmax(-1).to(torch.uint8)
    depth = projection.depth.reshape(size, size)
    return RenderedView(
        label_map, torch.where(label_map > 0, depth, 0.0), logs.exp() if probabilities else None
    )
