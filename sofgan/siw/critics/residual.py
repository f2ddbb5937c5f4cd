"""The residual discriminator of StyleGAN2, which sees pictures only (paper, section 5.1)."""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.siw.config import DiscriminatorConfig
from sofgan.siw.operators import GAIN, SLOPE, EqualConv2d, EqualLinear, downsample2, leaky_relu


class ResidualBlock(nn.Module):
    """Two convolutions and a halving, beside a 1x1 skip.

    Args:
        strided: halved by StyleGAN2's blur and stride of the second convolution, not by means of areas before it.
    """

    def __init__(self, inputs: int, outputs: int, strided: bool = False):
        super().__init__()
        self.strided = strided
        self.first = EqualConv2d(inputs, inputs, 3)
        self.second = EqualConv2d(inputs, outputs, 3)
        self.skip = EqualConv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, H) to (B, out, H/2, H/2)."""
        y = leaky_relu(self.first(x, GAIN))
        if self.strided:
            y = leaky_relu(self.second(y, GAIN * math.sqrt(0.5), halve=True))
            return y + self.skip(x, math.sqrt(0.5), halve=True)
        y = leaky_relu(self.second(downsample2(y), GAIN * math.sqrt(0.5)))
        return y + self.skip(downsample2(x), math.sqrt(0.5))


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Append a channel with the mean deviation of features within groups of pictures (StyleGAN).

    A group is `group` pictures in a row, so that any part of a batch that holds whole groups gives these the same
    numbers as the whole batch does; every picture gets its own group's.

    Args:
        x: (B, C, H, W); B must be a multiple of `group`, or no larger than it.

    Returns:
        (B, C + 1, H, W).
    """
    batch, _, height, width = x.shape
    group = min(group, batch)
    if batch % group:
        raise ValueError(f"batch {batch} is not a multiple of the minibatch group {group}")
    y = x.float().unflatten(0, (batch // group, group))
    y = (y - y.mean(1, keepdim=True)).square().mean(1).add(1e-8).sqrt().mean((1, 2, 3))  # (B / group,)
    y = y.repeat_interleave(group).to(x.dtype)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat((x, y), 1)


class ResidualDiscriminator(nn.Module):
    """Residual blocks from the resolution down to 4x4, minibatch deviation, one logit a picture.

    Args:
        resolution: of the pictures, pixels.
        smaller: sizes that pictures grow through; those of a size enter at its block.
    """

    def __init__(self, config: DiscriminatorConfig, resolution: int, smaller: Iterable[int] = ()):
        super().__init__()
        self.group = config.minibatch_group

        def channels(size: int) -> int:
            return max(1, min(config.channel_max, config.channel_base // size))

        self.from_rgb = nn.ModuleDict(
            {str(size): EqualConv2d(3, channels(size), 1) for size in sorted({resolution, *smaller})}
        )
        self.resolution = resolution
        sizes = [resolution >> i for i in range(int(math.log2(resolution)) - 1)]  # resolution .. 4
        strided = config.downsample == "strided"
        self.blocks = nn.ModuleList(
            ResidualBlock(channels(size), channels(size // 2), strided) for size in sizes[:-1]
        )
        last = channels(4)
        self.conv = EqualConv2d(last + 1, last, 3)
        self.hidden = EqualLinear(last * 16, last)
        self.logit = EqualLinear(last, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1], R the resolution or one of the smaller, to (B, 1)."""
        size = images.shape[-1]
        x = self.from_rgb[str(size)](images, GAIN)
        x = F.leaky_relu(x, SLOPE)  # Not in place: x is a view, of which autograd would make copies.
        for block in self.blocks[int(math.log2(self.resolution // size)) :]:
            x = block(x)
        x = leaky_relu(self.conv(minibatch_deviation(x, self.group), GAIN))
        x = leaky_relu(self.hidden(x.flatten(1)) * GAIN)
        return self.logit(x)
