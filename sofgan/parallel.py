"""Work that comes in independent pieces: by several processes, by several GPUs, or by threads."""

import multiprocessing
import os
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from sofgan.errors import UserError, portable

Item = TypeVar("Item")
Result = TypeVar("Result")

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ONE_THREAD = ("LP_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Gives the results of a task for each of some items, in order, from wherever it has them computed.
Mapper = Callable[[Callable, list], Iterator]


class WorkerDied(UserError, BrokenProcessPool):
    """A process of a pool ended without a word."""


def map_in_processes(task: Callable, items: Iterable, workers: int | Mapper) -> Iterator:
    """Results of `task(item)` in order, as they come.

    Processes are spawned, as OpenGL contexts and thread pools don't survive a fork, and each gets one thread
    of BLAS and of Mesa's software renderer. With one worker or one item the work is done here.

    Args:
        task: a function that can be pickled: of a module, or a `functools.partial` of one.
        items: its arguments.
        workers: processes of this machine, or what maps in their place (a cluster).

    Raises:
        WorkerDied: a process died (out of memory, a driver's crash).
        RuntimeError: in place of an error of the task that could not travel from its process.
    """
    items = list(items)
    if not isinstance(workers, int):
        yield from workers(task, items)
        return
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(task, items)
        return
    with one_thread_each(), ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        results = pool.map(partial(attempt, task), items)
        try:
            yield from results
        except BrokenProcessPool as error:
            raise WorkerDied(
                f"one of {workers} processes was killed, most often as the memory was full: fewer need less "
                "(runtime.workers in params.yaml); `make doctor` tells whether OpenGL works"
            ) from error
        finally:  # After an error don't work through what is left.
            pool.shutdown(wait=True, cancel_futures=True)


def attempt(task: Callable, item):
    """The result of `task(item)`, in a worker: an error is raised as one that can travel to where it is waited for."""
    try:
        return task(item)
    except Exception as error:
        whole = portable(error)
        if whole is error:
            raise
        raise whole from error  # What the pool prints of it has its traceback.


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that are started within it get one thread of BLAS, OpenMP and Mesa's software renderer each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def gpus(device: str) -> list[str]:
    """Names of all GPUs where `device` means any (`cuda`) and there are several; else none."""
    if device != "cuda":
        return []
    import torch

    count = torch.cuda.device_count()
    return [f"cuda:{index}" for index in range(count)] if count > 1 else []


class DeviceProcesses:
    """A `Mapper` over devices: each has a process of its own, in which `cuda` is that GPU, and no
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


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int = 4
) -> Iterator[Result]:
    """`map` in threads: decoding and hashing release the interpreter's lock, and nothing is copied between
    processes. At most `workers * ahead` results wait, so memory stays bounded whoever is slower.

    An exception of `function` is raised where its result would have come.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= workers * ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
