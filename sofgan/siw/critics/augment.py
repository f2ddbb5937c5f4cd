"""Differentiable augmentation of what a discriminator sees (DiffAugment, arXiv 2006.10738).

Every picture draws its own change; gradients pass through to the pictures. Channels beyond the third move with their
picture and keep their values: label maps, for instance.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import distributed


def _draw(images: Tensor, generator: torch.Generator) -> Tensor:
    shape = (images.shape[0], 1, 1, 1)
    return distributed.rand(shape, generator=generator, device=images.device).to(images.dtype)


def color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness +-0.5, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    images, others = images.tensor_split([3], 1)
    images = images + (_draw(images, generator) - 0.5)
    gray = images.mean(1, keepdim=True)
    images = gray + (images - gray) * (2 * _draw(images, generator))
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (_draw(images, generator) + 0.5)
    return torch.cat((images, others), 1) if others.shape[1] else images


def translation(images: Tensor, generator: torch.Generator, ratio: float = 0.125) -> Tensor:
    """Shifted by up to `ratio` of the size in whole pixels; what comes in is zero (mid grey)."""
    batch, _, height, width = images.shape
    device = images.device
    reach = max(1, int(height * ratio + 0.5))
    uniform = distributed.rand((batch, 2, 1), generator=generator, device=device)
    rows, columns = ((uniform * (2 * reach + 1)).long() - reach).unbind(1)  # whole pixels, -reach to reach
    padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    rows = (torch.arange(height, device=device) + 1 + rows).clamp(0, height + 1)
    columns = (torch.arange(width, device=device) + 1 + columns).clamp(0, width + 1)
    item = torch.arange(batch, device=device)[:, None, None]
    return padded[item, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def cutout(images: Tensor, generator: torch.Generator, ratio: float = 0.5) -> Tensor:
    """A square of `ratio` of the size, at a random place, becomes zero."""
    batch, _, height, width = images.shape
    device = images.device
    half = ratio * height / 2
    center = distributed.rand((batch, 2, 1), generator=generator, device=device)
    rows = (torch.arange(height, device=device) + 0.5 - center[:, 0] * height).abs() < half
    columns = (torch.arange(width, device=device) + 0.5 - center[:, 1] * width).abs() < half
    hole = (rows[:, :, None] & columns[:, None]).unsqueeze(1)
    return images.masked_fill(hole, 0.0)


_POLICIES = {"color": color, "translation": translation, "cutout": cutout}


def augment(
    images: Tensor, policies: tuple[str, ...], generator: torch.Generator, hole: float = 0.5
) -> Tensor:
    """Apply the named policies in order to (B, 3 or more, H, W), of which the first three are in [-1, 1].

    Args:
        hole: side of the square that `cutout` makes zero, by the picture's.
    """
    for name in policies:
        images = cutout(images, generator, hole) if name == "cutout" else _POLICIES[name](images, generator)
    return images


def augment_some(
    images: Tensor, policies: tuple[str, ...], probability: Tensor, generator: torch.Generator
) -> Tensor:
    """Apply each policy to each picture with that probability, a scalar tensor (arXiv 2006.06676)."""
    for name in policies:
        chosen = _draw(images, generator) < probability
        images = torch.where(chosen, _POLICIES[name](images, generator), images)
    return images
