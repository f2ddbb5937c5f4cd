"""Surfaces of a field: where rays meet them, and which way they face."""

import math

import torch
from torch import Tensor

from sofgan.sof.occupancy import Instance, in_chunks

LOG_HALF = math.log(0.5)
NORMAL_STEP = 0.05  # head units between the looks that make a normal

# Corners of a tetrahedron: the fewest directions that give a gradient, and none is preferred.
TETRAHEDRON = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))


def solid_log_odds(log_empty: Tensor) -> Tensor:
    """Log odds of being solid, from the log probability of the background: 0 on the surface."""
    log_empty = log_empty.clamp(-30.0, -1e-7)
    return torch.log(-torch.expm1(log_empty)) - log_empty


def crossing(odds_before: Tensor, odds: Tensor) -> Tensor:
    """Share of the way from one sample to the next at which the surface lies, as log odds are nearly linear across it.

    1 where the samples aren't on its two sides.
    """
    crossed = (odds_before < 0) & (odds > 0)
    return torch.where(crossed, odds_before / torch.where(crossed, odds_before - odds, 1.0), 1.0)


def surface_depth(log_empty: Tensor, depths: Tensor) -> Tensor:
    """Camera depths (...) where half of a ray is stopped, from samples (..., S) in order; 0 where it passes."""
    passed = log_empty.cumsum(-1)
    stopped = passed < LOG_HALF
    last = stopped.int().argmax(-1, keepdim=True)
    before = (last - 1).clamp_min(0)
    odds = solid_log_odds(log_empty)
    share = crossing(odds.gather(-1, before), odds.gather(-1, last))
    start, end = depths.gather(-1, before), depths.gather(-1, last)
    return torch.where(stopped[..., -1], (start + share * (end - start))[..., 0], 0.0)


@torch.no_grad()
def surface_normals(instance: Instance, points: Tensor, step: float = NORMAL_STEP) -> Tensor:
    """Outward unit normals (P, 3) in head space at points (P, 3) on the surface.

    They are differences of the log odds of being solid, which unlike the probability keep changing away from
    the surface, over `step` head units, which hides the texels of the field.
    """
    corners = torch.tensor(TETRAHEDRON, device=points.device) / math.sqrt(3)
    looks = points[:, None] + 0.5 * step * corners
    odds = solid_log_odds(in_chunks(instance.log_empty, looks.flatten(0, 1))).reshape(-1, 4)
    outward = -(odds @ corners)
    return outward / outward.norm(dim=-1, keepdim=True).clamp_min(1e-12)
