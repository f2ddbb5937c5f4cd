"""Encoders, with which synthesis starts: the paper's, styled (section 5.1), the released one, a constant."""

import math

import torch
from torch import Tensor, nn

from sofgan.labels import NUM_CLASSES
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.operators import GAIN, EqualConv2d, downsample2, leaky_relu, resize_weights
from sofgan.siw.styled_conv import StyledConv


class StyledEncoder(nn.Module):
    """One-hot map to features: SIW styled convolutions, each halving the size, without noise (5.1)."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        widths = (NUM_CLASSES, *config.encoder_channels)
        self.blocks = nn.ModuleList(
            StyledConv(inputs, outputs, "down", config, noise=False)
            for inputs, outputs in zip(widths, widths[1:])
        )
        self.layers = len(self.blocks)

    def forward(self, one_hot: Tensor, w: list[Tensor], weights: dict[int, Tensor]) -> Tensor:
        """(B, 17, L, L) to (B, C, start, start)."""
        x = one_hot
        for block, style in zip(self.blocks, w):
            x = block(x, style, weights)
        return x


class PlainEncoder(nn.Module):
    """One-hot map to features by residual blocks that see no style (the released code's)."""

    layers = 0

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        widths = (NUM_CLASSES, *config.encoder_channels)
        self.input_size = config.start_size << len(config.encoder_channels)
        self.first = nn.ModuleList(EqualConv2d(a, a, 3) for a in widths[:-1])
        self.second = nn.ModuleList(EqualConv2d(a, b, 3) for a, b in zip(widths, widths[1:]))
        self.skip = nn.ModuleList(EqualConv2d(a, b, 1, bias=False) for a, b in zip(widths, widths[1:]))

    def forward(self, one_hot: Tensor, w: list[Tensor], weights: dict[int, Tensor]) -> Tensor:
        """(B, 17, L, L) to (B, C, start, start)."""
        x = resize_weights(one_hot, self.input_size)
        for first, second, skip in zip(self.first, self.second, self.skip):
            y = downsample2(leaky_relu(first(x, GAIN)))
            x = (leaky_relu(second(y, GAIN)) + skip(downsample2(x))) * math.sqrt(0.5)
        return x


class ConstantInput(nn.Module):
    """StyleGAN2's learned start, the paper's ablation: the map then acts through SPADE and mixing only."""

    layers = 0

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        size = config.sizes()[0]
        self.value = nn.Parameter(torch.randn(1, config.channels(size), size, size))

    def forward(self, one_hot: Tensor, w: list[Tensor], weights: dict[int, Tensor]) -> Tensor:
        """(B, C, constant_size, constant_size), the same for every picture."""
        return self.value.expand(one_hot.shape[0], -1, -1, -1)
