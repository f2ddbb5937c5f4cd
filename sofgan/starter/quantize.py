"""State dicts in 8 bits: the large arrays as whole numbers with a scale a row, the small ones as they are."""

import torch
from torch import Tensor

LEAST = 4096  # numbers of an array that is worth it
LEAST_ROW = 64  # numbers that share a scale
SCALE = ":scale"  # ending of the name under which an array's scales are kept
HIGHEST = 127


def row_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows of an array and numbers in each: as many leading axes make rows as leave `LEAST_ROW` numbers in one."""
    rows = 1
    for axis, size in enumerate(shape):
        rest = torch.Size(shape[axis + 1 :]).numel()
        if rest < LEAST_ROW:
            return rows, size * rest
        rows *= size
    return rows, 1


def quantized(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in which large float32 arrays are int8, each with a float32 scale (rows,) under its name and
    `SCALE`; a row's largest number is 127 or -127."""
    small = {}
    for name, value in state.items():
        if value.dtype != torch.float32 or value.numel() < LEAST:
            small[name] = value
            continue
        rows = value.detach().cpu().reshape(row_shape(tuple(value.shape)))
        scale = rows.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / HIGHEST
        small[name] = (rows / scale[:, None]).round().to(torch.int8).reshape(value.shape)
        small[name + SCALE] = scale
    return small


def restored(small: dict[str, Tensor]) -> dict[str, Tensor]:
    """The float32 state dict of what `quantized` made; each number is off by half a scale at most."""
    state = {}
    for name, value in small.items():
        if name.endswith(SCALE):
            continue
        if name + SCALE in small:
            rows = value.float().reshape(row_shape(tuple(value.shape)))
            value = (rows * small[name + SCALE][:, None]).reshape(value.shape)
        state[name] = value
    return state
