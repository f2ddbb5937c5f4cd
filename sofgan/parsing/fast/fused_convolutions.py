"""Convolutions for inference that do more than one thing in the time of one.

A sum, bias and activation are done where a convolution writes its result. On a CPU oneDNN does that with weights
laid out for it beforehand, and 3x3 convolutions of many channels take Winograd's F(2, 3) along the rows: two
thirds of the multiplications, and an error no larger than that of oneDNN's own kernel for channels-last maps
(against float64: 5e-7 and 6e-7 of the answers' spread at 256 channels). Elsewhere they are plain convolutions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
_AFTER_SUM = ("none", "relu")  # oneDNN's convolutions have no other activation after a sum.
# Fewer channels than this leave Winograd's sums, which are bound by memory, dearer than what they save.
_WINOGRAD_CHANNELS = 128
_WINOGRAD = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))  # G of F(2, 3).


class FusedConv(nn.Module):
    """A convolution, a sum and an activation in one.

    Args:
        weight: (O, I / groups, kH, kW) float64.
        bias: (O,) float64.
        stride, dilation: (rows, columns).
        padding: of zeros (left, right, top, bottom).
        activation: None, or an `nn.ReLU`, `nn.ReLU6` or `nn.LeakyReLU`.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        left, right, top, bottom = padding
        symmetric = left == right and top == bottom
        self.stride, self.dilation, self.groups = list(stride), list(dilation), groups
        self.padding = [top, left] if symmetric else [0, 0]
        self.outer_padding = None if symmetric else padding
        self.activation = activation
        # As oneDNN's fused convolutions name it, with its numbers.
        self.named_activation = {
            type(None): ("none", []),
            nn.ReLU: ("relu", []),
            nn.ReLU6: ("hardtanh", [0.0, 6.0]),
            nn.LeakyReLU: ("leaky_relu", [getattr(activation, "negative_slope", 0.0)]),
        }[type(activation)]
        self.register_buffer("weight", weight.float().contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.float())
        self.rows = None
        usual = tuple(weight.shape[2:]) == (3, 3) and self.stride == self.dilation == [1, 1] and groups == 1
        usual &= weight.device.type == "cpu" and max(self.padding) <= 1
        if usual and min(weight.shape[:2]) >= _WINOGRAD_CHANNELS:
            rows = torch.einsum("jr,oirc->joic", weight.new_tensor(_WINOGRAD), weight).unsqueeze(3)
            rows[3] *= -1  # So that its share of the answer is added like the others.
            self.rows = rows.float()
        self._packed: dict[tuple, Tensor] = {}

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """activation(convolution of x + other): (B, I, H, W) to (B, O, H', W'), with `other` of any shape that
        can be added to that."""
        if self.outer_padding is not None:
            x = F.pad(x, self.outer_padding)
        if not _by_onednn(x):
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
            return self._activate(y if other is None else y + other)
        if self.rows is not None and x.shape[2] % 2 == 0:
            return self._winograd(x, other)
        packed = self._pack("direct", x, self.weight, self.padding, self.stride)
        how = (self.padding, self.stride, self.dilation, self.groups)
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, packed, self.bias, *how, *self.named_activation, ""
            )
        if self.named_activation[0] in _AFTER_SUM and other.shape[2:] == _output_shape(
            x, self.weight, *how[:3]
        ):
            return _sum(x, other, packed, self.bias, how, self.named_activation)
        y = torch.ops.mkldnn._convolution_pointwise(x, packed, self.bias, *how, "none", [], "")
        return self._activate(y + other)

    def _winograd(self, x: Tensor, other: Tensor | None) -> Tensor:
        """Two rows of the answer from sums of four rows of `x`, each convolved along the columns only."""
        inside = self.padding[0] == 0  # Else the row above the first and the one below the last are zeros.
        first, second = (x[:, :, 1:-1:2], x[:, :, 2::2]) if inside else (x[:, :, 0::2], x[:, :, 1::2])
        side = torch.empty(first.shape, memory_format=torch.channels_last)
        how = ([0, self.padding[1]], [1, 1], [1, 1], 1)
        packed = [self._pack(f"row {j}", side, row, how[0], how[1]) for j, row in enumerate(self.rows)]

        def convolve(index: int) -> Tensor:
            return torch.ops.mkldnn._convolution_pointwise(side, packed[index], None, *how, "none", [], "")

        torch.add(first, second, out=side)
        one = convolve(1)
        torch.sub(second, first, out=side)
        two = convolve(2)
        upper, lower = one + two, torch.sub(one, two, out=one)
        at_once = other is None and self.named_activation[0] in _AFTER_SUM
        named = self.named_activation if at_once else ("none", [])
        if inside:
            torch.sub(x[:, :, :-2:2], second, out=side)
        else:
            torch.sub(second[:, :, :-1], second[:, :, 1:], out=side[:, :, 1:])
            torch.neg(second[:, :, :1], out=side[:, :, :1])
        upper = _sum(side, upper, packed[0], self.bias, how, named)
        if inside:
            torch.sub(first, x[:, :, 3::2], out=side)
        else:
            torch.sub(first[:, :, :-1], first[:, :, 1:], out=side[:, :, :-1])
            side[:, :, -1:] = first[:, :, -1:]
        lower = _sum(side, lower, packed[3], self.bias, how, named)
        shape = (len(x), len(self.bias), 2 * upper.shape[2], upper.shape[3])
        out = torch.empty(shape, memory_format=torch.channels_last)
        if other is None:
            out[:, :, 0::2], out[:, :, 1::2] = upper, lower
        else:
            other = other.expand(shape)
            torch.add(upper, other[:, :, 0::2], out=out[:, :, 0::2])
            torch.add(lower, other[:, :, 1::2], out=out[:, :, 1::2])
        return out if at_once else self._activate(out)

    def _activate(self, y: Tensor) -> Tensor:
        kind, numbers = self.named_activation
        if kind == "none":
            return y
        if kind == "hardtanh":
            return F.hardtanh_(y, *numbers)
        return F.relu_(y) if kind == "relu" else F.leaky_relu_(y, *numbers)

    def _pack(self, name: str, x: Tensor, weight: Tensor, padding: list[int], stride: list[int]) -> Tensor:
        key = (name, *x.shape[1:])
        if key not in self._packed:
            self._packed[key] = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                weight.contiguous().to_mkldnn(), padding, stride, self.dilation, self.groups, list(x.shape)
            )
        return self._packed[key]


class UpsampledConv(nn.Module):
    """A 3x3 convolution of a map enlarged by nearest neighbour, at 4/9 of the cost where that doubles it.

    Each pixel of the small map is four equal ones of the large, so of a kernel's nine weights those that meet
    the same pixel are summed beforehand: four 2x2 kernels, one for each parity of row and column.

    Args:
        weight, bias, activation: as of `FusedConv`.
        channels: the first of the kernel's input channels that are enlarged; the others are given at full size.
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: nn.Module | None, channels: int) -> None:
        super().__init__()
        padding = (1, 1, 1, 1)
        self.plain = FusedConv(weight, bias, padding=padding, activation=activation)
        self.beside = None
        if channels < weight.shape[1]:
            self.beside = FusedConv(weight[:, channels:], bias, padding=padding, activation=activation)
            weight, bias, activation = weight[:, :channels], torch.zeros_like(bias), None
        kernels = [
            torch.stack([column.sum(3) for column in row.split(columns, 3)], 3)
            for rows in ((1, 2), (2, 1))
            for row in [torch.stack([part.sum(2) for part in weight.split(rows, 2)], 2)]
            for columns in ((1, 2), (2, 1))
        ]
        self.phases = FusedConv(torch.cat(kernels), bias.repeat(4), padding=padding, activation=activation)

    def forward(self, x: Tensor, size: tuple[int, int], beside: Tensor | None = None) -> Tensor:
        """(B, channels, h, w), enlarged to `size`, and what is beside it, (B, rest, *size): (B, O, *size)."""
        count, _, height, width = x.shape
        if not _by_onednn(x) or tuple(size) != (2 * height, 2 * width):
            x = F.interpolate(x, size, mode="nearest")
            return self.plain(x if beside is None else torch.cat([x, beside], 1))
        answers = self.phases(x).chunk(4, 1)
        out = torch.empty((count, answers[0].shape[1], *size), memory_format=torch.channels_last)
        for phase, answer in enumerate(answers):
            row, column = divmod(phase, 2)
            out[:, :, row::2, column::2] = answer[:, :, row : row + height, column : column + width]
        return out if beside is None else self.beside(beside, out)


def _by_onednn(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and _HAS_ONEDNN
    )


def _sum(x: Tensor, other: Tensor, packed: Tensor, bias: Tensor, how: tuple, named: tuple) -> Tensor:
    kind, numbers = named
    kind = None if kind == "none" else kind
    return torch.ops.mkldnn._convolution_pointwise(
        x, other, packed, bias, *how, "add", 1.0, kind, numbers, None
    )


def _output_shape(x: Tensor, weight: Tensor, padding, stride, dilation) -> tuple[int, ...]:
    return tuple(
        (side + 2 * pad - spread * (kernel - 1) - 1) // step + 1
        for side, kernel, pad, step, spread in zip(x.shape[2:], weight.shape[2:], padding, stride, dilation)
    )
