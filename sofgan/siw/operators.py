"""Building blocks of StyleGAN2 networks, without grouped convolutions.

Weights are drawn from N(0, 1) and scaled where they are used (equalised learning rate). The leaky ReLU's
gain of sqrt(2) is applied to what goes into it, which is the same (it is positively homogeneous) and lets
small tensors carry it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
GAIN = math.sqrt(2.0)


class EqualLinear(nn.Module):
    """A fully connected layer with equalised learning rate.

    Args:
        bias_init: start value of the biases; None for no bias.
        weight_init: standard deviation of the outputs at the start, for inputs of unit variance.
        lr_multiplier: learning rate of this layer over that of the others.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias_init: float | None = 0.0,
        weight_init: float = 1.0,
        lr_multiplier: float = 1.0,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (weight_init / lr_multiplier))
        self.scale = lr_multiplier / math.sqrt(inputs)
        self.lr_multiplier = lr_multiplier
        self.bias = None
        if bias_init is not None:
            self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_multiplier))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        bias = None if self.bias is None else self.bias * self.lr_multiplier
        return F.linear(x, self.weight * self.scale, bias)


class EqualConv2d(nn.Module):
    """A convolution, stride 1, same size, with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.padding = kernel // 2

    def forward(self, x: Tensor, gain: float = 1.0, halve: bool = False) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W), times `gain`; halved, (B, outputs, H/2, W/2), as StyleGAN2 does."""
        bias = None if self.bias is None else self.bias * gain
        weight = self.weight * (self.scale * gain)
        if self.padding == 0:
            return pointwise(halve_blurred(x) if halve else x, weight[:, :, 0, 0], bias)
        if halve:
            return strided_conv2(x, weight, bias)
        return F.conv2d(x, weight, bias, padding=self.padding)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution as one matrix product, which with channels last copies nothing.

    PyTorch's own takes up to twice as long on a CPU.

    Args:
        x: (B, in, H, W).
        weight: (out, in).
    """
    return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, in place, without gain: the caller has put `GAIN` into x."""
    return F.leaky_relu_(x, SLOPE)


def normalize_second_moment(x: Tensor) -> Tensor:
    """StyleGAN's pixel norm of vectors (..., C): mean square 1."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8)


def demodulation(weight: Tensor, styles: Tensor, eps: float = 1e-8) -> Tensor:
    """Factors that bring a modulated convolution's outputs back to unit variance (StyleGAN2, eq. 3).

    Args:
        weight: (out, in, k, k).
        styles: (..., in).

    Returns:
        (..., out): 1 / sqrt(sum over (in, k, k) of (weight * style)^2). Full precision is the caller's to see to.
    """
    squares = weight.square().sum((2, 3))
    return torch.rsqrt(styles.square() @ squares.t() + eps)


def upsample2(x: Tensor) -> Tensor:
    """Twice the size: bilinear, which is the FIR filter [1, 3, 3, 1] with borders repeated."""
    # Under autocast a GPU interpolates in float32; what comes after it shall be as reduced as what came before.
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False).to(x.dtype)


def downsample2(x: Tensor) -> Tensor:
    """Half the size by averaging areas.

    The box filter, not StyleGAN2's [1, 3, 3, 1]: of one-hot maps it makes the shares of the classes, and on a
    CPU the longer filter costs as much as the convolution behind it.
    """
    return F.avg_pool2d(x, 2)


def transposed_conv2(x: Tensor, weight: Tensor) -> Tensor:
    """StyleGAN2's upsampling convolution: stride-2 transposed, then the FIR filter [1, 3, 3, 1], gain 4.

    Args:
        x: (B, in, H, W).
        weight: (out, in, 3, 3).

    Returns:
        (B, out, 2H, 2W).
    """
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (B, out, 2H + 1, 2W + 1)
    return _filtered(F.pad(y, (1, 1, 1, 1)), 0.25)


def strided_conv2(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """StyleGAN2's downsampling convolution: the FIR filter [1, 3, 3, 1], then stride 2.

    Args:
        x: (B, in, H, W), H and W even.
        weight: (out, in, 3, 3).

    Returns:
        (B, out, H/2, W/2).
    """
    return F.conv2d(_filtered(F.pad(x, (2, 2, 2, 2)), 0.125), weight, bias, stride=2)


def halve_blurred(x: Tensor) -> Tensor:
    """Half the size by the FIR filter [1, 3, 3, 1], as StyleGAN2's skips have it."""
    return _filtered(F.pad(x, (1, 1, 1, 1)), 0.125)[:, :, ::2, ::2]


def _filtered(x: Tensor, tap: float) -> Tensor:
    """(B, C, H, W) by [tap, 3 tap, 3 tap, tap] along both axes, where all of it fits: (B, C, H - 3, W - 3)."""
    x = 3 * tap * (x[:, :, 1:-2] + x[:, :, 2:-1]) + tap * (x[:, :, :-3] + x[:, :, 3:])
    return 3 * tap * (x[..., 1:-2] + x[..., 2:-1]) + tap * (x[..., :-3] + x[..., 3:])


def resize_weights(weights: Tensor, size: int) -> Tensor:
    """Region weights or one-hot maps (B, K, S, S) at another size: areas averaged down, bilinear up."""
    here = weights.shape[-1]
    if size == here:
        return weights
    if size < here:
        return F.avg_pool2d(weights, here // size)
    return F.interpolate(weights, size=(size, size), mode="bilinear", align_corners=False)


def halvings(weights: Tensor, smallest: int) -> dict[int, Tensor]:
    """`resize_weights` to every size down to the smallest, each made from the one before."""
    found = {weights.shape[-1]: weights}
    while (size := min(found)) > smallest:
        found[size // 2] = F.avg_pool2d(found[size], 2)
    return found
