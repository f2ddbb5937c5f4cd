"""The SIW generator: a one-hot label map, painted region by region with styles (paper, section 5.1)."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan import distributed
from sofgan.labels import NUM_CLASSES
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.mixing import spread
from sofgan.siw.operators import (
    GAIN,
    EqualConv2d,
    EqualLinear,
    demodulation,
    downsample2,
    halvings,
    leaky_relu,
    normalize_second_moment,
    pointwise,
    resize_weights,
    strided_conv2,
    transposed_conv2,
    upsample2,
)


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


class StyledConv(nn.Module):
    """A convolution modulated by K styles, each in its region, for any K and batch (eq. 7, eq. 8).

    What styles do to channels, and the demodulation, are computed in full precision under autocast too.

    Args:
        resample: "up" doubles the size, "down" halves it (how, see `downsample`), None keeps it.
        mixing: "output" convolves once a style and mixes the results (eq. 8). Otherwise every pixel's input
            is modulated by its own style, one convolution serves all, and the demodulation is mixed
            likewise: equal to eq. 8 wherever the receptive field lies in one hard region.
        noise: whether noise of learned strength is added.
    """

    def __init__(self, inputs: int, outputs: int, resample: str | None, config: GeneratorConfig, noise: bool):
        super().__init__()
        self.affine = EqualLinear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.scale = 1 / math.sqrt(inputs * 9)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(())) if noise and config.noise else None
        self.resample = resample
        self.transposed = config.upsample == "transposed"
        self.strided = config.downsample == "strided"
        self.mix_outputs = config.mixing == "output"
        self.spade_first = config.spade_at == "convolution"
        self.clamp = config.conv_clamp

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        weights: dict[int, Tensor],
        noise: Tensor | None = None,
        gain_shift: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Convolve, mix, add noise and bias, leaky ReLU.

        Args:
            x: (B, in, H, H).
            w: (B, K, w_dim).
            weights: size to region weights (B, K, size, size); empty for one style.
            noise: (B or 1, 1, S, S) at the output's size.
            gain_shift: SPADE's, (B, out, S, S) each; where it acts is `spade_at` of the configuration.
        """
        weight = self.weight * self.scale
        with torch.autocast(x.device.type, enabled=False):
            styles = self.affine(w)  # (B, K, in)
            gains = demodulation(weight, styles) * GAIN  # (B, K, out)
        if self.resample == "down" and not self.strided:
            x = downsample2(x)
        bias = (self.bias * GAIN)[:, None, None]
        if self.mix_outputs and weights:
            y = self._mixed_outputs(x, weight, styles, gains, weights)
            if gain_shift is not None and self.spade_first:
                y = (y * gain_shift[0]).add_(gain_shift[1], alpha=GAIN)
            y = y + bias.to(y.dtype)
        else:
            x = x * spread(styles, weights[x.shape[-1]] if weights else None).to(x.dtype)
            y = self._convolve(x, weight)
            gains = spread(gains, weights[y.shape[-1]] if weights else None).to(y.dtype)
            if gain_shift is not None and self.spade_first:
                y = self._upsample(y * gains)
                y = (y * gain_shift[0]).add_(gain_shift[1], alpha=GAIN).add_(bias)
            else:  # Gain and bias go through interpolation unchanged, and cost a quarter before it.
                y = self._upsample((y * gains).add_(bias))
        if self.noise_strength is not None and noise is not None:
            y = y.add_((noise * (self.noise_strength * GAIN)).to(y.dtype))
        y = leaky_relu(y)
        if gain_shift is not None and not self.spade_first:
            y = (y * gain_shift[0]).add_(gain_shift[1])
        if y.element_size() < 4:
            y = y.clamp(-self.clamp, self.clamp)
        return y

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.resample == "up" and self.transposed:
            return transposed_conv2(x, weight)
        if self.resample == "down" and self.strided:
            return strided_conv2(x, weight)
        return F.conv2d(x, weight, padding=1)

    def _upsample(self, y: Tensor) -> Tensor:
        return upsample2(y) if self.resample == "up" and not self.transposed else y

    def _mixed_outputs(self, x: Tensor, weight: Tensor, styles: Tensor, gains: Tensor, weights) -> Tensor:
        """Eq. 8: a convolution a style, on the batch axis, then the sum weighted by region."""
        batch, count = styles.shape[:2]
        x = x[:, None] * styles[..., None, None].to(x.dtype)  # (B, K, in, H, H)
        y = self._upsample(self._convolve(x.flatten(0, 1), weight))
        y = y.unflatten(0, (batch, count)) * gains[..., None, None].to(y.dtype)
        y = y * weights[y.shape[-1]][:, :, None].to(y.dtype)
        # Added one by one: autocast would make the sum, and all that comes after it, float32.
        return functools.reduce(torch.add, y.unbind(1))


class ToRGB(nn.Module):
    """Features to colours: a modulated 1x1 convolution without demodulation.

    It sees one pixel at a time, so mixing inputs and mixing outputs are the same; SPADE is not applied here
    (it "would flatten the variety of texture styles", 5.1).
    """

    def __init__(self, inputs: int, config: GeneratorConfig):
        super().__init__()
        self.affine = EqualLinear(config.w_dim, inputs, bias_init=1.0, weight_init=config.to_rgb_start)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.scale = 1 / math.sqrt(inputs)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor, weights: dict[int, Tensor]) -> Tensor:
        """(B, in, H, H) to (B, 3, H, H)."""
        with torch.autocast(x.device.type, enabled=False):
            styles = self.affine(w)
        if weights:
            x = x * spread(styles, weights[x.shape[-1]]).to(x.dtype)
            return pointwise(x, self.weight[:, :, 0, 0] * self.scale, self.bias)
        # One style: the modulation goes into the weights, which is a small matrix product a picture.
        kernel = self.weight[:, :, 0, 0] * self.scale * styles  # (B, 3, in), as K is 1
        return torch.einsum("bihw,boi->bohw", x, kernel.to(x.dtype)) + self.bias[:, None, None].to(x.dtype)


class Spade(nn.Module):
    """Gain and shift of features from the label map: x * (1 + gamma) + beta (spec 4.2).

    gamma stays within +- `spade_gain`, where that is not 0: an unbounded gain lets rare classes glow.
    """

    def __init__(self, outputs: int, size: int, config: GeneratorConfig):
        super().__init__()
        self.size, self.limit = size, config.spade_gain
        self.map_size = min(size, config.spade_max_size)
        self.hidden = EqualConv2d(NUM_CLASSES, config.spade_hidden, 3)
        self.gain_shift = EqualConv2d(config.spade_hidden, 2 * outputs, 3)
        nn.init.normal_(self.gain_shift.weight, std=config.spade_start)

    def gain_and_shift(self, one_hot: Tensor) -> tuple[Tensor, Tensor]:
        """Depends on the map alone: computed once a map, whatever the number of styles."""
        y = leaky_relu(self.hidden(resize_weights(one_hot, self.map_size), gain=GAIN))
        y = self.gain_shift(y)
        while y.shape[-1] < self.size:
            y = upsample2(y)
        gamma, beta = y.chunk(2, 1)
        if not self.limit:
            return 1 + gamma, beta
        # tanh by the sigmoid, which on a CPU is several times as fast.
        return 1 - self.limit + 2 * self.limit * torch.sigmoid(2 * gamma), beta


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
        """How many styled layers, the first ones, make a picture of that size; of the full size by default."""
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
        """As `synthesize`, from codes z (B, K, z_dim)."""
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
