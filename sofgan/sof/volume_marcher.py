"""Projecting a field by volume rendering: density is 1 - p_background, no sequential chain."""

import torch
from torch import Tensor, nn

from sofgan import distributed
from sofgan.sof.config import MarcherConfig
from sofgan.sof.field import Field, Representation
from sofgan.sof.rays import Projection, Rays, ball_interval

LOG_FLOOR = -16.0  # log of the least class probability, e^-16: keeps the loss of a sure mistake finite


def composite(log_probabilities: Tensor, depths: Tensor) -> Projection:
    """Class probabilities of rays from those of their samples.

    A sample stops a ray with probability 1 - p_bg and then shows one of its other classes; what passes all
    samples is background. So a ray's class probabilities add up to 1.

    Args:
        log_probabilities: (B, N, S, K) of samples in order of depth, class 0 the background.
        depths: (B, N, S) camera depths.
    """
    log_empty = log_probabilities[..., 0]
    log_passed = log_empty.cumsum(-1)
    log_reached = torch.cat([torch.zeros_like(log_passed[..., :1]), log_passed[..., :-1]], -1)
    reached = log_reached.exp()
    solid = (reached[..., None] * log_probabilities[..., 1:].exp()).sum(-2)  # (B, N, K - 1)
    log_solid = solid.clamp_min(torch.finfo(solid.dtype).tiny).log().clamp_min(LOG_FLOOR)
    logs = torch.cat([log_passed[..., -1:].clamp_min(LOG_FLOOR), log_solid], -1)
    stops = reached * (1 - log_empty.exp())
    opacity = stops.sum(-1)
    depth = (stops * depths).sum(-1) / opacity.clamp_min(1e-6)
    return Projection(logs, depth, opacity)


def pass_missed(projection: Projection, hit: Tensor) -> Projection:
    """Rays outside the ball see background for certain (and give no gradient)."""
    sure = torch.full_like(projection.log_probabilities[:1, :1], LOG_FLOOR)
    sure[..., 0] = 0
    return Projection(
        torch.where(hit[..., None], projection.log_probabilities, sure),
        torch.where(hit, projection.depth, 0.0),
        torch.where(hit, projection.opacity, 0.0),
    )


def shade(field: Field, representation: Representation, rays: Rays, depths: Tensor) -> Projection:
    """Evaluate the field at depths (B, N, S) of rays, in order, and composite them."""
    points = rays.at(depths)
    logits = field.logits(representation, points.flatten(1, 2)).float()
    return composite(logits.log_softmax(-1).unflatten(1, depths.shape[1:]), depths)


def stratified(near: Tensor, far: Tensor, samples: int, generator: torch.Generator | None) -> Tensor:
    """(B, N, S) depths, one in each of S equal parts of [near, far]: its middle, or drawn by a generator."""
    start = torch.arange(samples, device=near.device, dtype=near.dtype)
    if generator is None:
        offset = torch.full((1, 1, samples), 0.5, device=near.device, dtype=near.dtype)
    else:
        offset = distributed.rand(
            (*near.shape, samples), generator=generator, device=near.device, dtype=near.dtype
        )
    return near[..., None] + (far - near)[..., None] * (start + offset) / samples


class VolumeMarcher(nn.Module):
    """Volume rendering with samples along the chord and, where the depth is known, more around it."""

    def __init__(self, config: MarcherConfig):
        super().__init__()
        self.config = config

    def forward(
        self,
        field: Field,
        representation: Representation,
        rays: Rays,
        generator: torch.Generator | None = None,
        depth_hint: Tensor | None = None,
    ) -> Projection:
        """Project rays (B, N). `generator` jitters the samples; `depth_hint` (B, N), 0 = none, is training's."""
        near, far, hit = ball_interval(rays)
        depths = stratified(near, far, self.config.samples, generator)
        if depth_hint is not None and self.config.surface_samples:
            half = self.config.surface_width / 2
            known = depth_hint > 0
            low = torch.where(known, depth_hint - half, near)
            high = torch.where(known, depth_hint + half, far)
            around = stratified(low, high, self.config.surface_samples, generator)
            depths = torch.cat([depths, around.clamp(near[..., None], far[..., None])], -1).sort(-1).values
        return pass_missed(shade(field, representation, rays, depths), hit)
