"""Draws of a label map's pixels for a step, and the weights of their rays."""

import torch
from torch import Tensor

from sofgan import distributed
from sofgan.sof.config import RaySampling


def draw_pixels(
    density: Tensor, rays: int, sampling: RaySampling, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pixels (V, N) int64 of V maps, flat indices, and the weights (V, N) of their rays, mean about 1.

    With replacement N is `rays`. Without, a pixel is drawn once at most, so N is the number of a map's pixels where
    that is less; all of them then come in their order.

    Args:
        density: (V, P) uint8, relative chances from `sofgan.sof.data.pixel_density`.
    """
    maps, pixels = density.shape
    if not sampling.replacement:
        if rays >= pixels:
            drawn = torch.arange(pixels, device=density.device).expand(maps, -1)
        else:
            scores = distributed.rand((maps, pixels), generator, density.device)
            drawn = scores.topk(rays, dim=1).indices
        return drawn, torch.ones(drawn.shape, device=density.device)
    cumulative = density.float().cumsum(1)
    total = cumulative[:, -1:]
    places = distributed.rand((maps, rays), generator, density.device) * total
    drawn = torch.searchsorted(cumulative, places, right=True).clamp_max(pixels - 1)
    chances = density.gather(1, drawn).float().clamp_min(1)
    return drawn, (total / pixels / chances) ** sampling.correction
