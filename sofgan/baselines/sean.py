"""SEAN (arXiv 1911.12861): SPADE's generator, whose gains and shifts also come from a style code of each region.

Codes are those of photos: an encoder averages its features over each region of the photo's own map. Random styles are
drawn from the codes of photos that are kept with the model, as the paper compares it (SofGAN, section 8.1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.baselines.config import PairedConfig
from sofgan.baselines.layers import MapToGainShift, map_pyramid, xavier_conv
from sofgan.labels import NUM_CLASSES
from sofgan.siw.mixing import spread
from sofgan.siw.operators import SLOPE, resize_weights

PRESENT = 1e-6  # share of a picture from which a class has a code


class StyleEncoder(nn.Module):
    """Photo and its map to a code of each region (fig. 3): features at half the size, averaged over regions."""

    def __init__(self, config: PairedConfig):
        super().__init__()
        widths = [config.channels(config.resolution >> i) for i in range(3)]

        def layers(*convolution) -> list[nn.Module]:
            return [convolution[0], nn.InstanceNorm2d(convolution[0].out_channels), nn.LeakyReLU(SLOPE)]

        self.layers = nn.Sequential(
            *layers(xavier_conv(3, widths[0], 3)),
            *layers(xavier_conv(widths[0], widths[1], 3, 2)),
            *layers(xavier_conv(widths[1], widths[2], 3, 2)),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *layers(xavier_conv(widths[2], widths[2], 3)),
            xavier_conv(widths[2], config.style_dim, 3),
            nn.Tanh(),
        )

    def forward(self, photos: Tensor, one_hot: Tensor) -> tuple[Tensor, Tensor]:
        """Region-wise average pooling.

        Args:
            photos: (B, 3, R, R) in [-1, 1].
            one_hot: (B, 17, L, L), their own maps.

        Returns:
            Codes (B, 17, style_dim), 0 for classes that aren't there, and (B, 17) bool: whether they are.
        """
        features = self.layers(photos)
        shares = resize_weights(one_hot, features.shape[-1]).flatten(2)  # (B, 17, pixels)
        total = shares.sum(2, keepdim=True)
        codes = shares @ features.flatten(2).transpose(1, 2) / total.clamp_min(PRESENT)
        return codes, total[..., 0] / shares.shape[2] > PRESENT


class SeanNorm(nn.Module):
    """Noise, batch normalisation, then gain and shift from the map and from the codes of its regions (fig. 4)."""

    def __init__(self, channels: int, config: PairedConfig):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.noise_strength = nn.Parameter(torch.zeros(channels, 1, 1))
        self.from_map = MapToGainShift(channels, config.spade_hidden)
        # A linear layer of its own for each class.
        self.code_weight = nn.Parameter(torch.empty(NUM_CLASSES, config.style_dim, config.style_dim))
        nn.init.normal_(self.code_weight, std=config.style_dim**-0.5)
        self.code_bias = nn.Parameter(torch.zeros(NUM_CLASSES, config.style_dim))
        self.from_codes = xavier_conv(config.style_dim, 2 * channels, 3)
        self.blend = nn.Parameter(torch.zeros(2))  # before the sigmoid: gain's, shift's

    def forward(self, x: Tensor, maps: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
        """Features (B, C, H, H) by shares of classes (B, 17, H, H), codes (B, 17, style_dim), noise (B, 1, H, H)."""
        gamma, beta = self.from_map(maps)
        styles = F.relu(torch.einsum("bcd,cde->bce", codes, self.code_weight) + self.code_bias)
        style_gamma, style_beta = self.from_codes(spread(styles, maps)).chunk(2, 1)
        a, b = torch.sigmoid(self.blend)
        gamma, beta = a * style_gamma + (1 - a) * gamma, b * style_beta + (1 - b) * beta
        return self.norm(x + noise * self.noise_strength) * (1 + gamma) + beta


class SeanBlock(nn.Module):
    """Two spectrally normalised convolutions beside a skip, each behind SEAN.

    Attributes:
        noises: pictures of noise that it takes.
    """

    def __init__(self, inputs: int, outputs: int, config: PairedConfig):
        super().__init__()
        between = min(inputs, outputs)
        self.norm_first, self.norm_second = SeanNorm(inputs, config), SeanNorm(between, config)
        self.first = xavier_conv(inputs, between, 3, spectral=True)
        self.second = xavier_conv(between, outputs, 3, spectral=True)
        self.skip = self.norm_skip = None
        if inputs != outputs:
            self.norm_skip = SeanNorm(inputs, config)
            self.skip = xavier_conv(inputs, outputs, 1, spectral=True)
        self.noises = 2 if self.skip is None else 3

    def forward(self, x: Tensor, maps: Tensor, codes: Tensor, noise: list[Tensor]) -> Tensor:
        """(B, inputs, H, H) to (B, outputs, H, H)."""
        y = self.first(F.leaky_relu(self.norm_first(x, maps, codes, noise[0]), SLOPE))
        y = self.second(F.leaky_relu(self.norm_second(y, maps, codes, noise[1]), SLOPE))
        return y + (x if self.skip is None else self.skip(self.norm_skip(x, maps, codes, noise[2])))


class SeanGenerator(nn.Module):
    """SEAN's generator and style encoder.

    Attributes:
        noise_sizes: of the pictures of noise.
        references: (N, 17, style_dim) codes of photos, from which random styles are drawn; a class that a photo lacks
            has the mean code of the others. Zeros before `keep_references`.
        w_average: their mean, to which truncation pulls.
    """

    def __init__(self, config: PairedConfig):
        super().__init__()
        self.config, sizes = config, config.sizes()
        self.encoder = StyleEncoder(config)
        width = config.channels(sizes[0])
        self.start = xavier_conv(NUM_CLASSES, width, 3)
        blocks = []
        for size in sizes:
            blocks.append(SeanBlock(width, config.channels(size), config))
            width = config.channels(size)
        self.blocks = nn.ModuleList(blocks)
        self.to_rgb = xavier_conv(width, 3, 3)
        self.noise_sizes = tuple(size for size, block in zip(sizes, blocks) for _ in range(block.noises))
        codes = NUM_CLASSES, config.style_dim
        self.register_buffer("references", torch.zeros(config.reference_photos, *codes))
        self.register_buffer("w_average", torch.zeros(codes))

    def encode(self, photos: Tensor, maps: Tensor, draws: torch.Generator) -> tuple[Tensor, None]:
        """Codes (B, 17, style_dim) of photos; there is nothing to regularise."""
        return self.encoder(photos, maps)[0], None

    @torch.no_grad()
    def keep_references(self, photos: Tensor, maps: Tensor) -> None:
        """Keep the codes of `reference_photos` photos (N, 3, R, R) with their maps (N, 17, L, L) to draw from."""
        codes, present = self.encoder(photos, maps)
        counts = present.sum(0)[:, None]
        mean = codes.sum(0) / counts.clamp_min(1)
        self.references.copy_(torch.where(present[..., None], codes, mean))
        self.w_average.copy_(mean)

    def style_of(self, z: Tensor) -> Tensor:
        """Codes (B, 17, style_dim) of the reference photos that normal numbers z (B, n) choose, by their first."""
        count = len(self.references)
        chosen = (torch.special.ndtr(z[:, 0]) * count).long().clamp_max(count - 1)
        return self.references[chosen]

    def forward(self, one_hot: Tensor, style: Tensor, noise: list[Tensor]) -> Tensor:
        """Paint.

        Args:
            one_hot: (B, 17, L, L).
            style: (B, 17, style_dim).
            noise: (B or 1, 1, size, size) for each of `noise_sizes`.

        Returns:
            (B, 3, R, R) in [-1, 1].
        """
        sizes, used = self.config.sizes(), 0
        pyramid = map_pyramid(one_hot, sizes)
        x = self.start(pyramid[sizes[0]])
        for size, block in zip(sizes, self.blocks):
            if size > sizes[0]:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x, pyramid[size], style, noise[used : used + block.noises])
            used += block.noises
        return torch.tanh(self.to_rgb(F.leaky_relu(x, SLOPE)))
