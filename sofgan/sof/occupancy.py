"""Occupancy of an instance: a coarse grid over the ball, made once for a code, by which views skip what
they can't see: empty space, and what lies behind surfaces."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.sof.field import Field, Representation
from sofgan.sof.rays import Rays

GRID_CELLS = 40  # along a side of the ball's box
OPEN = 0.03  # a cell is empty where it and its neighbours have less than this chance of being solid
CLOSED = 0.02  # nothing is looked for where less than this passes
SKIP = 1.0  # a cell's value where it is empty
POINTS_PER_CHUNK = 1 << 15


class Instance(Protocol):
    """One head, which can be asked what is at points (P, 3) of head space."""

    num_classes: int

    def log_empty(self, points: Tensor) -> Tensor:
        """(P,) log probability of the background."""

    def log_classes(self, points: Tensor) -> Tensor:
        """(P, K - 1) log probabilities of the other classes where it isn't the background."""


class FieldInstance:
    """A field's head: what it generated from one code."""

    def __init__(self, field: Field, representation: Representation, num_classes: int):
        self.field, self.representation, self.num_classes = field, representation, num_classes

    def _logits(self, points: Tensor) -> Tensor:
        return self.field.logits(self.representation, points[None])[0].float()

    def log_empty(self, points: Tensor) -> Tensor:
        """(P,) log probability of the background."""
        logits = self._logits(points)
        return logits[:, 0] - logits.logsumexp(-1)

    def log_classes(self, points: Tensor) -> Tensor:
        """(P, K - 1) log probabilities of the other classes where it isn't the background."""
        return self._logits(points)[:, 1:].log_softmax(-1)


@dataclass(frozen=True)
class Occupancy:
    """Cells (G + 2, G + 2, G + 2) in order z, y, x: G cover [-1, 1], and the border is empty. Values are `SKIP`
    where nothing is near, else the log of the greatest background probability in and about the cell."""

    cells: Tensor

    def at(self, points: Tensor) -> Tensor:
        """Values (...) of the cells that hold points (3, ...)."""
        side = self.cells.shape[0]
        x, y, z = (points * (side / 2 - 1) + side / 2).int().clamp_(0, side - 1)
        return self.cells.flatten()[(z * side + y) * side + x]

    def needed(self, rays: Rays, distances: Tensor) -> Tensor:
        """Mask (N, S) bool of the samples at distances (S,) along rays (N) that may show something."""
        directions = rays.directions / rays.directions.norm(dim=-1, keepdim=True)
        values = self.at(rays.origins.T[..., None] + directions.T[..., None] * distances)
        log_passes = values.clamp_max(0)
        log_reached = log_passes.cumsum(-1) - log_passes
        return (values <= 0) & (log_reached > math.log(CLOSED))


def cell_centres(cells: int, device: torch.device | str | None = None) -> Tensor:
    """Centres (G, G, G, 3) of cells over [-1, 1], in order z, y, x of the cells and x, y, z of the points."""
    middles = (torch.arange(cells, device=device, dtype=torch.float32) + 0.5) * (2 / cells) - 1
    z, y, x = torch.meshgrid(middles, middles, middles, indexing="ij")
    return torch.stack([x, y, z], -1)


def in_chunks(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """A function of points (P, 3), a part of them at a time, which bounds memory."""
    return torch.cat([function(part) for part in points.split(POINTS_PER_CHUNK)])


@torch.no_grad()
def find_occupancy(
    instance: Instance, cells: int = GRID_CELLS, device: torch.device | str | None = None
) -> Occupancy:
    """The grid of an instance: one look into each of half as many cells a side, then into the halves of those
    that are neither empty nor inside the solid.

    Args:
        cells: along a side, even.
    """
    centres = cell_centres(cells // 2, device)
    in_ball = _near_ball(centres)
    log_empty = torch.zeros(in_ball.shape, device=device)
    log_empty[in_ball] = in_chunks(instance.log_empty, centres[in_ball])
    skipped = _skipped(log_empty, _box_max)
    inside = _box_max(_open_outside(log_empty, centres)) < math.log(CLOSED)
    twice = torch.arange(cells, device=device) // 2
    log_empty, mixed = (a[twice][:, twice][:, :, twice] for a in (log_empty, ~(skipped | inside)))
    centres = cell_centres(cells, device)
    in_ball = _near_ball(centres)
    mixed = mixed & in_ball
    log_empty[mixed] = in_chunks(instance.log_empty, centres[mixed])
    most = _cross_max(_open_outside(log_empty, centres))
    values = torch.where(_skipped(log_empty, _cross_max) | ~in_ball, SKIP, most)
    return Occupancy(F.pad(values, (1,) * 6, value=SKIP))


def _near_ball(centres: Tensor) -> Tensor:
    """Mask (G, G, G) of the cells that reach into the ball, or nearly."""
    return centres.norm(dim=-1) < 1 + math.sqrt(3) / len(centres)


def _open_outside(log_empty: Tensor, centres: Tensor) -> Tensor:
    """Cells that reach out of the ball let all pass, as nothing is seen out there."""
    return torch.where(centres.norm(dim=-1) > 1 - math.sqrt(3) / len(centres), 0.0, log_empty)


def _skipped(log_empty: Tensor, maximum: Callable[[Tensor], Tensor]) -> Tensor:
    return -maximum(-log_empty) > math.log1p(-OPEN)


def _box_max(values: Tensor) -> Tensor:
    """Maximum over a cell (G, G, G) and all 26 around it."""
    return F.max_pool3d(values[None], 3, stride=1, padding=1)[0]


def _cross_max(values: Tensor) -> Tensor:
    """Maximum over a cell (G, G, G) and the 6 that share a side with it."""
    lines = ((3, 1, 1), (1, 3, 1), (1, 1, 3))
    pooled = [F.max_pool3d(values[None], k, 1, tuple(n // 2 for n in k))[0] for k in lines]
    return torch.stack(pooled).amax(0)
