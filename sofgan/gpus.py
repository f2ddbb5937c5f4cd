"""Several GPUs for work that comes in independent pieces: a process for each."""

import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from sofgan.processes import WorkerDied, attempt, one_thread_each

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus(device: str) -> list[str]:
    """Names of all GPUs where `device` means any (`cuda`) and there are several; else none."""
    if device != "cuda":
        return []
    import torch

    count = torch.cuda.device_count()
    return [f"cuda:{index}" for index in range(count)] if count > 1 else []


class DeviceProcesses:
    """A `sofgan.processes.Mapper` over devices: each has a process of its own, in which `cuda` is that GPU, and no
    other is seen.

    A context manager: the processes, and what they have loaded, stay until the block ends. Whichever is free takes the
    next piece.

    Args:
        devices: torch's names, such as cuda:0 and cuda:1.
    """

    def __init__(self, devices: list[str]) -> None:
        self.devices = devices
        self._free: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        self._pools: list[ProcessPoolExecutor] = []

    def __enter__(self) -> "DeviceProcesses":
        for device in self.devices:
            pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            # Set before the process is there: CUDA looks once, and what a process imports may have it look.
            with one_thread_each(), seen_gpu(device):
                pool.submit(os.getpid)  # A process is spawned with its first piece.
            self._pools.append(pool)
            self._free.put(pool)
        return self

    def __exit__(self, *error) -> None:
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools:
            pool.shutdown(wait=True)

    def __call__(self, task: Callable, items: list) -> Iterator:
        """Results of `task(item)` in order, as they come.

        Args:
            task: a function that can be pickled.

        Raises:
            WorkerDied: a process died (out of memory, a driver's crash).
            RuntimeError: in place of an error of the task that could not travel from its process.
        """
        with ThreadPoolExecutor(len(self.devices)) as threads:
            futures = [threads.submit(self._work_off, task, item) for item in items]
            try:
                for future in futures:
                    yield future.result()
            except BrokenProcessPool as error:
                raise WorkerDied(
                    f"one of {len(self.devices)} processes, one a GPU, was killed, most often as the memory was full: "
                    "a smaller batch needs less"
                ) from error
            finally:  # After an error don't work through what is left.
                for future in futures:
                    future.cancel()

    def _work_off(self, task: Callable, item):
        pool = self._free.get()
        try:
            return pool.submit(attempt, task, item).result()
        finally:
            self._free.put(pool)


@contextmanager
def seen_gpu(device: str) -> Iterator[None]:
    """Processes that are started within it see one GPU alone, under whichever name this process sees it."""
    if not device.startswith("cuda:"):
        yield
        return
    before, index = os.environ.get(VISIBLE), int(device.partition(":")[2])
    os.environ[VISIBLE] = before.split(",")[index].strip() if before else str(index)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VISIBLE)
        else:
            os.environ[VISIBLE] = before
