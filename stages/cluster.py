"""Shards of a stage on a Dask cluster, each a task of a Prefect flow run: `runtime.cluster`.

A stage's independent pieces (scans, blocks of photos, batches of pictures) go to processes of this machine, or, where
`runtime.cluster` says so, to Dask's workers: `local` for some of this machine's, for as long as the stage maps, or a
scheduler's address (tcp://host:8786). These see the project's folder at the same path, run the same code, one shard at
a time, and write what the stage's own processes would have written. DVC knows nothing of it: results are the same.

    dask scheduler
    dask worker tcp://host:8786 --nworkers 8 --nthreads 1      # on each machine, in the project's environment
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from sofgan.processes import Mapper, one_thread_each
from stages import params

CODE = Path(__file__).parents[1]
SHARDS_A_WORKER, LARGEST_SHARD = 8, 64  # so that workers end together, and tasks are not too many


class ClusterError(RuntimeError):
    """The cluster can't work off a stage's shards; the message says what to do."""


def spread(stage: str, item: str | None = None) -> int | Mapper:
    """Who works off the pieces of a stage: so many processes of this machine, or a cluster."""
    return on_cluster(stage, item) or params.workers()


def on_cluster(stage: str, item: str | None = None) -> "Cluster | None":
    """The cluster that works off the pieces of a stage, where there is one."""
    where = params.cluster()
    return Cluster(f"{stage} {item}" if item else stage, where, params.workers()) if where else None


class Cluster:
    """A `sofgan.processes.Mapper`: every call is a flow run, every shard a task of it.

    Args:
        name: of the flow runs.
        where: `local`, or the address of Dask's scheduler.
        workers: processes of a `local` one.

    Raises:
        ClusterError: prefect-dask is not installed, or no Prefect server is named.
    """

    def __init__(self, name: str, where: str, workers: int):
        self.name, self.where, self.workers = name, where, workers
        # Without one Prefect would start a server in each worker.
        if not os.environ.get("PREFECT_API_URL"):
            raise ClusterError(
                f"runtime.cluster is {where}: set PREFECT_API_URL to a Prefect server that its workers reach"
                " (`python -m pipelines up` starts one)"
            )
        try:
            import prefect_dask  # noqa: F401
        except ImportError as error:
            raise ClusterError("runtime.cluster needs prefect-dask: pip install '.[dask]'") from error

    def __call__(self, task: Callable, items: list) -> Iterator:
        """Results of `task(item)` in order.

        Raises:
            ClusterError: a worker runs other code or several threads, or does not see this folder.
        """
        from prefect import flow, tags

        # Within it, since a cluster of one's own inherits the environment.
        with one_thread_each() if self.where == "local" else contextlib.nullcontext():
            runner = self._runner()

            # No parameters: Prefect would send them to its server.
            @flow(name=self.name, task_runner=runner, persist_result=False)
            def shards() -> Iterator:
                size = shard_size(len(items), self._count(runner))
                chunks = [items[start : start + size] for start in range(0, len(items), size)]
                states = [_submit(task, chunk, number) for number, chunk in enumerate(chunks)]
                for state in states:
                    yield from state.result()

            with tags(os.environ.get("SOFGAN_RUN", "by hand")):
                yield from shards()

    def _runner(self):
        from prefect_dask import DaskTaskRunner

        if self.where != "local":
            return DaskTaskRunner(address=self.where)
        local = {"n_workers": self.workers, "threads_per_worker": 1, "host": "127.0.0.1"}
        return DaskTaskRunner(cluster_kwargs=local | {"dashboard_address": "127.0.0.1:0"})

    def _count(self, runner) -> int:
        """How many workers there are."""
        from prefect.context import FlowRunContext

        return max(1, len(FlowRunContext.get().task_runner.client.scheduler_info(n_workers=-1)["workers"]))


def shard_size(items: int, workers: int) -> int:
    """How many items a shard has."""
    return min(LARGEST_SHARD, max(1, items // (SHARDS_A_WORKER * workers)))


def _submit(task: Callable, chunk: list, number: int):
    from prefect import task as prefect_task
    from prefect.cache_policies import NO_CACHE

    shard = prefect_task(
        work_off, task_run_name=f"shard {number}", cache_policy=NO_CACHE, persist_result=False
    )
    return shard.submit(task, chunk, os.getcwd(), code_digest())


def work_off(task: Callable, items: list, folder: str, code: str) -> list:
    """Results of a shard, in a worker.

    Args:
        folder: of the project, in which paths are meant.
        code: digest of the code that the stage runs.

    Raises:
        ClusterError: this worker would do something else than the stage's own processes.
    """
    _check_worker(folder, code)
    with contextlib.chdir(folder):
        return [task(item) for item in items]


def _check_worker(folder: str, code: str) -> None:
    from distributed import get_worker

    if get_worker().state.nthreads != 1:
        raise ClusterError(
            "a Dask worker has several threads, OpenGL one context: start it with --nthreads 1"
        )
    if not Path(folder).is_dir():
        raise ClusterError(
            f"a Dask worker does not see {folder}: the project's folder must be shared with it"
        )
    if code_digest() != code:
        raise ClusterError("a Dask worker runs other code than the stage: restart the workers after changes")


@cache
def code_digest() -> str:
    """Digest of the code of `sofgan` and `stages` as it was when this process first asked."""
    digest = hashlib.sha256()
    for package in ("sofgan", "stages"):
        for path in sorted((CODE / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(CODE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


# A worker lives long, and loads code once: what it has loaded is what was there by then.
code_digest()
