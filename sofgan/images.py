"""Pictures and label maps as arrays: value ranges, resizing, other crops."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def resize(images: Tensor, size: int) -> Tensor:
    """Antialiased bilinear resize of (B, 3, H, W) to size x size; the images themselves if they fit."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def to_network_range(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in [-1, 1] on a device, to which bytes travel."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


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
