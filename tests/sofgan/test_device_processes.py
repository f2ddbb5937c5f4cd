"""A process a GPU, here with names of GPUs alone: no test machine need have one."""

import os

import pytest
import torch

from sofgan import parallel
from sofgan.parallel import WorkerDied

# A process can't import this module: pieces are expressions. Each waits, so that no process takes all.
PLACE = (
    "[{item}, __import__('time').sleep(0.05), __import__('os').getpid(), "
    "__import__('os').environ.get('CUDA_VISIBLE_DEVICES'), __import__('os').environ.get('OMP_NUM_THREADS')]"
)
DIE = "__import__('os').kill(__import__('os').getpid(), 9)"


def places(items):
    return [PLACE.format(item=item) for item in items]


@pytest.mark.parametrize("before, seen", [(None, ["0", "2"]), ("5, GPU-a,7", ["5", "7"])])
def test_each_gpu_has_a_process_of_its_own_that_stays_and_sees_no_other(monkeypatch, before, seen):
    monkeypatch.delenv(parallel.VISIBLE, raising=False)
    if before:
        monkeypatch.setenv(parallel.VISIBLE, before)
    with parallel.DeviceProcesses(["cuda:0", "cuda:2"]) as processes:
        first = list(processes(eval, places(range(8))))
        second = list(processes(eval, places([7, 8])))
        with pytest.raises(ZeroDivisionError):
            list(processes(eval, ["1 / 0", *places([3])]))
        assert [item for item, *_ in processes(eval, places([4]))] == [4]
    assert [item for item, *_ in first] == list(range(8))
    assert [item for item, *_ in second] == [7, 8]
    owners = {(pid, name) for _, _, pid, name, _ in first + second}
    assert sorted(name for _, name in owners) == seen and os.getpid() not in {pid for pid, _ in owners}
    assert {threads for *_, threads in first} == {"1"}
    assert os.environ.get(parallel.VISIBLE) == before


def test_a_process_that_dies_is_told_of():
    with (
        parallel.DeviceProcesses(["cpu"]) as processes,
        pytest.raises(WorkerDied, match="one a GPU, was killed"),
    ):
        list(processes(eval, [DIE]))


@pytest.mark.parametrize(
    "device, count, names",
    [("cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]), ("cuda", 1, []), ("cuda:1", 3, []), ("cpu", 3, [])],
)
def test_all_gpus_are_meant_where_none_is_named(monkeypatch, device, count, names):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert parallel.gpus(device) == names
