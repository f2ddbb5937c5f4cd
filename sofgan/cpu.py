"""How torch uses the CPU of a process that trains or evaluates: threads, and memory kept between steps."""

import ctypes
import platform

import torch

# glibc's mallopt: a block above this size gets pages of its own from the system, and gives them back when freed.
MMAP_THRESHOLD, MMAP_ABOVE = -3, 256 << 20
TRIM_THRESHOLD, TRIM_ABOVE = -1, 1 << 30  # free memory at the end of the heap above which it is given back


def use_cpu(threads: int) -> None:
    """Set torch's threads, and keep freed memory for the next tensors.

    By default glibc returns the memory of every large tensor to the system and asks for it again a moment later; each
    of its pages must then be zeroed and mapped anew, which takes about a tenth of a training step of small pictures.
    Elsewhere than on glibc only the threads are set.
    """
    torch.set_num_threads(threads)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, MMAP_ABOVE)
        libc.mallopt(TRIM_THRESHOLD, TRIM_ABOVE)
