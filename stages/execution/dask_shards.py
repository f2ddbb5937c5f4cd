"""Shards of a stage on a Dask cluster, each a task of a Prefect flow run: `runtime.cluster`.

A stage's independent pieces (scans, blocks of photos, batches of pictures) go to processes of this machine, or, where
`runtime.cluster` says so, to Dask's workers: `local` for some of this machine's, for as long as the stage maps, or a
scheduler's address (tcp://host:8786). These see the project's folder at the same path, run the same code, one shard at
a time, and write what the stage's own processes would have written. DVC knows nothing of it: results are the same.

    dask scheduler
    dask worker tcp://host:8786 --nworkers 8 --nthreads 1      # on each machine, in the project's environment
"""

import contextlib
import functools
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sofgan.errors import UserError, debugging, sentence
from sofgan.parallel import DeviceProcesses, Mapper, attempt, gpus, one_thread_each
from stages import params

LOCAL = "local"
CODE = Path(__file__).parents[1]
SHARDS_A_WORKER, LARGEST_SHARD = 8, 64  # so that workers end together, and tasks are not too many
WORKER_WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05  # between looks whether a shard is done
LOOPBACK = ("127.", "localhost", "::1")


class ClusterError(UserError, RuntimeError):
    """The cluster can't work off a stage's shards; the message says what to do."""


def spread(stage: str, item: str | None = None) -> int | Mapper:
    """Workers for the pieces of a stage: a number of processes of this machine, or a cluster's mapper."""
    return on_cluster(stage, item) or params.workers()


def on_cluster(stage: str, item: str | None = None, device: str = "cpu") -> "Cluster | None":
    """The cluster that works off the pieces of a stage, where there is one.

    Args:
        device: on which a piece is worked off. Workers of this very machine would only share its GPU, so there is no
            `local` cluster for it.
    """
    where = params.cluster()
    if not where or (where == LOCAL and device != "cpu"):
        return None
    return Cluster(stage, item, where, params.workers())


@contextlib.contextmanager
def over_devices(stage: str, device: str, item: str | None = None) -> Iterator[Mapper | None]:
    """Mapper for the pieces of a stage that runs on a device: a cluster, or a process for each GPU where `device`
    is any of several; None: the stage's own process does."""
    if (cluster := on_cluster(stage, item, device)) is not None:
        yield cluster
    elif devices := gpus(device):
        with DeviceProcesses(devices) as processes:
            yield processes
    else:
        yield None


def threads_each(mapper: Mapper | None, threads: int) -> int:
    """Number of this machine's threads for each process that works off pieces, so that all together have so many."""
    return max(1, threads // len(mapper.devices)) if isinstance(mapper, DeviceProcesses) else threads


class Cluster:
    """A `sofgan.parallel.Mapper`: every call is a flow run, every shard a task of it.

    Args:
        stage, item: name the flow and its runs.
        where: `local`, or the address of Dask's scheduler.
        workers: processes of a `local` one.

    Raises:
        ClusterError: prefect-dask is not installed, or no Prefect server is named that the workers can reach.
    """

    def __init__(self, stage: str, item: str | None, where: str, workers: int):
        self.stage, self.item, self.where, self.workers = stage, item, where, workers
        try:
            import prefect_dask  # noqa: F401
            from prefect.settings import get_current_settings
        except ImportError as error:
            raise ClusterError("runtime.cluster needs prefect-dask: pip install '.[dask]'") from error
        api = get_current_settings().api.url
        # Without one Prefect would start a server in each worker.
        if not api:
            raise ClusterError(
                f"runtime.cluster is {where}: set PREFECT_API_URL to a Prefect server that its workers reach"
                " (`python -m pipelines up` starts one for workers of this machine)"
            )
        # Tasks tell the server that the stage knows, whatever their worker's own settings are.
        if where != LOCAL and _is_loopback(api) and not _is_loopback(where):
            raise ClusterError(
                f"workers at {where} can't reach {api}: name the server by its machine's address"
            )

    def __call__(self, task: Callable, items: list) -> Iterator:
        """Results of `task(item)` in order.

        Raises:
            ClusterError: no worker is there, or one runs other code or several threads, or does not see this folder.
        """
        if not items:
            return
        # In a thread of its own, where Prefect leaves this process's signals to the stage. What stops the stage here
        # ends the flow too, which else would call itself completed.
        work = _Work(task, items)
        thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        thread.start()
        try:
            for _ in items:
                result, error = work.results.get()
                if error is not None:
                    raise error
                yield result
        finally:
            work.stop.set()
            thread.join()

    def _run(self, work: "_Work") -> None:
        """The flow."""
        from prefect import flow, tags

        # Within it, since a cluster of one's own inherits the environment.
        with one_thread_each() if self.where == LOCAL else contextlib.nullcontext():
            # No parameters: Prefect would send them to its server.
            @flow(
                name=self.stage,
                flow_run_name=f"{self.stage} {self.item}" if self.item else self.stage,
                task_runner=self._runner(),
                persist_result=False,
            )
            @in_a_state
            def shards() -> None:
                size = shard_size(len(work.items), self._count())
                chunks = [work.items[start : start + size] for start in range(0, len(work.items), size)]
                futures = [_submit(work.task, chunk, number) for number, chunk in enumerate(chunks)]
                for future in futures:
                    _wait(future, work.stop)
                    for result in future.result():
                        work.results.put((result, None))

            try:
                with tags(os.environ.get("SOFGAN_RUN", "by hand")):
                    shards()
            except BaseException as error:  # The stage's to raise.
                work.results.put((None, error))

    def _runner(self):
        from prefect_dask import DaskTaskRunner

        if self.where != LOCAL:
            return DaskTaskRunner(address=self.where)
        local = {"n_workers": self.workers, "threads_per_worker": 1, "host": "127.0.0.1"}
        return DaskTaskRunner(cluster_kwargs=local | {"dashboard_address": "127.0.0.1:0"})

    def _count(self) -> int:
        """Number of workers."""
        from prefect.context import FlowRunContext

        client = FlowRunContext.get().task_runner.client
        try:
            client.wait_for_workers(1, timeout=WORKER_WAIT_SECONDS)
        except TimeoutError as error:
            raise ClusterError(f"no Dask worker is connected to {self.where}: start some") from error
        return len(client.scheduler_info(n_workers=-1)["workers"])


class _Work:
    """Work of a flow. Prefect sends a flow's code, with all that it names, along with each of its tasks: this
    goes along empty.

    Attributes:
        results: (result, None) of each item in order, or (None, error).
        stop: set when nobody waits for results any more.
    """

    def __init__(self, task: Callable | None = None, items: list | None = None):
        self.task, self.items = task, items
        self.results, self.stop = queue.SimpleQueue(), threading.Event()

    def __reduce__(self):
        return _Work, ()


def _is_loopback(url: str) -> bool:
    host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    return host.startswith(LOOPBACK)


def _wait(future, stop: threading.Event) -> None:
    """Wait for a shard.

    Raises:
        ClusterError: its stage has ended.
    """
    while not future.wrapped_future.done():
        if stop.wait(POLL_SECONDS):
            raise ClusterError("the stage was stopped")


def shard_size(items: int, workers: int) -> int:
    """Number of items in a shard."""
    return min(LARGEST_SHARD, max(1, items // (SHARDS_A_WORKER * workers)))


def in_a_state(body: Callable) -> Callable:
    """A flow or task whose user errors become its failed state: neither Prefect nor Dask logs a traceback."""

    @functools.wraps(body)
    def run(*arguments, **named):
        try:
            return body(*arguments, **named)
        except UserError as error:
            if debugging():
                raise
            from prefect.states import Failed

            return Failed(message=sentence(error), data=error)

    return run


def _submit(task: Callable, chunk: list, number: int):
    from prefect import task as prefect_task
    from prefect.cache_policies import NO_CACHE

    shard = prefect_task(
        in_a_state(work_off), task_run_name=f"shard {number}", cache_policy=NO_CACHE, persist_result=False
    )
    return shard.submit(task, chunk, os.getcwd(), code_digest())


def work_off(task: Callable, items: list, folder: str, code: str) -> list:
    """Results of a shard, in a worker.

    Args:
        folder: of the project, in which paths are meant.
        code: digest of the code that the stage runs.

    Raises:
        ClusterError: this worker would do something else than the stage's own processes, or the stage has ended.
    """
    from distributed import get_worker

    worker, results = get_worker(), []
    _check(worker, folder, code)
    # Read when OpenGL is first used, which Dask sets to one thread no more than it does torch's.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    with contextlib.chdir(folder):
        for item in items:
            if _is_cancelled(worker):
                raise ClusterError("the stage was stopped")
            results.append(attempt(task, item))
    return results


def _check(worker, folder: str, code: str) -> None:
    if worker.state.nthreads != 1:
        raise ClusterError(
            "a Dask worker has several threads, OpenGL one context: start it with --nthreads 1"
        )
    if not Path(folder).is_dir():
        raise ClusterError(
            f"a Dask worker does not see {folder}: the project's folder must be shared with it"
        )
    if code_digest() != code:
        raise ClusterError(
            "a Dask worker runs other code than the stage: restart the workers after a change of code;"
            " those of `local` are new, so run the stage again"
        )


def _is_cancelled(worker) -> bool:
    """Whether nobody waits for the task that runs here any more."""
    from distributed.worker import thread_state

    known = worker.state.tasks.get(thread_state.key)
    return known is None or known.state == "cancelled"


@functools.cache
def code_digest() -> str:
    """Digest of the code of `sofgan` and `stages` as it was when this process first asked."""
    digest = hashlib.sha256()
    for package in ("sofgan", "stages"):
        files = [*(CODE / package).rglob("*.py"), *(CODE / package).rglob("shaders/*.*")]
        for path in sorted(path for path in files if not path.name.startswith(".")):
            digest.update(f"{path.relative_to(CODE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


# A worker lives long, and loads code once: what it has loaded is what was there by then.
code_digest()
