"""Several processes for work that comes in independent pieces."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial

from sofgan.errors import UserError, portable

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
