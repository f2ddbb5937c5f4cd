"""The SIW generator: a one-hot label map, painted region by region with styles (paper, section 5.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sofgan import distributed
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.encoder import ConstantInput, PlainEncoder, StyledEncoder
from sofgan.siw.operators import (
    GAIN,
    EqualLinear,
    halvings,
    leaky_relu,
    normalize_second_moment,
    resize_weights,
    upsample2,
)
from sofgan.siw.spade import Spade
from sofgan.siw.styled_conv import StyledConv, ToRGB


class Mapping(nn.Module):
    """Codes z to styles w: normalised, then fully connected layers at a hundredth of the learning rate.

    In full precision under autocast too: eight layers of 8-bit mantissas would move every style.
    """

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        widths = [config.z_dim] + [config.w_dim] * config.mapping_layers
        self.layers = nn.ModuleList(
            EqualLinear(inputs, outputs, lr_multiplier=0.01) for inputs, outputs in zip(widths, widths[1:])
        )

    def forward(self, z: Tensor) -> Tensor:
        """(..., z_dim) to (..., w_dim)."""
        with torch.autocast(z.device.type, enabled=False):
            x = normalize_second_moment(z)
            for layer in self.layers:
                x = leaky_relu(layer(x) * GAIN)
        return x


class SynthesisBlock(nn.Module):
    """One resolution: [upsampling convolution, SPADE,] convolution, ToRGB onto the upsampled picture so far."""

    def __init__(self, inputs: int, outputs: int, size: int, first: bool, config: GeneratorConfig):
        super().__init__()
        self.up = None if first else StyledConv(inputs, outputs, "up", config, noise=True)
        low, high = config.spade_sizes
        self.spade = Spade(outputs, size, config) if not first and low <= size <= high else None
        self.conv = StyledConv(inputs if first else outputs, outputs, None, config, noise=True)
        self.to_rgb = ToRGB(outputs, config)
        self.layers = 2 if first else 3
        self.noises = 1 if first else 2

    def forward(self, x, rgb, w: list[Tensor], weights, gain_shift, noise: list[Tensor | None]):
        """Features and picture at this size; see `Generator.synthesize`."""
        w, noise = list(w), list(noise)
        if self.up is not None:
            x = self.up(x, w.pop(0), weights, noise.pop(0), gain_shift)
        x = self.conv(x, w.pop(0), weights, noise.pop(0))
        colors = self.to_rgb(x, w.pop(0), weights)
        colors = colors.to(torch.promote_types(colors.dtype, torch.float32))
        return x, colors if rgb is None else upsample2(rgb) + colors


class Generator(nn.Module):
    """The whole generator.

    Attributes:
        layers: number of styled layers; a style may differ from layer to layer (w+).
        w_average: running mean of the styles of random codes, towards which truncation pulls.
    """

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        encoders = {"styled": StyledEncoder, "plain": PlainEncoder, "constant": ConstantInput}
        self.encoder = encoders[config.encoder](config)
        first = config.sizes()[0]
        width = config.channels(first) if config.encoder == "constant" else config.encoder_channels[-1]
        blocks = []
        for size in config.sizes():
            blocks.append(SynthesisBlock(width, config.channels(size), size, size == first, config))
            width = config.channels(size)
        self.blocks = nn.ModuleList(blocks)
        self.layers = self.encoder.layers + sum(block.layers for block in blocks)
        self.noise_sizes = tuple(
            size for size, block in zip(config.sizes(), blocks) for _ in range(block.noises)
        )
        self.register_buffer("w_average", torch.zeros(config.w_dim))

    def spade_maps(self, one_hot: Tensor, blocks: int | None = None) -> list[tuple[Tensor, Tensor] | None]:
        """Gains and shifts of the first `blocks` resolutions for these maps, of all by default; reuse them for
        further styles of a map."""
        spades = [block.spade for block in self.blocks[:blocks]]
        sizes = [spade.map_size for spade in spades if spade is not None]
        maps = halvings(one_hot, min(sizes)) if sizes else {}
        return [
            None if spade is None else spade.gain_and_shift(maps.get(spade.map_size, one_hot))
            for spade in spades
        ]

    def layers_at(self, resolution: int | None = None) -> int:
        """Number of styled layers, the first ones, that make a picture of that size; of the full size by default."""
        blocks = zip(self.config.sizes(), self.blocks)
        used = (block.layers for size, block in blocks if resolution is None or size <= resolution)
        return self.encoder.layers + sum(used)

    def synthesize(
        self,
        one_hot: Tensor,
        w: Tensor,
        weights: Tensor | None = None,
        noise: list[Tensor] | None = None,
        spade_maps: list | None = None,
        resolution: int | None = None,
    ) -> Tensor:
        """Paint label maps.

        Args:
            one_hot: (B, 17, label_size, label_size) float, one-hot or probabilities.
            w: (B, K, w_dim), or (B, K, layers, w_dim); layers that are not used (`layers_at`) may be left out.
            weights: (B, K, S, S) region weights, None for one style (then K is 1).
            noise: (B or 1, 1, size, size) for every size of `noise_sizes`; None for none.
            spade_maps: of `spade_maps` for the same maps.
            resolution: stop at this size, which must be one of the synthesis.

        Returns:
            (B, 3, resolution, resolution) float32, about [-1, 1], not clamped.
        """
        if weights is None and w.shape[1] != 1:
            raise ValueError(f"{w.shape[1]} styles need region weights")
        per_layer = [w[:, :, i] for i in range(w.shape[2])] if w.dim() == 4 else [w] * self.layers
        if len(per_layer) < self.layers_at(resolution):
            raise ValueError(f"{len(per_layer)} layers' styles for {self.layers_at(resolution)} layers")
        sizes, pyramid = self.config.sizes(), {}
        if weights is not None:
            weights = weights.contiguous(memory_format=torch.channels_last)
            sizes = (*sizes, *self.config.encoder_sizes())
            pyramid = halvings(weights, min(sizes))
            pyramid |= {size: resize_weights(weights, size) for size in sizes if size not in pyramid}
        one_hot = one_hot.contiguous(memory_format=torch.channels_last)
        blocks = len(self.blocks)
        if resolution is not None:
            blocks = self.config.sizes().index(resolution) + 1
        if spade_maps is None:
            spade_maps = self.spade_maps(one_hot, blocks)
        layers, noises = self.encoder.layers, 0
        x, rgb = self.encoder(one_hot, per_layer[:layers], pyramid), None
        for block, spade in zip(self.blocks[:blocks], spade_maps):
            styles = per_layer[layers : layers + block.layers]
            own = [None] * block.noises if noise is None else noise[noises : noises + block.noises]
            x, rgb = block(x, rgb, styles, pyramid, spade, own)
            layers, noises = layers + block.layers, noises + block.noises
        return rgb

    def forward(
        self, one_hot: Tensor, z: Tensor, weights: Tensor | None = None, noise: list[Tensor] | None = None
    ):
        """Paint as `synthesize` does, from codes z (B, K, z_dim)."""
        return self.synthesize(one_hot, self.mapping(z), weights, noise)


def random_noise(
    network: Generator, batch: int, generator: torch.Generator, resolution: int | None = None
) -> list[Tensor]:
    """Fresh noise for every picture and layer up to a size, for training."""
    return [
        distributed.randn((batch, 1, size, size), generator, network.w_average.device)
        for size in network.noise_sizes
        if resolution is None or size <= resolution
    ]


def fixed_noise(network: Generator, seed: int) -> list[Tensor]:
    """The same noise (1, 1, size, size) for every picture, a function of the seed, the layer and its size alone."""
    noise = []
    for layer, size in enumerate(network.noise_sizes):
        # Drawn on the CPU, so that a seed means the same noise on every device.
        generator = torch.Generator().manual_seed((seed * 65537 + size) * 64 + layer)
        noise.append(torch.randn((1, 1, size, size), generator=generator).to(network.w_average.device))
    return noise


def noise_of(network: Generator, seed: int | Sequence[int], count: int) -> list[Tensor]:
    """Noise for so many pictures: (1, 1, size, size) a layer of one seed for all, (count, 1, size, size) of one each.

    Raises:
        ValueError: there are neither one seed nor as many as pictures.
    """
    seeds = list(seed) if isinstance(seed, Sequence) else [seed]
    if len(seeds) not in (1, count):
        raise ValueError(f"{len(seeds)} seeds of noise for {count} maps")
    return [torch.cat(layer) for layer in zip(*(fixed_noise(network, one) for one in seeds))]
