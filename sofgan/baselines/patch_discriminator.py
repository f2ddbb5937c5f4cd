"""Patch discriminators at several scales, which see a picture beside its label map (arXiv 1711.11585, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.baselines.layers import normal_conv, xavier_conv
from sofgan.labels import NUM_CLASSES
from sofgan.siw.operators import SLOPE

KERNEL, PADDING = 4, 2


class PatchDiscriminator(nn.Module):
    """Convolutions of kernel 4 that halve the picture, but for the last before the logits.

    Args:
        channels: of the first layer; each further one has twice as many, `most` at most.
        layers: number of convolutions before the one that makes logits.
        spectral: they are spectrally normalised and initialised as SPADE's, else as Pix2PixHD's.
    """

    def __init__(self, channels: int, most: int, layers: int, spectral: bool):
        super().__init__()

        def convolution(inputs: int, outputs: int, stride: int, normalized: bool) -> nn.Module:
            if not spectral:
                return normal_conv(inputs, outputs, KERNEL, stride, PADDING)
            return xavier_conv(inputs, outputs, KERNEL, stride, normalized, PADDING)

        widths = [min(most, channels << i) for i in range(layers)]
        stages = [nn.Sequential(convolution(NUM_CLASSES + 3, widths[0], 2, False), nn.LeakyReLU(SLOPE))]
        for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            stride = 1 if index == layers - 2 else 2
            stages.append(
                nn.Sequential(
                    convolution(inputs, outputs, stride, True),
                    nn.InstanceNorm2d(outputs),
                    nn.LeakyReLU(SLOPE),
                )
            )
        stages.append(convolution(widths[-1], 1, 1, False))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 20, H, H) to the features of each layer, the last of them logits (B, 1, h, h), one a patch."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class PatchDiscriminators(nn.Module):
    """One such discriminator a scale; each sees half the size of the one before."""

    def __init__(self, scales: int, channels: int, most: int, layers: int, spectral: bool):
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(channels, most, layers, spectral) for _ in range(scales)
        )

    def forward(self, pictures: Tensor, maps: Tensor) -> list[list[Tensor]]:
        """Judge pictures (B, 3, R, R) beside shares of classes (B, 17, R, R).

        Returns:
            For each scale the features of its layers, the last of them logits.
        """
        x, found = torch.cat((pictures, maps.to(pictures.dtype)), 1), []
        for discriminator in self.scales:
            found.append(discriminator(x))
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return found
