"""Convolutions modulated by styles, each style in its region (paper, eq. 7 and 8)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.siw.config import GeneratorConfig
from sofgan.siw.mixing import mix, spread
from sofgan.siw.operators import (
    GAIN,
    EqualLinear,
    demodulation,
    downsample2,
    leaky_relu,
    pointwise,
    strided_conv2,
    transposed_conv2,
    upsample2,
)


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
        """A convolution a style, on the batch axis, then eq. 8."""
        batch, count = styles.shape[:2]
        x = x[:, None] * styles[..., None, None].to(x.dtype)  # (B, K, in, H, H)
        y = self._upsample(self._convolve(x.flatten(0, 1), weight))
        y = y.unflatten(0, (batch, count)) * gains[..., None, None].to(y.dtype)
        return mix(y, weights[y.shape[-1]])


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
