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

# Numbers of one draw, a millisecond or two of a core: noise of layers up to 128 pixels for 16 pictures, and all that is
# drawn for the field.
MOST_FROM_CPU = 1 << 18
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
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def share(count: int) -> slice:
    """Slice of `count` instances that is this process's; slices differ by one instance at most.

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


def rand(
    shape: Sequence[int], generator: torch.Generator, device: str | torch.device = "cpu", dtype=None
) -> Tensor:
    """`torch.rand` of the rows that `shared_draws` names.

    Args:
        generator: on the CPU, so that a device draws the same numbers as any other; but for those of a draw of more
            than `MOST_FROM_CPU` for a GPU, which the GPU draws itself by a seed that the generator gives.
        device: where the numbers are needed.
    """
    return _drawn(torch.rand, shape, generator, torch.device(device), dtype)


def randn(
    shape: Sequence[int], generator: torch.Generator, device: str | torch.device = "cpu", dtype=None
) -> Tensor:
    """`torch.randn`, as `rand`."""
    return _drawn(torch.randn, shape, generator, torch.device(device), dtype)


def _drawn(function, shape: Sequence[int], generator: torch.Generator, device: torch.device, dtype) -> Tensor:
    shared = getattr(_draws, "rows", None)
    whole, mine = tuple(shape), slice(None)
    if shared is not None:
        (rows, *rest), (count, mine) = shape, shared
        if rows != mine.stop - mine.start:
            raise ValueError(f"a draw of {rows} rows where instances {mine} are worked on")
        whole = (count, *rest)
    if device.type != "cpu" and math.prod(whole) > MOST_FROM_CPU:
        seed = int(torch.randint(1 << 62, (), generator=generator))
        own = torch.Generator(device).manual_seed(seed)
        return function(whole, generator=own, device=device, dtype=dtype)[mine]
    # To a GPU without waiting for what it still has to do.
    return function(whole, generator=generator, dtype=dtype)[mine].to(device, non_blocking=True)


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up the gradients of all processes, in place, in one exchange."""
    sum_tensors([parameter.grad for parameter in parameters if parameter.grad is not None])


def sum_tensors(tensors: list[Tensor]) -> None:
    """Add up tensors of one type over all processes, in place, in one exchange."""
    if world_size() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    sums = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view_as(whole) for part, whole in zip(sums, tensors)])


def sum_scalars(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scalars added up over all processes, without gradient."""
    stacked = torch.stack([value.detach().float() for value in values.values()])
    if world_size() > 1:
        dist.all_reduce(stacked)
    return dict(zip(values, stacked))


def from_first(value):
    """Broadcast a value of the first process, on the CPU, to all: a resume state, or what is small.

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
