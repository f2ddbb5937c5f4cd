"""Adversarial losses and the two lazy regularisers of StyleGAN2."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import distributed


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Non-saturating game, the discriminator's side; logits of any shape."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def logistic_generator(fake: Tensor) -> Tensor:
    """Non-saturating game, the generator's side."""
    return F.softplus(-fake).mean()


def paired_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Game on pairs (R3GAN), the discriminator's side: logits (B, 1) of photos and of as many painted pictures."""
    return F.softplus(fake - real).mean()


def paired_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Game on pairs, the generator's side; photos' logits teach it nothing by themselves."""
    return F.softplus(real - fake).mean()


def hinge_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge loss, summed over the scales of a projected discriminator."""
    return sum(F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake))


def hinge_generator(fake: list[Tensor]) -> Tensor:
    """The generator's side of the hinge loss."""
    return sum(-f.mean() for f in fake)


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Mean over pictures of the squared gradient of the logits in the pictures.

    Args:
        logits: (B, 1), computed from `images` (B, ...), which must require gradients.

    Returns:
        A scalar that can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def path_length_penalty(
    images: Tensor, w: Tensor, mean_length: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """StyleGAN2's path length regulariser: a step of one layer's style shall change the picture by a constant amount.

    The mean over layers is of squared lengths, each by the layer's own style. The gradient in one style that all layers
    share would sum them, and be some `layers` times as large. Where K styles paint a picture, all of a layer's move
    together: in hard regions, where each changes pixels of its own, squared lengths then add up to what one style of
    the whole picture would have, and equal styles are one style, whatever the shares that they are mixed with.

    Args:
        images: (B, 3, H, W) made from `w`, which must require gradients.
        w: (B, K, layers, w_dim) styles of each layer that `images` depend on.
        mean_length: scalar running mean of the lengths in earlier steps.
        generator: draws the random direction in picture space.

    Returns:
        The penalty, to be differentiated, and the mean length.
    """
    noise = distributed.randn(images.shape, generator=generator, device=images.device)
    noise = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    lengths = (gradient.sum(1).square().sum(2).mean(1) + 1e-12).sqrt()
    return (lengths - mean_length).square().mean(), lengths.detach().mean()
