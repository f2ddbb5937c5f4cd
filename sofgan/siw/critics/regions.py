"""The region critic: does each place of a picture show what the label map says there?

The paper's discriminator sees pictures alone, so nothing stops a generator from painting hair where the map says
background (the paper's stated limit, section 7). This critic names every place of a picture: one of the classes,
or "painted". It learns to give photos their own label maps and painted pictures "painted"; the generator, that its
pictures are given the maps that they were painted from (the idea of OASIS, arXiv 2012.04781). Photos and the maps
that are painted stay unpaired: a photo comes with its own map, which only this critic sees.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sofgan.labels import NUM_CLASSES

PAINTED = NUM_CLASSES  # the name of places that no photo shows
LEAST_SHARE = 1e-3  # a class that covers less of a picture weighs no more than one that covers this


class RegionCritic(nn.Module):
    """Names places at half the pictures' size, from the pictures and from frozen features of them.

    The features, of a network that knows objects, say what is where at a quarter of the size; the pixels say where
    exactly it ends.

    Args:
        features: channels of the finest frozen features.
        width: of the layers.
    """

    def __init__(self, features: int, width: int):
        super().__init__()
        self.from_images = spectral_norm(nn.Conv2d(3, width, 3, stride=2, padding=1))
        self.from_features = spectral_norm(nn.Conv2d(features, width, 3, padding=1))
        self.merge = spectral_norm(nn.Conv2d(width, width, 3, padding=1))
        self.names = nn.Conv2d(width, NUM_CLASSES + 1, 1)

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        """(B, 3, P, P) and (B, features, P/4, P/4) to logits (B, 18, P/2, P/2)."""
        known = F.interpolate(self.from_features(features), scale_factor=2, mode="nearest")
        x = F.leaky_relu(self.from_images(images) + known, 0.2)
        return self.names(F.leaky_relu(self.merge(x), 0.2))


def balance(regions: Tensor) -> Tensor:
    """Weights of places such that small classes count: by the inverse root of a class' share of its picture.

    Args:
        regions: (B, 17, h, w) shares of the classes at each place; all 0 where the map is unknown.

    Returns:
        (B, h, w) of mean 1 over each picture, 0 where the map is unknown.
    """
    share = regions.mean((2, 3)).clamp(min=LEAST_SHARE)  # (B, 17)
    weights = torch.einsum("bchw,bc->bhw", regions, share.rsqrt())
    return weights / weights.mean((1, 2), keepdim=True).clamp(min=1e-6)


def class_weights(regions: Tensor) -> Tensor:
    """Weights (17,) by which every class that the batch shows counts as much as any other (OASIS); 0 of the others.

    Args:
        regions: as of `balance`; the weights' mean over its places is 1, of those that are known.
    """
    share = regions.mean((0, 2, 3))
    present = share > 0
    weights = torch.where(present, share, 1).reciprocal() * present
    return weights * share.sum() / present.sum().clamp(min=1)


def naming_loss(logits: Tensor, regions: Tensor, kind: str = "roots") -> Tensor:
    """Cross-entropy of naming places as the maps do, balanced between classes.

    Args:
        logits: (B, 18, h, w).
        regions: (B, 17, h, w) as of `balance`.
        kind: roots (`balance`) or oasis (`class_weights`).
    """
    log_names = logits.float().log_softmax(1)[:, :NUM_CLASSES]
    if kind == "oasis":
        named = torch.einsum("bchw,bchw,c->", regions, log_names, class_weights(regions))
        return -named / regions.sum().clamp(min=1e-6)
    return -(balance(regions) * (regions * log_names).sum(1)).mean()


def unmasking_loss(logits: Tensor, regions: Tensor, kind: str = "roots") -> Tensor:
    """Cross-entropy of naming places "painted", with the weights of `naming_loss`; equal ones where it is `oasis`."""
    log_painted = logits.float().log_softmax(1)[:, PAINTED]
    if kind == "oasis":
        known = regions.sum(1)
        return -(known * log_painted).sum() / known.sum().clamp(min=1e-6)
    return -(balance(regions) * log_painted).mean()


def label_mix(regions: Tensor, draws: torch.Generator) -> Tensor:
    """Places that a mix of a photo and a fake of the same map takes from the photo: those of some classes (LabelMix).

    Args:
        regions: as of `balance`.
        draws: of a coin a class, the same for the whole batch.

    Returns:
        (B, 1, h, w), 1 or 0.
    """
    coins = torch.rand(NUM_CLASSES, generator=draws).to(regions.device) < 0.5
    chosen = coins.to(regions.dtype).view(1, NUM_CLASSES, 1, 1)
    return ((regions * chosen).sum(1, keepdim=True) > 0.5).to(regions.dtype)
