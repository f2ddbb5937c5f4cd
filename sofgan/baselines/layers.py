"""Layers that paired methods share: plain convolutions as their authors initialise them, and pyramids of label maps.

Unlike StyleGAN2's operators (`sofgan.siw.operators`) these have no equalised learning rate: the published rates are for
weights of this scale.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sofgan.labels import NUM_CLASSES
from sofgan.siw.operators import halvings, resize_weights

XAVIER_GAIN = 0.02  # SPADE's and SEAN's
NORMAL_STD = 0.02  # Pix2PixHD's


def xavier_conv(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    spectral: bool = False,
    padding: int | None = None,
) -> nn.Module:
    """A convolution as SPADE initialises it, spectrally normalised if asked; `padding` keeps the size by default."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if padding is None else padding)
    nn.init.xavier_normal_(layer.weight, XAVIER_GAIN)
    nn.init.zeros_(layer.bias)
    return spectral_norm(layer) if spectral else layer


def normal_conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution as Pix2PixHD initialises it."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    nn.init.normal_(layer.weight, std=NORMAL_STD)
    nn.init.zeros_(layer.bias)
    return layer


def map_pyramid(one_hot: Tensor, sizes: tuple[int, ...]) -> dict[int, Tensor]:
    """Shares of the classes (B, 17, size, size) at each of some sizes, by the size.

    Args:
        one_hot: (B, 17, L, L).
    """
    made = halvings(one_hot, min(min(sizes), one_hot.shape[-1]))
    return {size: made[size] if size in made else resize_weights(one_hot, size) for size in sizes}


class MapToGainShift(nn.Module):
    """Gain and shift of features at each pixel from the label map (arXiv 1903.07291, fig. 2)."""

    def __init__(self, outputs: int, hidden: int):
        super().__init__()
        self.hidden = xavier_conv(NUM_CLASSES, hidden, 3)
        self.gain_shift = xavier_conv(hidden, 2 * outputs, 3)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 17, H, W) to gamma and beta, (B, outputs, H, W) each."""
        return self.gain_shift(F.relu(self.hidden(maps))).chunk(2, 1)
