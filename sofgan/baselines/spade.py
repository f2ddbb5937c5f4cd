"""SPADE (arXiv 1903.07291): a code, grown into a picture by residual blocks that the label map modulates.

With its image encoder, whose code is drawn from a normal distribution (section 4, "multi-modal synthesis"): without
one, a map has a single picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.baselines.config import PairedConfig
from sofgan.baselines.layers import MapToGainShift, map_pyramid, xavier_conv
from sofgan.distributed import randn
from sofgan.siw.operators import SLOPE


class SpadeNorm(nn.Module):
    """Batch normalisation without weights of its own, then gain and shift from the label map."""

    def __init__(self, channels: int, config: PairedConfig):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.modulation = MapToGainShift(channels, config.spade_hidden)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """Features (B, C, H, H) by shares of classes (B, 17, H, H)."""
        gamma, beta = self.modulation(maps)
        return self.norm(x) * (1 + gamma) + beta


class SpadeBlock(nn.Module):
    """Two spectrally normalised convolutions beside a skip, each behind SPADE (fig. 4)."""

    def __init__(self, inputs: int, outputs: int, config: PairedConfig):
        super().__init__()
        between = min(inputs, outputs)
        self.norm_first, self.norm_second = SpadeNorm(inputs, config), SpadeNorm(between, config)
        self.first = xavier_conv(inputs, between, 3, spectral=True)
        self.second = xavier_conv(between, outputs, 3, spectral=True)
        self.skip = self.norm_skip = None
        if inputs != outputs:
            self.norm_skip = SpadeNorm(inputs, config)
            self.skip = xavier_conv(inputs, outputs, 1, spectral=True)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """(B, inputs, H, H) to (B, outputs, H, H)."""
        y = self.first(F.leaky_relu(self.norm_first(x, maps), SLOPE))
        y = self.second(F.leaky_relu(self.norm_second(y, maps), SLOPE))
        return y + (x if self.skip is None else self.skip(self.norm_skip(x, maps)))


class ImageEncoder(nn.Module):
    """Picture to mean and log variance of its code (appendix A, fig. 14)."""

    def __init__(self, config: PairedConfig):
        super().__init__()
        layers, width, size = [], 3, config.resolution
        while size > 4:
            size //= 2
            layers += [
                xavier_conv(width, config.channels(size), 3, 2, spectral=True),
                nn.InstanceNorm2d(config.channels(size)),
                nn.LeakyReLU(SLOPE),
            ]
            width = config.channels(size)
        self.layers = nn.Sequential(*layers)
        self.code = nn.Linear(16 * width, 2 * config.z_dim)

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, R, R) in [-1, 1] to (B, z_dim) twice."""
        return self.code(self.layers(photos).flatten(1)).chunk(2, 1)


class SpadeGenerator(nn.Module):
    """SPADE's generator and image encoder.

    Attributes:
        noise_sizes: of pictures of noise: none.
        w_average: the mean code, to which truncation pulls.
    """

    noise_sizes: tuple[int, ...] = ()

    def __init__(self, config: PairedConfig):
        super().__init__()
        self.config, sizes = config, config.sizes()
        self.encoder = ImageEncoder(config)
        width = config.channels(sizes[0])
        self.start = nn.Linear(config.z_dim, width * sizes[0] ** 2)
        blocks = []
        for size in sizes:
            blocks.append(SpadeBlock(width, config.channels(size), config))
            width = config.channels(size)
        self.blocks = nn.ModuleList(blocks)
        self.to_rgb = xavier_conv(width, 3, 3)
        self.register_buffer("w_average", torch.zeros(config.z_dim))

    def encode(self, photos: Tensor, maps: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes (B, z_dim) of photos, drawn around what the encoder says, and the divergence of its distribution from
        the normal one: mean over photos of the sum over the code's entries."""
        mean, log_variance = self.encoder(photos)
        code = mean + randn(mean.shape, draws, mean.device) * torch.exp(0.5 * log_variance)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return code, divergence

    def style_of(self, z: Tensor) -> Tensor:
        """Random codes are styles themselves."""
        return z

    def forward(self, one_hot: Tensor, style: Tensor, noise: list[Tensor]) -> Tensor:
        """Paint.

        Args:
            one_hot: (B, 17, L, L).
            style: (B, z_dim).
            noise: not used.

        Returns:
            (B, 3, R, R) in [-1, 1].
        """
        sizes = self.config.sizes()
        pyramid = map_pyramid(one_hot, sizes)
        x = self.start(style).unflatten(1, (-1, sizes[0], sizes[0]))
        for size, block in zip(sizes, self.blocks):
            if size > sizes[0]:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x, pyramid[size])
        return torch.tanh(self.to_rgb(F.leaky_relu(x, SLOPE)))
