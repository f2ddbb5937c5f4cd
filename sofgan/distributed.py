"""Training in the processes that `torchrun` starts: each takes its share of a step's instances.

A step is that of one process, divided: the draws are the same whatever the number of processes, and gradients are
summed before the optimiser steps, so every process holds the same model. In a single process nothing here does
anything, but for parts of a step that are worked off one after another.
"""

import io
import math
import os
import pickle
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from sofgan.errors import InputError

# How long one process waits for the others at most. torchrun ends all when one ends, so it is for those that hang, and
# may be long. What the others wait for is what the first does alone between two steps (held-out views, pictures, a
# state on a slow disk) and what each reads before the first one (a set of photos into memory): minutes, but more than
# NCCL's own ten where disks are slow. Nothing that takes hours is done by one for all.
TIMEOUT = timedelta(hours=1)

_draws = threading.local()  # `rows`: all instances of a step, and those that this thread works on


@contextmanager
def process_group(device: str | torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did, until the block ends.

    Yields:
        The device of this process: on CUDA the one of its local rank.
    """
    device = torch.device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield device
    finally:
        dist.destroy_process_group()


@contextmanager
def first_here_first() -> Iterator[None]:
    """Within it the first process of each machine is done before its others begin: they find what it left on disk."""
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if world_size() > 1 and not first:
        dist.barrier()
    yield
    if world_size() > 1 and first:
        dist.barrier()


def rank() -> int:
    """Number of this process; 0 for the one that writes and reports, and where there is only one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def share(count: int) -> slice:
    """Which of `count` instances are this process's: slices that differ by one at most.

    Raises:
        InputError: there are fewer instances than processes.
    """
    if count < world_size():
        raise InputError(f"{world_size()} processes cannot share a step of {count} instances")
    return slice(count * rank() // world_size(), count * (rank() + 1) // world_size())


@contextmanager
def shared_draws(count: int, mine: slice | None = None) -> Iterator[None]:
    """Within it, `rand` and `randn` whose first axis are the instances `mine` of `count`, by default this process's
    `share`, return the numbers that would have been drawn for these among all.

    It holds for the calling thread.
    """
    mine = share(count) if mine is None else mine
    before = getattr(_draws, "rows", None)
    _draws.rows = None if mine == slice(0, count) else (count, mine)
    try:
        yield
    finally:
        _draws.rows = before


def rand(shape: Sequence[int], **how) -> Tensor:
    """`torch.rand` with a generator, of the rows that `shared_draws` names."""
    return _drawn(torch.rand, shape, how)


def randn(shape: Sequence[int], **how) -> Tensor:
    """`torch.randn` with a generator, of the rows that `shared_draws` names."""
    return _drawn(torch.randn, shape, how)


def _drawn(function, shape: Sequence[int], how: dict) -> Tensor:
    shared = getattr(_draws, "rows", None)
    if shared is None:
        return function(tuple(shape), **how)
    (rows, *rest), (count, mine) = shape, shared
    if rows != mine.stop - mine.start:
        raise ValueError(f"a draw of {rows} rows where instances {mine} are worked on")
    return function((count, *rest), **how)[mine]


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up the gradients of all processes, in place, in one exchange."""
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    sums = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(whole) for part, whole in zip(sums, gradients)])


def sum_scalars(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scalars added up over all processes, without gradient."""
    stacked = torch.stack([value.detach().float() for value in values.values()])
    if world_size() > 1:
        dist.all_reduce(stacked)
    return dict(zip(values, stacked))


def from_first(value):
    """What the first process holds, on the CPU, given to all: a resume state, or what is small.

    Tensors go one after another, so that a device holds one of them at a time beside the training, and no copy of all
    in one piece is made.
    """
    if world_size() == 1:
        return value
    buffer, tensors = io.BytesIO(), []
    if rank() == 0:
        _Skeleton(buffer, tensors).dump(value)
    box = [(buffer.getvalue(), [(tuple(t.shape), t.dtype) for t in tensors])]
    dist.broadcast_object_list(box)
    content, kinds = box[0]
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    received = []
    for index, (shape, kind) in enumerate(kinds):
        # As bytes: gloo knows not every kind of number.
        if rank() == 0:
            sent = tensors[index].detach().contiguous().reshape(-1).view(torch.uint8).to(device)
        else:
            sent = torch.empty(math.prod(shape) * kind.itemsize, dtype=torch.uint8, device=device)
        dist.broadcast(sent, 0)
        received.append(sent.cpu().view(kind).reshape(shape))
    return value if rank() == 0 else _Filled(io.BytesIO(content), received).load()


class _Skeleton(pickle.Pickler):
    """Writes all but the tensors, which it puts into a list."""

    def __init__(self, file, tensors: list[Tensor]):
        super().__init__(file)
        self.tensors = tensors

    def persistent_id(self, value):
        if not isinstance(value, Tensor):
            return None
        self.tensors.append(value)
        return len(self.tensors) - 1


class _Filled(pickle.Unpickler):
    """Reads what `_Skeleton` wrote, with these tensors."""

    def __init__(self, file, tensors: list[Tensor]):
        super().__init__(file)
        self.tensors = tensors

    def persistent_load(self, index):
        return self.tensors[index]
