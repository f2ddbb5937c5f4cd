"""Needs of a computation, counted, not measured: bytes that tensors hold at its worst moment, and operations.

    with fake_tensors(), Ledger() as ledger:   # shapes only, no contents: any size on any machine
        ...
    ledger.peak, ledger.operations

It works for real tensors just as well.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

GPU_BLOCK = 512  # bytes: CUDA's allocator of torch gives multiples of so many


class Ledger(TorchDispatchMode):
    """Bytes of all memory that tensors got while it is active and that is not freed yet, and operations.

    A view of a tensor is no memory of its own. Memory of tensors that were there before is not counted.

    Args:
        weigh: by how much memory of a tensor of that shape counts (the mean of a larger run, for instance); None: once.

    Attributes:
        live, peak: bytes now and at most.
        operations: floating-point operations of matrix products and convolutions, forwards and backwards.
    """

    def __init__(self, weigh: Callable[[tuple[int, ...]], float] | None = None):
        super().__init__()
        self.live, self.peak, self.operations = 0.0, 0.0, 0
        self._weigh, self._known, self._lock = weigh, {}, threading.RLock()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        count = flop_registry.get(function._overloadpacket)
        if count is not None:
            self.operations += count(*args, **kwargs, out_val=out)
        made = [value for value in _pytree.tree_leaves(out) if isinstance(value, torch.Tensor)]
        if made:
            given = {
                id(value.untyped_storage())
                for value in _pytree.tree_leaves((args, kwargs))
                if isinstance(value, torch.Tensor) and value.layout == torch.strided
            }
            for tensor in made:
                if tensor.layout == torch.strided and id(tensor.untyped_storage()) not in given:
                    self.hold(tensor.untyped_storage(), _bytes(tensor), tuple(tensor.shape))
        return out

    def hold(self, owner, size: float, shape: tuple[int, ...]) -> None:
        """Count memory until its owner is gone; once for each owner."""
        with self._lock:
            if id(owner) in self._known:
                return
            weighed = size * (self._weigh(shape) if self._weigh else 1.0)
            self._known[id(owner)] = weakref.finalize(owner, self._free, id(owner), weighed)
            self._known[id(owner)].atexit = False
            self.live += weighed
            self.peak = max(self.peak, self.live)

    def _free(self, key: int, size: float) -> None:
        with self._lock:
            self._known.pop(key, None)
            self.live -= size


def _bytes(tensor: torch.Tensor) -> float:
    return -(-tensor.untyped_storage().nbytes() // GPU_BLOCK) * GPU_BLOCK


@contextmanager
def fake_tensors() -> Iterator[FakeTensorMode]:
    """Tensors without contents within; what code reads of them on the host (`item()`, `bool()`) is 1 or False.

    Work is not cut into pieces for threads, as on a GPU.
    """
    shares = "sofgan.shares.MOST_SHARES"
    looks = {"item": lambda self: 1.0, "__float__": lambda self: 1.0, "__bool__": lambda self: False}
    with ExitStack() as stack:
        stack.enter_context(mock.patch(shares, 1))
        for name, value in looks.items():
            stack.enter_context(mock.patch.object(FakeTensor, name, value, create=True))
        # Where tensors lie, and in which order their numbers, changes no count; torch can't move fake parameters.
        stack.enter_context(mock.patch.object(torch.nn.Module, "to", lambda self, *args, **kwargs: self))
        yield stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
