"""The palette critic: are these the colours of a person's regions?

A picture's palette is the mean colour of each style group's region and how much its brightness varies within. Styles
that the pixels' critics let pass one by one (white skin, orange hair, all hair alike) are far from photos as palettes:
sixty numbers, of which a small network sees the whole distribution, what varies together and how much.
"""

import torch
from torch import Tensor, nn

from sofgan.labels import STYLE_GROUPS
from sofgan.siw.critics.residual import minibatch_deviation
from sofgan.siw.losses import logistic_discriminator, r1_penalty
from sofgan.siw.mixing import class_to_group
from sofgan.siw.operators import GAIN, EqualLinear, leaky_relu

LEAST_SHARE = 2e-3  # of the places; a smaller region counts as absent
R1 = 1.0
NUMBERS = 5  # a group: red, green, blue, deviation of brightness, presence
LOUDNESS = 2.0  # what brings colours in [-1, 1], whose deviation is about a half, to unit variance


def palette(images: Tensor, regions: Tensor) -> Tensor:
    """Colours of regions.

    Args:
        images: (B, 3, h, w) in [-1, 1].
        regions: (B, 17, h, w) shares of the classes at each place.

    Returns:
        (B, 12 * 5): each style group's mean colour, deviation of brightness and presence; zeros where it is absent.
    """
    groups = regions.new_zeros((len(images), len(STYLE_GROUPS), *regions.shape[2:]))
    groups = groups.index_add(1, class_to_group(images.device), regions).flatten(2)  # (B, 12, hw)
    area = groups.sum(2)
    weights = groups / area.clamp(min=1e-6)[..., None]
    brightness = images.mean(1, keepdim=True)
    values = torch.cat((images, brightness.square(), brightness), 1).flatten(2).transpose(1, 2)  # (B, hw, 5)
    means = weights @ values.float()
    deviation = (means[..., 3] - means[..., 4].square()).clamp(min=1e-4).sqrt()
    present = (area > LEAST_SHARE * groups.shape[2]).float()
    numbers = torch.cat((means[..., :3], 2 * deviation[..., None]), 2) * (LOUDNESS * present)[..., None]
    return torch.cat((numbers, present[..., None]), 2).flatten(1)


def palette_loss(real: Tensor, fake: Tensor, palettes: Tensor) -> Tensor:
    """The critic's side of the game, with R1.

    Args:
        real: (B, 1) logits of photos' `palettes` (B, 60), which must require gradients.
        fake: (B, 1) logits of painted pictures'.
    """
    return logistic_discriminator(real, fake) + 0.5 * R1 * r1_penalty(real, palettes)


class PaletteCritic(nn.Module):
    """One logit a palette, beside those of its minibatch group."""

    def __init__(self, width: int, group: int):
        super().__init__()
        self.group = group
        self.first = EqualLinear(len(STYLE_GROUPS) * NUMBERS, width)
        self.second = EqualLinear(width + 1, width)
        self.logit = EqualLinear(width, 1)

    def forward(self, palettes: Tensor) -> Tensor:
        """(B, 60) to (B, 1)."""
        x = leaky_relu(self.first(palettes) * GAIN)
        x = minibatch_deviation(x[..., None, None], self.group).flatten(1)
        return self.logit(leaky_relu(self.second(x) * GAIN))
