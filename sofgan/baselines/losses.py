"""Losses of the methods that learn from pairs: patches' verdicts, matched features, likeness in a frozen network."""

import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.images import resize
from sofgan.networks.efficientnet import FrozenLite
from sofgan.siw import losses as siw_losses

Judged = list[list[Tensor]]  # of each scale the features of the layers, the last of them logits
# Of the frozen network's maps, the finest first: those of the last four that VGG's loss takes (arXiv 1903.07291).
LAYER_WEIGHTS = (1 / 16, 1 / 8, 1 / 4, 1)


def discriminator_loss(real: Judged, fake: Judged, adversarial: str) -> Tensor:
    """Loss of the patch discriminators: `hinge`, a mean over scales, as SPADE has it, or `least_squares`, half of the
    sum over scales, as Pix2PixHD has it."""
    real, fake = logits(real), logits(fake)
    if adversarial == "hinge":
        return siw_losses.hinge_discriminator(real, fake) / len(real)
    return 0.5 * sum((r - 1).square().mean() + f.square().mean() for r, f in zip(real, fake))


def generator_loss(fake: Judged, adversarial: str) -> Tensor:
    """The generator's side: the mean over scales under `hinge`, the sum under `least_squares`."""
    fake = logits(fake)
    if adversarial == "hinge":
        return siw_losses.hinge_generator(fake) / len(fake)
    return sum((f - 1).square().mean() for f in fake)


def logits(judged: Judged) -> list[Tensor]:
    """Verdicts (B, 1, h, h) of each scale."""
    return [features[-1] for features in judged]


def feature_matching(real: Judged, fake: Judged) -> Tensor:
    """Mean absolute difference of the discriminators' features, summed over layers and averaged over scales (arXiv
    1711.11585, eq. 4)."""
    differences = [F.l1_loss(f, r.detach()) for rs, fs in zip(real, fake) for r, f in zip(rs[:-1], fs[:-1])]
    return sum(differences) / len(real)


class PerceptualLoss(nn.Module):
    """Difference of a picture from its photo in a frozen EfficientNet-lite0.

    **It stands in for VGG19**, whose weights can't be had without a download; both know ImageNet. Features are measured
    by their mean magnitude in the photo, since this network's scales differ from layer to layer.

    Args:
        size: pixels at which it sees pictures; a multiple of 32.
    """

    def __init__(self, size: int):
        super().__init__()
        self.net, self.size = FrozenLite("lite0"), size

    def forward(self, painted: Tensor, photos: Tensor) -> Tensor:
        """Weighted sum over layers for pictures (B, 3, R, R) in [-1, 1]."""
        seen = [self.net.feature_maps(resize(images, self.size)) for images in (painted, photos.detach())]
        return sum(
            weight * F.l1_loss(ours, theirs) / theirs.abs().mean().clamp_min(1e-8)
            for weight, ours, theirs in zip(LAYER_WEIGHTS, *seen, strict=True)
        )
