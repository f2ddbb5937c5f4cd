"""Random changes of labelled photos for training a parser, whole batches at once."""

from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.labels import mirror
from sofgan.parsing.config import Augmentation


@dataclass(frozen=True)
class Changes:
    """Changes of each of B photos, drawn on the CPU, so that they are the same on every device. A kind of change that
    is switched off is None."""

    flip: Tensor  # (B,) bool: mirrored
    matrix: Tensor | None  # (B, 2, 3) of `affine_grid`
    blurred: Tensor | None  # (B,) bool
    blur_side: float  # by which the side shrinks that they keep
    contrast: Tensor | None  # (B, 1, 1, 1) factors, and so on
    saturation: Tensor | None
    brightness: Tensor | None
    tint: Tensor | None  # (B, 3, 1, 1)
    noise: Tensor | None  # (B, 3, S, S)

    def rows(self, rows: slice) -> "Changes":
        """Changes of some of the photos."""
        return self._each(lambda value: value[rows])

    def pinned(self) -> "Changes":
        """The same in memory that a GPU reads while both go on."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> "Changes":
        """The same on another device."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def _each(self, function) -> "Changes":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            self, **{name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        )


def draw_changes(count: int, size: int, config: Augmentation, generator: torch.Generator) -> Changes:
    """Changes of so many photos of so many pixels.

    Args:
        generator: on the CPU.
    """
    flip = _uniform(count, 0, 1, generator) < config.mirror
    angle = torch.deg2rad(_uniform(count, -config.rotation_degrees, config.rotation_degrees, generator))
    scale = (1 + config.zoom) ** _uniform(count, -1, 1, generator)
    shift = 2 * config.shift * torch.stack([_uniform(count, -1, 1, generator) for _ in range(2)], 1)
    matrix, blurred, side, colours, noise = None, None, 1.0, (None,) * 4, None
    if config.zoom or config.shift or config.rotation_degrees:
        rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        matrix = torch.cat([rotation / scale.view(-1, 1, 1), shift.unsqueeze(2)], 2)
    if config.blur:
        # One lower resolution a batch; which photos lose their detail to it is drawn one by one.
        blurred = _uniform(count, 0, 1, generator) < config.blur
        side = float(_uniform(1, 0.2, 0.7, generator))
        if not blurred.any():
            blurred = None
    if config.colour:
        colours = _draw_colours(count, config.colour, generator)
    if config.noise:
        deviation = config.noise * (_uniform(count, 0, 1, generator) < 0.5)
        noise = torch.randn((count, 3, size, size), generator=generator) * deviation.view(-1, 1, 1, 1)
    return Changes(flip, matrix, blurred, side, *colours, noise)


def apply_changes(images: Tensor, labels: Tensor, changes: Changes) -> tuple[Tensor, Tensor]:
    """One geometry for photo and map together, then colour, blur and noise for the photo.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        labels: (B, H, W) integer ids of the 17 classes; only ever sampled by nearest neighbour.
        changes: on the same device.

    Returns:
        New tensors of the same shapes and types.
    """
    images, labels = _move(images, labels, changes)
    if changes.blurred is not None:
        images = _blur(images, changes)
    if changes.contrast is not None:
        images = _recolour(images, changes)
    if changes.noise is not None:
        images = images + changes.noise
    return images.clamp(-1, 1), labels


def mirror_batch(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Photos and maps flipped left to right, with the halves of the nose swapped."""
    return images.flip(-1), mirror(labels)


def _move(images: Tensor, labels: Tensor, changes: Changes) -> tuple[Tensor, Tensor]:
    flipped_images, flipped_labels = mirror_batch(images, labels)
    images = torch.where(changes.flip.view(-1, 1, 1, 1), flipped_images, images)
    labels = torch.where(changes.flip.view(-1, 1, 1), flipped_labels, labels)
    if changes.matrix is None:
        return images, labels
    grid = F.affine_grid(changes.matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    moved = F.grid_sample(
        labels.unsqueeze(1).float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return images, moved.squeeze(1).to(labels.dtype)


def _blur(images: Tensor, changes: Changes) -> Tensor:
    side = int(images.shape[-1] * changes.blur_side)
    if side < 4:
        return images
    low = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    low = F.interpolate(low, images.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(changes.blurred.view(-1, 1, 1, 1), low, images)


def _draw_colours(count: int, strength: float, generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Contrast, saturation, brightness and tint."""

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return _uniform(count * channels, low, high, generator).view(count, channels, 1, 1)

    contrast, saturation = draw(1 - strength, 1 + strength), draw(1 - strength, 1 + strength)
    return contrast, saturation, draw(-strength, strength), draw(-0.25 * strength, 0.25 * strength, 3)


def _recolour(images: Tensor, changes: Changes) -> Tensor:
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * changes.saturation
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (images - middle) * changes.contrast + changes.brightness + changes.tint


def _uniform(count: int, low: float, high: float, generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low
