"""Random changes of labelled photos for training a parser, whole batches at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.faces.config import Augmentation
from sofgan.labels import MIRROR_TABLE


def augment(
    images: Tensor, labels: Tensor, config: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One random geometry for photo and map together, then colour, blur and noise for the photo.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        labels: (B, H, W) integer ids of the 17 classes; only ever sampled by nearest neighbour.
        generator: on the CPU, so that the draws are the same on every device.

    Returns:
        New tensors of the same shapes and types.
    """
    images, labels = _move(images, labels, config, generator)
    if config.blur:
        images = _blur(images, config.blur, generator)
    if config.colour:
        images = _recolour(images, config.colour, generator)
    if config.noise:
        deviation = config.noise * (_uniform(len(images), 0, 1, generator) < 0.5)
        noise = torch.randn(images.shape, generator=generator) * deviation.view(-1, 1, 1, 1)
        images = images + noise.to(images)
    return images.clamp(-1, 1), labels


def mirror_batch(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Photos and maps flipped left to right, with the halves of the nose swapped."""
    table = torch.from_numpy(MIRROR_TABLE).to(labels.device)
    return images.flip(-1), table[labels.flip(-1).long()].to(labels.dtype)


def _move(images: Tensor, labels: Tensor, config: Augmentation, generator) -> tuple[Tensor, Tensor]:
    count = len(images)
    flip = (_uniform(count, 0, 1, generator) < config.mirror).to(images.device)
    flipped_images, flipped_labels = mirror_batch(images, labels)
    images = torch.where(flip.view(-1, 1, 1, 1), flipped_images, images)
    labels = torch.where(flip.view(-1, 1, 1), flipped_labels, labels)
    angle = torch.deg2rad(_uniform(count, -config.rotation_degrees, config.rotation_degrees, generator))
    scale = (1 + config.zoom) ** _uniform(count, -1, 1, generator)
    shift = 2 * config.shift * torch.stack([_uniform(count, -1, 1, generator) for _ in range(2)], 1)
    if not (config.zoom or config.shift or config.rotation_degrees):
        return images, labels
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    matrix = torch.cat([rotation / scale.view(-1, 1, 1), shift.unsqueeze(2)], 2)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False).to(images)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    moved = F.grid_sample(
        labels.unsqueeze(1).float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return images, moved.squeeze(1).to(labels.dtype)


def _blur(images: Tensor, probability: float, generator) -> Tensor:
    # One lower resolution a batch; which photos lose their detail to it is drawn one by one.
    chosen = _uniform(len(images), 0, 1, generator) < probability
    side = int(images.shape[-1] * float(_uniform(1, 0.2, 0.7, generator)))
    if not chosen.any() or side < 4:
        return images
    low = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    low = F.interpolate(low, images.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(chosen.view(-1, 1, 1, 1).to(images.device), low, images)


def _recolour(images: Tensor, strength: float, generator) -> Tensor:
    count = len(images)

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return _uniform(count * channels, low, high, generator).view(count, channels, 1, 1).to(images)

    contrast, saturation = draw(1 - strength, 1 + strength), draw(1 - strength, 1 + strength)
    brightness, tint = draw(-strength, strength), draw(-0.25 * strength, 0.25 * strength, 3)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * saturation
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (images - middle) * contrast + brightness + tint


def _uniform(count: int, low: float, high: float, generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low
