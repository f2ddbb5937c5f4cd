"""Random changes of labelled photos for training a parser, whole batches at once."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.labels import BACKGROUND, CLOTH, mirror
from sofgan.parsing.config import Augmentation

BLOTS_CONTRAST = 0.7
MOST_ZOOM = 3.0  # a piece of a photo that becomes scenery is enlarged by 1 to 1 more than this
NEGATIVE = 0.2  # probability of each of its colours


class Drawn:
    """Tensors, or None, of B photos, drawn on the CPU, so that they are the same on every device."""

    def rows(self, rows: slice) -> Self:
        """Those of some of the photos."""
        return self.each(lambda value: value[rows])

    def pinned(self) -> Self:
        """The same in memory that a GPU reads while both go on."""
        return self.each(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return self.each(lambda value: value.to(device, non_blocking=True))

    def each(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same with a function of each tensor."""
        found = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Drawn):
                found[one.name] = value.each(function)
            elif isinstance(value, Tensor):
                found[one.name] = function(value)
        return replace(self, **found)


@dataclass(frozen=True)
class Scenery(Drawn):
    """What stands behind people, and is on their clothes: blots, or a piece of the photo in other colours."""

    blots: Tensor  # (B, 3, S, S)
    matrix: Tensor  # (B, 2, 3) of `affine_grid`: which piece
    channels: Tensor  # (B, 3) whole numbers: which of its colours is red, which green, which blue
    signs: Tensor  # (B, 3, 1, 1): -1 for its negative
    is_piece: Tensor  # (B, 1, 1, 1) bool
    behind: Tensor  # (B, 1, 1, 1) bool: it stands there
    worn: Tensor  # (B, 1, 1, 1): its share of the clothes' colours, 0 of most


@dataclass(frozen=True)
class Changes(Drawn):
    """Changes of each of B photos. A kind of change that is switched off is None."""

    flip: Tensor  # (B,) bool: mirrored
    matrix: Tensor | None  # (B, 2, 3) of `affine_grid`
    blurred: Tensor | None  # (B,) bool
    blur_side: float  # by which the side shrinks that they keep
    contrast: Tensor | None  # (B, 1, 1, 1) factors, and so on
    saturation: Tensor | None
    brightness: Tensor | None
    tint: Tensor | None  # (B, 3, 1, 1)
    noise: Tensor | None  # (B, 3, S, S)
    scenery: Scenery | None


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
    scenery = _draw_scenery(count, size, config.scenery, generator) if config.scenery else None
    return Changes(flip, matrix, blurred, side, *colours, noise, scenery)


def apply_changes(images: Tensor, labels: Tensor, changes: Changes) -> tuple[Tensor, Tensor]:
    """One geometry for photo and map together, then colour, blur and noise for the photo.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        labels: (B, H, W) integer ids of the 17 classes; only ever sampled by nearest neighbour.
        changes: on the same device.

    Returns:
        New tensors of the same shapes and types.
    """
    if changes.scenery is not None:
        images = _dress(images, labels, changes.scenery)
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


def _draw_scenery(count: int, size: int, probability: float, generator: torch.Generator) -> Scenery:
    angle, zoom, x, y, is_piece, behind, worn, share = _uniform(8 * count, 0, 1, generator).view(8, count)
    angle, scale = 2 * torch.pi * angle, 1 / (1 + MOST_ZOOM * zoom)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    center = (1 - scale) * (2 * torch.stack([x, y]) - 1)
    return Scenery(
        blots=draw_blots(count, size, generator),
        matrix=torch.cat([turn * scale.view(-1, 1, 1), center.T.unsqueeze(2)], 2),
        channels=_uniform(3 * count, 0, 1, generator).view(count, 3).argsort(1),
        signs=1 - 2.0 * (_uniform(3 * count, 0, 1, generator).view(count, 3, 1, 1) < NEGATIVE),
        is_piece=(is_piece < 0.5).view(-1, 1, 1, 1),
        behind=(behind < probability).view(-1, 1, 1, 1),
        worn=((worn < probability) * share).view(-1, 1, 1, 1),
    )


def draw_blots(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] of blots and checks of all sizes, loud, faint or grey."""
    picture, side = torch.zeros(count, 3, size, size), 2
    while side <= size // 2:
        cells = torch.randn((count, 3, side, side), generator=generator)
        soft = F.interpolate(cells, (size, size), mode="bilinear", align_corners=False)
        hard = F.interpolate(cells, (size, size), mode="nearest")
        is_soft, strength = _uniform(2 * count, 0, 1, generator).view(2, count, 1, 1, 1)
        picture += torch.where(is_soft < 0.5, soft, hard) * strength**2
        side *= 2
    mean = _uniform(3 * count, -1, 1, generator).view(count, 3, 1, 1)
    grey = picture.mean(1, keepdim=True)
    saturation = _uniform(count, 0, 1, generator).view(-1, 1, 1, 1)
    return (mean + BLOTS_CONTRAST * (grey + saturation * (picture - grey))).clamp(-1, 1)


def _dress(images: Tensor, labels: Tensor, scenery: Scenery) -> Tensor:
    """Put scenery behind people, and the same upside down on their clothes; borders stay soft."""
    grid = F.affine_grid(scenery.matrix, list(images.shape), align_corners=False)
    piece = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    piece = piece.gather(1, scenery.channels[:, :, None, None].expand_as(piece)) * scenery.signs
    shown = torch.where(scenery.is_piece, piece, scenery.blots)

    def share(label: int) -> Tensor:
        mask = (labels == label).unsqueeze(1).to(images.dtype)
        return F.avg_pool2d(mask, 3, 1, 1, count_include_pad=False)

    behind, worn = share(BACKGROUND) * scenery.behind, share(CLOTH) * scenery.worn
    return images + behind * (shown - images) + worn * (shown.flip(-2) - images)


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
