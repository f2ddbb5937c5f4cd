"""Pix2PixHD (arXiv 1711.11585): its global generator, which turns a label map into its one picture.

Left out: the local enhancers, which double the size of pictures of 1024 pixels; the map of instances' borders and the
features of instances, as there are classes only.
"""

import torch
from torch import Tensor, nn

from sofgan.baselines.config import PairedConfig
from sofgan.baselines.layers import NORMAL_STD, normal_conv
from sofgan.labels import NUM_CLASSES
from sofgan.siw.operators import resize_weights

MOST_HALVINGS = 4
LEAST_SIZE = 8  # pixels of the residual blocks, where pictures are small


def _normalized(convolution: nn.Module) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU()]


class ResidualBlock(nn.Module):
    """Two convolutions with mirrored borders, added to their input."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normalized(normal_conv(channels, channels, 3)),
            nn.ReflectionPad2d(1),
            normal_conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, H) to the same."""
        return x + self.layers(x)


class Pix2PixHDGenerator(nn.Module):
    """The global generator: 7x7, halvings, residual blocks, doublings, 7x7 (section 3.2 and appendix A).

    Attributes:
        noise_sizes: of pictures of noise: none.
        w_average: empty, as there are no styles.
    """

    noise_sizes: tuple[int, ...] = ()

    def __init__(self, config: PairedConfig):
        super().__init__()
        self.config, size = config, config.resolution
        sizes = [size >> i for i in range(MOST_HALVINGS + 1) if size >> i >= LEAST_SIZE]
        widths = [config.channels(size) for size in sizes]
        layers = [nn.ReflectionPad2d(3), *_normalized(normal_conv(NUM_CLASSES, widths[0], 7))]
        for inputs, outputs in zip(widths, widths[1:]):
            layers += _normalized(normal_conv(inputs, outputs, 3, 2, 1))
        layers += [ResidualBlock(widths[-1]) for _ in range(config.residual_blocks)]
        for inputs, outputs in zip(reversed(widths[1:]), reversed(widths[:-1])):
            up = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
            nn.init.normal_(up.weight, std=NORMAL_STD)
            layers += _normalized(up)
        layers += [nn.ReflectionPad2d(3), normal_conv(widths[0], 3, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("w_average", torch.zeros(0))

    def encode(self, photos: Tensor, maps: Tensor, draws: torch.Generator) -> tuple[Tensor, None]:
        """Empty codes (B, 0): photos tell the generator nothing."""
        return photos.new_zeros(len(photos), 0), None

    def style_of(self, z: Tensor) -> Tensor:
        """Empty codes (B, 0)."""
        return z[:, :0]

    def forward(self, one_hot: Tensor, style: Tensor, noise: list[Tensor]) -> Tensor:
        """Paint.

        Args:
            one_hot: (B, 17, L, L).
            style: not used.
            noise: not used.

        Returns:
            (B, 3, R, R) in [-1, 1].
        """
        return self.layers(resize_weights(one_hot, self.config.resolution))
