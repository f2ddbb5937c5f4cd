import platform
import resource
import subprocess
import sys
import threading
import time

import pytest
import torch

from sofgan import runtime
from sofgan.runtime import inner_threads, map_pieces, use_cpu
from sofgan.shares import MOST_SHARES, add_gradients, share_slices

FAULTS = """
import resource, sys, torch
from sofgan.runtime import map_pieces, use_cpu
{prepare}
def touch(_):
    for _ in range(10):
        torch.zeros({mib} << 18).sum()  # all of it touched
def work():
    list(map_pieces(touch, range(4)))
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, torch.get_num_threads())
"""


def faults(prepare: str, mib: int) -> tuple[int, int]:
    """Pages mapped while the same memory is used again and again, and torch's threads."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(prepare=prepare, mib=mib)],
        capture_output=True,
        text=True,
        check=True,
    )
    pages, threads = done.stdout.split()
    return int(pages), int(threads)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_freed_memory_serves_the_next_tensors():
    every_time = 40 * (64 << 20) // resource.getpagesize()  # glibc keeps smaller blocks by itself
    pages, threads = faults("use_cpu(1)", 64)
    assert threads == 1
    assert pages < every_time / 100
    assert faults("", 64)[0] > every_time / 2  # Without it.


@pytest.fixture
def threads():
    """Sets how many threads work off pieces, for the test alone."""
    return use_cpu


@pytest.mark.parametrize("order", ["first", "second"])
def test_no_test_works_by_the_threads_of_another(order):
    """One that records what pieces do saw them in the order of whichever thread was first."""
    assert list(map_pieces(lambda _: threading.current_thread(), range(2))) == [threading.main_thread()] * 2
    use_cpu(3)


def test_pieces_run_beside_each_other_with_one_thread_of_torch_each(threads):
    threads(3)
    assert runtime.threads() == 3 and torch.get_num_threads() == 1
    together = threading.Barrier(3, timeout=20)

    def piece(item):
        together.wait()  # Breaks, unless three are at work.
        return item * 10, torch.get_num_threads(), threading.current_thread()

    found = list(map_pieces(piece, range(6)))
    assert [value for value, _, _ in found] == [0, 10, 20, 30, 40, 50]
    assert {count for _, count, _ in found} == {1}
    assert len({thread for _, _, thread in found}) == 3


def test_results_are_in_order_whoever_is_first(threads):
    threads(2)
    first_waits = threading.Event()

    def piece(item):
        if item == 0:
            assert first_waits.wait(20)
        if item == 3:
            first_waits.set()
        return item

    assert list(map_pieces(piece, range(4))) == [0, 1, 2, 3]


def test_no_more_pieces_at_a_time_than_memory_allows(threads):
    threads(4)
    lock, at_work, most = threading.Lock(), [0], [0]

    def piece(item):
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(0.01)
        with lock:
            at_work[0] -= 1
        return item

    assert list(map_pieces(piece, range(12), at_most=2)) == list(range(12))
    assert most[0] == 2


def test_an_error_of_a_piece_is_raised_once_none_is_at_work(threads):
    threads(2)
    begun, ended = [], []

    def piece(item):
        begun.append(item)
        if item == 1:
            raise ValueError("piece 1")
        time.sleep(0.02)
        ended.append(item)

    with pytest.raises(ValueError, match="piece 1"):
        list(map_pieces(piece, range(50)))
    assert set(begun) - {1} == set(ended) and len(begun) < 50


def test_pieces_of_a_piece_and_of_a_gpu_stay_in_their_thread(threads):
    threads(2)

    def outer(item):
        mine = threading.current_thread()
        return all(map_pieces(lambda _: threading.current_thread() is mine, range(3)))

    assert list(map_pieces(outer, range(4))) == [True] * 4
    caller = threading.current_thread()
    assert all(map_pieces(lambda _: threading.current_thread() is caller, range(3), "cuda"))


def test_without_threads_of_its_own_it_is_map():
    caller, before = threading.current_thread(), torch.get_num_threads()
    assert all(map_pieces(lambda _: threading.current_thread() is caller, range(3)))
    assert torch.get_num_threads() == before


def test_shares_depend_on_no_machine(threads):
    sixteen = [slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16)]
    for count in (1, 2, 64):
        threads(count)
        assert share_slices(16, unit=4) == sixteen == share_slices(16, least=4)
    assert share_slices(7, least=2) == [slice(0, 2), slice(2, 4), slice(4, 7)]
    assert share_slices(6, unit=4) == [slice(0, 6)]  # A group that would be torn.
    assert share_slices(3, least=4) == [slice(0, 3)]
    assert len(share_slices(64)) == MOST_SHARES
    assert share_slices(16, unit=4, device="cuda") == [slice(0, 16)]


def test_many_more_cores_than_pieces_work_within_them():
    assert [inner_threads(cores, 4) for cores in (1, 2, 4, 8, 15, 16, 64)] == [1, 1, 1, 1, 1, 4, 16]


def test_gradients_add_up_and_lie_as_their_parameters_do():
    parameter = torch.nn.Parameter(torch.zeros(2, 3, 2, 2).contiguous(memory_format=torch.channels_last))
    unused = torch.nn.Parameter(torch.zeros(1))
    gradient = torch.arange(24.0).reshape(2, 3, 2, 2)  # another layout
    add_gradients([parameter, unused], [gradient, None])
    assert parameter.grad.stride() == parameter.stride() and unused.grad is None
    add_gradients([parameter, unused], [gradient, torch.ones(1)])
    assert torch.equal(parameter.grad, 2 * gradient) and torch.equal(unused.grad, torch.ones(1))
