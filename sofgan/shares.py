"""A step of a training in shares, which threads work off (`sofgan.runtime`): who gets what, and how it is added up.

The shares depend on no machine and are added in their order, so the result is the same by however many threads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

MOST_SHARES = 8  # of a step


def share_slices(
    count: int, unit: int = 1, least: int = 1, device: str | torch.device = "cpu"
) -> list[slice]:
    """Slices of a step's instances, one a piece, that differ by a unit at most.

    Their number depends on no machine, so neither does what is learned; on a GPU there is one.

    Args:
        unit: instances that belong together; where they don't come out even there is one share.
        least: instances in a share.
    """
    shares = 1
    if torch.device(device).type == "cpu" and count % unit == 0:
        shares = max(1, min(MOST_SHARES, count // max(least, unit)))
    groups = count // unit if shares > 1 else 1
    unit = unit if shares > 1 else count
    return [slice(groups * i // shares * unit, groups * (i + 1) // shares * unit) for i in range(shares)]


def add_gradients(parameters: list[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Add a piece's gradients to those of the parameters; None are of parameters that it does not depend on.

    Pieces differentiate by `torch.autograd.grad`, and are added in their order: which was done first changes no bit.
    """
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            continue
        if parameter.grad is not None:
            parameter.grad.add_(gradient)
        elif gradient.stride() == parameter.stride():
            parameter.grad = gradient
        else:  # Fused optimisers read both as they lie in memory.
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
