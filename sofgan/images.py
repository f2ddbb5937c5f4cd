"""Pictures and label maps as arrays: value ranges, resizing, other crops, sheets of many.

torch, which takes seconds to import, is imported only by what needs it: stages that render do without.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """One picture of N in rows of `columns`: (N, H, W, ...) to (rows * H, columns * W, ...); what is left is 0."""
    rows = -(-len(pictures) // columns)
    blank = np.zeros((rows * columns - len(pictures), *pictures.shape[1:]), pictures.dtype)
    height, width, *channels = pictures.shape[1:]
    grid = np.concatenate((pictures, blank)).reshape(rows, columns, height, width, *channels)
    return grid.swapaxes(1, 2).reshape(rows * height, columns * width, *channels)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB values 0..1 as linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light as sRGB values; clipped to 0..1."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def resize(images: "Tensor", size: int) -> "Tensor":
    """Antialiased bilinear resize of (B, 3, H, W) to size x size; the images themselves if they fit."""
    if images.shape[-2:] == (size, size):
        return images
    import torch.nn.functional as F

    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def to_network_range(images: np.ndarray, device: "torch.device | str" = "cpu") -> "Tensor":
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in [-1, 1] on a device, to which bytes travel."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def reframe(maps: "Tensor", zoom: "Tensor", shift: "Tensor", size: int) -> "Tensor":
    """Label maps (C, H, W) as cameras with that zoom (C,) and shift (C, 2) would see them: (C, size, size)."""
    import torch

    axis = (torch.arange(size, device=maps.device) + 0.5) / size
    x = (axis[None] - 0.5 - shift[:, :1]) / zoom[:, None] + 0.5
    y = (axis[None] - 0.5 - shift[:, 1:]) / zoom[:, None] + 0.5
    source = maps.shape[-1]
    column, row = (x * source).floor().long(), (y * source).floor().long()
    outside = ((column < 0) | (column >= source))[:, None, :] | ((row < 0) | (row >= source))[:, :, None]
    column, row = column.clamp(0, source - 1), row.clamp(0, source - 1)
    index = torch.arange(len(maps), device=maps.device)[:, None, None]
    return torch.where(outside, 0, maps[index, row[:, :, None], column[:, None, :]])
