import platform
import resource
import subprocess
import sys

import pytest
import torch

from sofgan.cpu import use_cpu

FAULTS = """
import resource, sys, torch
from sofgan.cpu import use_cpu
{prepare}
def work():
    for _ in range(20):
        torch.zeros(16 << 20).sum()  # 64 MiB, all of it touched; glibc keeps smaller blocks by itself
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, torch.get_num_threads())
"""


def faults(prepare: str) -> tuple[int, int]:
    """Pages mapped while the same memory is used again and again, and torch's threads."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(prepare=prepare)], capture_output=True, text=True, check=True
    )
    pages, threads = done.stdout.split()
    return int(pages), int(threads)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_freed_memory_serves_the_next_tensors():
    pages, threads = faults("use_cpu(1)")
    assert threads == 1
    every_time = 20 * (64 << 20) // resource.getpagesize()
    assert pages < every_time / 100
    assert faults("")[0] > every_time / 2  # Without it.


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        use_cpu(3)
        assert torch.get_num_threads() == 3
    finally:
        use_cpu(before)
