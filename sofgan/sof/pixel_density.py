"""Chances of the pixels of label maps to be drawn: more at borders of classes and where a class is rare."""

import torch
from torch import Tensor

from sofgan import labels
from sofgan.sof.config import RaySampling

DENSITY_LEVELS = 255  # a pixel's chance to be drawn is kept as one byte
COUNTED_AT_ONCE = 1024  # label maps


def border_mask(label_maps: Tensor, may_be_void: bool | None = None) -> Tensor:
    """(T, H, W) bool: pixels with another class among their eight neighbours. Void borders nothing but background.

    Args:
        may_be_void: whether there may be void; None: it is looked for, for which the host waits for a GPU.
    """
    void = label_maps == labels.VOID
    if may_be_void is None:
        may_be_void = bool(void.any())
    if may_be_void:
        return _border(label_maps, void)
    padded = torch.nn.functional.pad(label_maps.float()[:, None], (1, 1, 1, 1), mode="replicate")
    highest = torch.nn.functional.max_pool2d(padded, 3, stride=1)
    lowest = -torch.nn.functional.max_pool2d(-padded, 3, stride=1)
    return (highest != lowest)[:, 0]


def _border(label_maps: Tensor, void: Tensor) -> Tensor:
    """The outline of what is there, and borders between pixels of known classes: where void ends, no class does."""
    outline = border_mask((label_maps != labels.BACKGROUND).to(torch.uint8), may_be_void=False)
    known = label_maps.float()[:, None].masked_fill(
        void[:, None], -1
    )  # void is VOID, above all, or below all
    lowest = -torch.nn.functional.max_pool2d(-known.masked_fill(void[:, None], labels.VOID), 3, 1, 1)
    highest = torch.nn.functional.max_pool2d(known, 3, 1, 1)
    return ((highest > lowest)[:, 0] & ~void) | outline


def pixel_density(label_maps: Tensor, counted: Tensor, sampling: RaySampling) -> Tensor:
    """Relative chance of each pixel of a view to be drawn, (T, H*W) uint8, at least 1.

    `counted` are the label maps whose class areas say what is rare.
    """
    return densities(
        label_maps, class_rarity(class_counts(counted, torch.arange(len(counted))), sampling), sampling
    )


def class_counts(label_maps: Tensor, chosen: Tensor) -> Tensor:
    """(256,) int64: how many pixels of those label maps of (T, H, W) that are chosen (N,) have each id."""
    # In parts, as ids of all views as numbers that can be counted would take four times their memory.
    parts = (label_maps[part].flatten().int() for part in chosen.split(COUNTED_AT_ONCE))
    counts = torch.zeros(labels.VOID + 1, dtype=torch.int64, device=label_maps.device)
    return sum((torch.bincount(part, minlength=labels.VOID + 1) for part in parts), counts)


def class_rarity(counts: Tensor, sampling: RaySampling) -> Tensor:
    """(256,) float32 by id: how much more often pixels are drawn for their class, by `class_counts`; mean over pixels
    1."""
    shares = counts.double()
    # Void is of no class: it is neither rare nor common, and doesn't make others so.
    shares = shares[: labels.NUM_CLASSES] / shares[: labels.NUM_CLASSES].sum().clamp_min(1)
    rarity = torch.where(shares > 0, shares.clamp_min(1e-9) ** -sampling.rare_power, 0.0)
    rarity = (rarity / (rarity * shares).sum().clamp_min(1e-9)).float()  # mean over pixels 1
    return torch.cat([rarity, rarity.new_ones(labels.VOID + 1 - labels.NUM_CLASSES)])


def densities(
    label_maps: Tensor, rarity: Tensor, sampling: RaySampling, may_be_void: bool | None = None
) -> Tensor:
    """`pixel_density` by how rare classes are (`class_rarity`); `may_be_void` is as of `border_mask`."""
    uniform = 1 - sampling.border_share - sampling.rare_share
    if uniform < 0:
        raise ValueError("rays.border_share and rays.rare_share add up to more than 1")
    density = torch.empty(
        (len(label_maps), label_maps[0].numel()), dtype=torch.uint8, device=label_maps.device
    )
    for chunk in torch.arange(len(label_maps), device=label_maps.device).split(64):
        border = border_mask(label_maps[chunk], may_be_void).flatten(1).float()
        border = border / border.mean(1, keepdim=True).clamp_min(1e-3)
        rare = rarity[label_maps[chunk].flatten(1).int()]
        mixed = uniform + sampling.border_share * border + sampling.rare_share * rare
        mixed = mixed / mixed.amax(1, keepdim=True) * DENSITY_LEVELS
        density[chunk] = mixed.round().clamp(1, DENSITY_LEVELS).to(torch.uint8)
    return density
