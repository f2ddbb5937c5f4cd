"""Label maps cut anew: as another crop of the same portrait."""

import torch
from torch import Tensor


def reframe(maps: Tensor, zoom: Tensor, shift: Tensor, size: int) -> Tensor:
    """Label maps (C, H, W) as cameras with that zoom (C,) and shift (C, 2) would see them: (C, size, size)."""
    axis = (torch.arange(size, device=maps.device) + 0.5) / size
    x = (axis[None] - 0.5 - shift[:, :1]) / zoom[:, None] + 0.5
    y = (axis[None] - 0.5 - shift[:, 1:]) / zoom[:, None] + 0.5
    source = maps.shape[-1]
    column, row = (x * source).floor().long(), (y * source).floor().long()
    outside = ((column < 0) | (column >= source))[:, None, :] | ((row < 0) | (row >= source))[:, :, None]
    column, row = column.clamp(0, source - 1), row.clamp(0, source - 1)
    index = torch.arange(len(maps), device=maps.device)[:, None, None]
    return torch.where(outside, 0, maps[index, row[:, :, None], column[:, None, :]])
