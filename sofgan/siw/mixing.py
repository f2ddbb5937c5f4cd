"""Mixing of K styles by region: similarity maps and the sums weighted by them (paper, section 5.1, eq. 7 and 8).

Region weights (B, K, H, W) say how much of each style every pixel takes; they sum to 1 over K. For two styles
`weights[:, 0]` is the paper's similarity map SM. All draws share one set of weights over all layers of a pass.
"""

import functools
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import distributed
from sofgan.labels import NUM_CLASSES, STYLE_GROUPS


def one_hot(labels: Tensor) -> Tensor:
    """(B, H, W) long class ids to (B, 17, H, W) float32, channels last in memory."""
    # Rows of a unit matrix: `torch.one_hot`, by way of 64-bit integers, takes several times as long.
    return F.embedding(labels, torch.eye(NUM_CLASSES, device=labels.device)).movedim(-1, 1)


@cache
def class_to_group(device: torch.device | str = "cpu") -> Tensor:
    """(17,) the style group of each class; one tensor a device, not to be changed."""
    table = torch.zeros(NUM_CLASSES, dtype=torch.long)
    for index, group in enumerate(STYLE_GROUPS):
        table[list(group)] = index
    return table.to(device)


def draw_similarity(
    batch: int, soft_probability: float, generator: torch.Generator, by_class: bool = False
) -> Tensor:
    """Per picture and class the share p of the first style.

    A picture is soft with that probability, p uniform in (0, 1); else hard, p 0 or 1 (spec 4.3).

    Args:
        by_class: each class has a p of its own (the paper's "each semantic region"), else each style group.

    Returns:
        (B, 17) float32 on the generator's device.
    """
    device = generator.device
    shape = (batch, NUM_CLASSES if by_class else len(STYLE_GROUPS))
    uniform = distributed.rand(shape, generator=generator, device=device)
    hard = (distributed.rand(shape, generator=generator, device=device) < 0.5).float()
    soft = distributed.rand((batch, 1), generator=generator, device=device) < soft_probability
    similarity = torch.where(soft, uniform, hard)
    return similarity if by_class else similarity[:, class_to_group(device)]


def two_style_weights(labels: Tensor, similarity: Tensor) -> Tensor:
    """Region weights of two styles.

    Args:
        labels: (B, H, W) long, class ids.
        similarity: (B, 17) share of style 0 in each class.

    Returns:
        (B, 2, H, W) float: share of style 0, share of style 1.
    """
    first = torch.gather(similarity, 1, labels.flatten(1)).unflatten(1, labels.shape[1:])
    return torch.stack((first, 1 - first), 1)


def class_weights(labels: Tensor, style_of_class: Tensor, styles: int) -> Tensor:
    """Hard region weights of K styles.

    Args:
        labels: (B, H, W) long.
        style_of_class: (B, 17) or (17,) long, the style in 0..K-1 that paints each class.
        styles: K.

    Returns:
        (B, K, H, W) float, one-hot over K.
    """
    table = style_of_class.expand(labels.shape[0], -1)
    chosen = torch.gather(table, 1, labels.flatten(1)).unflatten(1, labels.shape[1:])
    return F.embedding(chosen, torch.eye(styles, device=labels.device)).movedim(-1, 1)


def spread(values: Tensor, weights: Tensor | None) -> Tensor:
    """Per-style channel values as a picture: every pixel the weighted sum of its styles' values.

    Args:
        values: (B, K, C).
        weights: (B, K, H, W); None where K is 1.

    Returns:
        (B, C, H, W) with channels last in memory, or (B, C, 1, 1) for one style.
    """
    if weights is None:
        return values[:, 0, :, None, None]
    batch, styles, height, width = weights.shape
    # One small matrix product a picture, whatever the number of styles; no copy where channels are last.
    picture = weights.permute(0, 2, 3, 1).reshape(batch, height * width, styles) @ values
    return picture.transpose(1, 2).unflatten(2, (height, width))


def mix(outputs: Tensor, weights: Tensor) -> Tensor:
    """Eq. 8: features of K styles mixed by region.

    Args:
        outputs: (B, K, C, H, W), one convolution a style.
        weights: (B, K, H, W).

    Returns:
        (B, C, H, W), as precise as the outputs are.
    """
    weighted = outputs * weights[:, :, None].to(outputs.dtype)
    # Added one by one: autocast would make the sum, and all that comes after it, float32.
    return functools.reduce(torch.add, weighted.unbind(1))


def draw_styles(
    batch: int, z_dim: int, mixing: str, layers: int, two_style_probability: float, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Codes of one training pass.

    Returns:
        z (B, K, z_dim): K is 2 unless `mixing` is "none"; with probability 1 - `two_style_probability` a
        picture's two codes are equal. And, for "layerwise" mixing, (B, layers) bool: where the second style
        is used (StyleGAN2's crossover); else None.
    """
    device = generator.device
    if mixing == "none":
        return distributed.randn((batch, 1, z_dim), generator=generator, device=device), None
    z = distributed.randn((batch, 2, z_dim), generator=generator, device=device)
    two = distributed.rand((batch, 1), generator=generator, device=device) < two_style_probability
    z[:, 1] = torch.where(two, z[:, 1], z[:, 0])
    if mixing != "layerwise":
        return z, None
    uniform = distributed.rand((batch, 1), generator=generator, device=device)
    crossover = 1 + (uniform * (max(2, layers) - 1)).long()
    return z, torch.arange(layers, device=device) >= crossover
