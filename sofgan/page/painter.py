"""A painter as a page carries it: its layers as plain data, and all their numbers in half precision."""

import numpy as np
from torch import Tensor

from sofgan.errors import InputError
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator, SynthesisBlock, fixed_noise
from sofgan.siw.mixing import class_to_group
from sofgan.siw.operators import GAIN, EqualConv2d, EqualLinear
from sofgan.siw.spade import Spade
from sofgan.siw.styled_conv import StyledConv, ToRGB

TILE_CHANNELS, TILE_PIXELS = 8, 4  # of kernel.js
MOST_PIXELS = 256  # along a side; a larger painter is too large for a file, and too slow for a browser
NOISE_SEED = 0  # the engine's


def check(config: GeneratorConfig) -> None:
    """See that the page can paint as this generator does.

    Raises:
        InputError: it is of another kind than the default's, or too large.
    """
    asked = {
        "encoder": "styled",
        "downsample": "areas",
        "upsample": "bilinear",
        "spade_at": "activation",
    }
    for name, value in asked.items():
        if (found := getattr(config, name)) != value:
            raise InputError(
                f"the page can't paint as this generator does: its {name} is {found}, not {value}"
            )
    if config.mixing == "output":
        raise InputError("the page can't paint as this generator does: its mixing is output, not input")
    if config.resolution > MOST_PIXELS:
        raise InputError(
            f"the page paints up to {MOST_PIXELS} pixels; this generator's pictures have {config.resolution}"
        )
    if config.label_size < config.resolution or config.start_size < TILE_PIXELS:
        raise InputError(
            f"the page paints from maps that are not smaller than the pictures, and starts at {TILE_PIXELS} pixels or "
            f"more; this generator has label_size {config.label_size}, start_size {config.start_size}"
        )


class Numbers:
    """Arrays, one after another; `add` tells where one lies: the first number, how many."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.count = 0

    def add(self, values: Tensor | np.ndarray) -> list[int]:
        """Place of an array's numbers, row by row."""
        array = np.ascontiguousarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)
        place = [self.count, array.size]
        self.arrays.append(array.ravel())
        self.count += array.size
        return place

    def halves(self) -> np.ndarray:
        """All of them, float16, little-endian."""
        return np.concatenate(self.arrays).astype("<f2")


def pack(generator: Generator) -> tuple[dict, np.ndarray]:
    """The design of a generator for `Painter` of painter.js, and all numbers that it points into, (N,) float16.

    Raises:
        InputError: as of `check`.
    """
    check(generator.config)
    config, numbers, noise = generator.config, Numbers(), iter(fixed_noise(generator, NOISE_SEED))
    encoder = [
        _styled(numbers, layer, config.label_size >> depth, None)
        for depth, layer in enumerate(generator.encoder.blocks, 1)
    ]
    blocks = [_block(numbers, block, size, noise) for size, block in zip(config.sizes(), generator.blocks)]
    design = {
        "resolution": config.resolution,
        "labelSize": config.label_size,
        "wDim": config.w_dim,
        "regionOfClass": class_to_group().tolist(),
        "encoder": encoder,
        "blocks": blocks,
    }
    return design, numbers.halves()


def _block(numbers: Numbers, block: SynthesisBlock, size: int, noise) -> dict:
    up = None if block.up is None else _styled(numbers, block.up, size // 2, next(noise))
    conv = _styled(numbers, block.conv, size, next(noise))
    spade = None if block.spade is None else _spade(numbers, block.spade)
    return {"size": size, "up": up, "conv": conv, "spade": spade, "rgb": _to_rgb(numbers, block.to_rgb)}


def _styled(numbers: Numbers, layer: StyledConv, size: int, noise: Tensor | None) -> dict:
    """A styled convolution at that size; noise (1, 1, S, S) at its output's."""
    strength = None if layer.noise_strength is None else layer.noise_strength.detach()
    return {
        **_convolution(numbers, layer.weight * layer.scale, layer.bias * GAIN, size),
        **_affine(numbers, layer.affine),
        "noise": None if strength is None or not strength else numbers.add(noise * (strength * GAIN)),
    }


def _spade(numbers: Numbers, spade: Spade) -> dict:
    def plain(layer: EqualConv2d, gain: float) -> dict:
        weight, bias = layer.weight * (layer.scale * gain), layer.bias * gain
        return _convolution(numbers, weight, bias, spade.map_size)

    return {
        "hidden": plain(spade.hidden, GAIN),
        "gainShift": plain(spade.gain_shift, 1.0),
        "limit": spade.limit,
    }


def _to_rgb(numbers: Numbers, layer: ToRGB) -> dict:
    weight = numbers.add(layer.weight[:, :, 0, 0] * layer.scale)
    inputs = layer.weight.shape[1]
    return {
        "inputs": inputs,
        "weight": weight,
        "bias": numbers.add(layer.bias),
        **_affine(numbers, layer.affine),
    }


def _affine(numbers: Numbers, layer: EqualLinear) -> dict:
    return {
        "affine": numbers.add(layer.weight * layer.scale),
        "affineBias": numbers.add(layer.bias * layer.lr_multiplier),
    }


def _convolution(numbers: Numbers, weight: Tensor, bias: Tensor, size: int) -> dict:
    """A convolution (out, in, 3, 3), its outputs filled up to whole tiles: [tile][row][column][in][output of the
    tile]."""
    outputs, inputs = weight.shape[:2]
    tiles = -(-outputs // TILE_CHANNELS)
    full = np.zeros((tiles * TILE_CHANNELS, inputs, 3, 3), np.float32)
    full[:outputs] = weight.detach().cpu().numpy()
    ordered = full.reshape(tiles, TILE_CHANNELS, inputs, 3, 3).transpose(0, 3, 4, 2, 1)
    return {
        "inputs": inputs,
        "outputs": outputs,
        "size": size,
        "weight": numbers.add(ordered),
        "bias": numbers.add(bias),
    }
