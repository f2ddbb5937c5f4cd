"""Device of a process, threads of its CPU, precision of its GPU.

Work is cut into pieces (shares of a step's batch, views, batches of pictures) that Python threads work off, each with
one thread of OpenMP. Threads of OpenMP meet at the end of every operation, and wait for each other by spinning: where
one of them shares a core with anything else, all of them wait for it some thousand times a step. Pieces meet once or
twice a step, and who is faster takes more of them.

torch, which takes seconds to import, is imported only by what asks it.
"""

import ctypes
import platform
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from sofgan.errors import InputError

if TYPE_CHECKING:
    import torch

KINDS = ("cpu", "cuda", "mps", "xpu")  # of devices
Item = TypeVar("Item")
Result = TypeVar("Result")

# glibc's mallopt: a block above this size gets pages of its own from the system, and gives them back when freed.
MMAP_THRESHOLD, MMAP_ABOVE = -3, 256 << 20
TRIM_THRESHOLD, TRIM_ABOVE = -1, 1 << 30  # free memory at the end of the heap above which it is given back

LEAST_INNER_THREADS = (
    4  # of OpenMP in a piece: with fewer cores than this for each, one thread holds up better
)

_pool: ThreadPoolExecutor | None = None
_threads: int | None = None
_inside = threading.local()  # set in the pool's threads


def check_device(name: str, what: str = "device") -> None:
    """See that a name may be a device's; whether it is there is `resolve_device`'s to see. Asks no torch.

    Raises:
        InputError: it is none.
    """
    if name != "auto" and not re.fullmatch(rf"({'|'.join(KINDS)})(:\d+)?", name):
        raise InputError(f"{what} is auto, cpu, cuda or cuda:N, not {name!r}")


def resolve_device(name: str) -> str:
    """torch's name of a device: `auto` is a GPU where there is one, any other name stays as it is.

    Raises:
        InputError: it is no device, or a GPU that torch does not see here.
    """
    check_device(name)
    if name != "auto" and not name.startswith("cuda"):
        return name
    import torch

    count = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available() or int(name.partition(":")[2] or 0) >= count:
        seen = f"{count} GPUs" if torch.cuda.is_available() else "no GPU"
        raise InputError(
            f"the device is {name}, but torch sees {seen} here: set runtime.device in params.yaml (or SOFGAN_DEVICE) "
            "to auto or cpu; `make doctor` shows what there is"
        )
    return name


def use_cpu(threads: int) -> None:
    """Have pieces worked off by that many threads, and keep freed memory for the next tensors.

    By default glibc returns the memory of every large tensor to the system and asks for it again a moment later; each
    of its pages must then be zeroed and mapped anew, which takes about a tenth of a training step of small pictures.
    Elsewhere than on glibc only the threads are set.

    What is not cut into pieces then runs on one thread.
    """
    import torch

    global _pool, _threads
    if _pool is not None:
        _pool.shutdown()
    torch.set_num_threads(1)  # new threads get this number too
    _threads, _pool = threads, ThreadPoolExecutor(threads, "pieces") if threads > 1 else None
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, MMAP_ABOVE)
        libc.mallopt(TRIM_THRESHOLD, TRIM_ABOVE)


def threads() -> int:
    """Number of threads that work off pieces at a time; of an operation, where `use_cpu` was not called."""
    import torch

    return _threads or torch.get_num_threads()


def map_pieces(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    device: "str | torch.device" = "cpu",
    at_most: int | None = None,
) -> Iterator[Result]:
    """`map`, by the threads of `use_cpu`; results in order, whichever is done first.

    What is global (modes of gradients, of autocast, of functions) is so for one thread only: the function must set it.
    On a GPU, within a piece, and without `use_cpu`, it is `map` itself.

    Args:
        device: on which the pieces are worked off.
        at_most: pieces at a time, where memory is short.

    Raises:
        Exception: that of the first piece in order which failed; those that have not begun by then are left.
    """
    import torch

    items = list(items)
    alone = _pool is None or torch.device(device).type != "cpu" or getattr(_inside, "yes", False)
    if alone or min(len(items), at_most or len(items)) <= 1:
        yield from map(function, items)
        return
    inner = inner_threads(_threads, len(items))
    waiting, left = deque(), deque(items)
    try:
        while waiting or left:
            while left and (at_most is None or len(waiting) < at_most):
                waiting.append(_pool.submit(_work, function, left.popleft(), inner))
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        for future in waiting:  # Nothing goes on behind the caller's back.
            if not future.cancelled():
                future.exception()


def inner_threads(threads: int, pieces: int) -> int:
    """Threads of OpenMP in each of so many pieces: 1, but on machines with many more cores than pieces."""
    each = threads // max(1, pieces)
    return each if each >= LEAST_INNER_THREADS else 1


def _work(function: Callable[[Item], Result], item: Item, inner: int) -> Result:
    import torch

    _inside.yes = True
    torch.set_num_threads(inner)
    return function(item)


def use_gpu(device: "torch.device | str", exact: bool) -> None:
    """Choose for what this process does on CUDA from now on; elsewhere nothing.

    Matrix products are never rounded. The field is made of them: what they round is where a point lies, so that labels
    move at borders and thin parts break up. So are styles, demodulation and the critics' heads, which are in float32
    in order to be exact.

    Not `exact`, for trainings of pictures: convolutions may round what they multiply to 10 bits (TF32) and add in
    float32. Those that are in float32 at all are the regularisers', on twice differentiated networks, or a parser's,
    and would else miss a GPU's tensor cores. cuDNN tries its algorithms on each new shape and keeps the fastest;
    pictures have the same few shapes all along. It may keep another one the next time. A training on CUDA is repeated
    but for rounding only, whatever is chosen here: gradients of interpolation are added up there in any order.

    `exact`, for the field, for label maps and for scores: convolutions don't round either, and cuDNN takes the
    algorithm that it would take the next time too. Scores are then those of float32, as on a CPU and as published ones,
    and a map that is parsed again is the same map.
    """
    import torch

    if torch.device(device).type != "cuda":
        return
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee" if exact else "tf32"
    torch.backends.cudnn.benchmark = not exact
