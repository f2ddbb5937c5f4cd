"""The Prefect flows: `rebuild`, `render-batch` and `ablate`. DVC is the cache, Prefect the eyes and hands."""

import os
import sys
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run

from pipelines import ablations, batches, dvc_stages, gpu_shares, watched_folder
from pipelines.batch_sources import slug
from pipelines.dvc_at_work import dvc_at_work
from pipelines.dvc_stages import Outcome
from pipelines.summary import batch_tables, experiments_table, summary
from stages import paths
from stages.execution.dask_shards import in_a_state
from stages.tracking import spool

OPTIONS = {"persist_result": False, "log_prints": True}


@task(cache_policy=NO_CACHE, task_run_name="{stage}", **OPTIONS)
@in_a_state
def stage_task(stage: str, root: Path, environment: dict[str, str]) -> Outcome:
    """One stage, its output streamed into the task's log."""
    outcome = dvc_stages.run_stage(stage, root, environment, print)
    print(f"{stage}: {outcome.what}, {outcome.seconds:.1f} s")
    return outcome


@task(cache_policy=NO_CACHE, task_run_name="add {source}", **OPTIONS)
@in_a_state
def register_task(source: str, name: str | None, root: Path, warm_start: bool) -> batches.Batch:
    """Scans from anywhere become a batch of the project."""
    batch = batches.add(root, source, name, warm_start)
    print(f"{batch}, {'added' if batch.added else 'in use already'}")
    for line in batch.left_out():
        print(f"left out: {line}")
    return batch


@task(cache_policy=NO_CACHE, task_run_name="score {batch}", **OPTIONS)
@in_a_state
def score_task(batch: str, root: Path, environment: dict[str, str]) -> None:
    """Score how odd the batch's scans look beside those of the others."""
    command = [sys.executable, "-m", "stages.score_batch", "--batch", batch]
    if dvc_stages.run_command(command, root, environment, print):
        raise dvc_stages.StageFailed(f"scoring of batch '{batch}' failed")


@task(cache_policy=NO_CACHE, task_run_name="{name}", **OPTIONS)
@in_a_state
def experiment_task(name: str, changes: list[str], root: Path, gpus: list[str]) -> Outcome:
    """One experiment in a folder of its own, whatever of it is not in DVC's cache; on those GPUs, where any are
    named."""
    if gpus:
        print(f"{name}: GPU {', '.join(gpus)}")
    return dvc_stages.run_experiment(name, changes, root, gpu_shares.environment(gpus), print)


@flow(name="rebuild", **OPTIONS)
@in_a_state
def rebuild(
    targets: list[str] | None = None,
    retries: int = 0,
    cluster: str | None = None,
    train_processes: int | None = None,
) -> list[Outcome]:
    """Rebuild what is not up to date, from raw scans to the report.

    Args:
        targets: stages to rebuild with all that they need; none: all.
        retries: how often a stage that failed is tried again, for machines where outside causes are plausible.
            What it had done is resumed.
        cluster: where shards are worked off, `local` or the address of a Dask scheduler; none: as params.yaml says.
        train_processes: that train together, each on a GPU of its own; 0: one a GPU; none: as params.yaml says.
    """
    root, environment, outcomes = Path.cwd(), execution("rebuild", cluster, train_processes), []
    try:
        run_stages(targets or [], root, environment, retries, outcomes)
    finally:
        text = summary(root, outcomes, environment["SOFGAN_RUN"], spool.tracking_uri(root))
        create_markdown_artifact(text, key="rebuild")
    return outcomes


@flow(name="render-batch", **OPTIONS)
@in_a_state
def render_batch(
    source: str,
    name: str | None = None,
    fine_tune: bool = False,
    retries: int = 0,
    cluster: str | None = None,
    train_processes: int | None = None,
) -> list[Outcome]:
    """New scans become a batch: copied, read, rendered, compared with the others. The same call again changes nothing.

    Args:
        source: a folder, an archive or a file, by its path on the worker or by what else fsspec opens.
        name: of the batch; none: from the source.
        fine_tune: the field goes on from what it was, with the new heads in it; where there is none, scans are
            rendered all the same.
        retries, cluster, train_processes: as of `rebuild`.
    """
    root, outcomes, batch = Path.cwd(), [], None
    environment = execution("render-batch", cluster, train_processes)
    if fine_tune and not batches.can_go_on(root, name or slug(source)):
        # dvc removes the field before it trains another: after a training that failed there is none.
        print(
            f"no field at {paths.SOF} to go on from: batch '{name or slug(source)}' is rendered only, and learned by "
            "the next field"
        )
        fine_tune = False
    try:
        batch = register_task(source, name, root, fine_tune, return_state=True).result()
        run_stages([f"render_views@{batch.name}"], root, environment, retries, outcomes)
        score_task(batch.name, root, environment, return_state=True).result()
        if fine_tune:
            run_stages(["train_sof"], root, environment, retries, outcomes)
    finally:
        found = batch_tables(root, batch.name) if batch else ""
        # Other metrics don't know of the batch yet.
        told = (root, outcomes, environment["SOFGAN_RUN"], spool.tracking_uri(root))
        text = summary(*told, metrics=[outcome.stage for outcome in outcomes])
        create_markdown_artifact(found + text, key="render-batch")
    return outcomes


@flow(name="watch-batches", **OPTIONS)
@in_a_state
def watch_batches(
    folder: str = "data/incoming", settled_minutes: float = 5.0, fine_tune: bool = False
) -> list[str]:
    """`render-batch` for every new folder in a watched one, and again for those that failed; made to be scheduled.

    Args:
        folder: each folder in it is a batch.
        settled_minutes: how long nothing in a folder may have changed: it may still be arriving.
        fine_tune: as of `render-batch`.

    Returns:
        The names of the batches that were rendered.

    Raises:
        StageFailed: a folder could not be taken in.
    """
    root, names, failed = Path.cwd(), [], []
    waiting = []
    for source in watched_folder.arrived(root, Path(folder), 60 * settled_minutes):
        if watched_folder.worth_a_try(root, slug(source.name), source):
            waiting.append((source, fine_tune))
        else:
            print(
                f"{source} was refused {watched_folder.TRIES} times: left alone until something in it changes"
            )
    for name in watched_folder.unfinished(root, Path(folder), fine_tune):
        if watched_folder.worth_a_try(root, name):
            # Where another batch came with a warm start since, this one is rendered, and trained on with the next.
            tuned = fine_tune and batches.goes_on_from_its_field(root, name)
            waiting.append((paths.RAW_SCANS / name, tuned))
        else:
            print(
                f"batch '{name}' failed {watched_folder.TRIES} times: left alone until scans or parameters change"
            )
    for source, tuned in waiting:
        if command := dvc_at_work(root):  # Nothing is wrong with the folder: that counts for no try.
            print(f"dvc is at work ({command}): {source} and what comes after it wait for the next time")
            break
        name = slug(str(source))
        if render_batch(str(source), fine_tune=tuned, return_state=True).is_completed():
            names.append(name)
        else:
            failed.append(name)
            watched_folder.note_failure(root, name, Path(source))
    if failed:  # The others have arrived all the same.
        raise dvc_stages.StageFailed(f"these could not be taken in: {', '.join(failed)}")
    return names


@flow(name="ablate", **OPTIONS)
@in_a_state
def ablate(experiments: dict[str, list[str]] | list[str], jobs: int = 1, seeds: int = 0) -> list[Outcome]:
    """Run experiments beside each other and compare them; the workspace stays as it is.

    Args:
        experiments: names of pipelines/ablations.yaml; or name to changes of params.yaml, as
            `["train_siw.generator.encoder=constant"]`.
        jobs: how many run at once. Each has GPUs of its own, where there are as many, else one of them in turn.
        seeds: trainings of each, and of params.yaml as it stands, from other random numbers, compared as
            `python -m pipelines ablate` does; 0: each once, alone.

    Raises:
        StageFailed: an experiment failed, the others are done all the same; or a name is unknown.
    """
    root, outcomes = Path.cwd(), []
    if not isinstance(experiments, dict):
        experiments = ablations.named(experiments)
    asked = experiments
    if seeds:
        experiments = ablations.in_trials({ablations.DEFAULT: [], **asked}, seeds)
    free = gpu_shares.shares(gpu_shares.seen(), max(1, min(jobs, len(experiments))))
    running: dict[PrefectFuture, list[str]] = {}  # and the GPUs that each has
    for name, changes in experiments.items():
        # Trials share what comes before the generator, which the first makes alone, as `ablations.run_all` has it.
        if not free or (seeds and running and not outcomes):
            outcomes.append(_first_done(running, free))
        gpus = free.pop(0)
        running[experiment_task.with_options(name=name).submit(name, changes, root, gpus)] = gpus
    while running:
        outcomes.append(_first_done(running, free))
    text = experiments_table(root, experiments)
    if seeds:
        text = f"{ablations.summarize(root, asked, list(experiments)).markdown()}\n\n{text}"
    create_markdown_artifact(text, key="ablate")
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


def _first_done(running: dict[PrefectFuture, list[str]], free: list[list[str]]) -> Outcome | BaseException:
    """Outcome of the first future that is done; it is taken out of `running`, and its GPUs are free again."""
    done = next(as_completed(list(running)))
    free.append(running.pop(done))
    return done.result(raise_on_failure=False)


def execution(flow_name: str, cluster: str | None, train_processes: int | None) -> dict[str, str]:
    """The environment of a flow's stages, every one of which has a dvc process of its own: what makes them one run in
    MLflow, how they run, and the server that a cluster's shards tell."""
    environment = {"SOFGAN_RUN": f"{flow_name}-{flow_run.name}", "SOFGAN_RUN_PID": str(os.getpid())}
    if cluster is not None:
        environment["SOFGAN_CLUSTER"] = cluster
    if train_processes is not None:
        environment["SOFGAN_TRAIN_PROCESSES"] = str(train_processes)
    if context := FlowRunContext.get():  # Its own, where Prefect had to start one for the flow.
        environment["PREFECT_API_URL"] = str(context.client.api_url).rstrip("/")
    return environment


def run_stages(
    targets: list[str], root: Path, environment: dict[str, str], retries: int, outcomes: list[Outcome]
) -> None:
    """Run stages with all that they need, in graph order; `outcomes` gets each, also that of one that fails."""
    for stage in dvc_stages.in_graph_order(root, targets):
        run = stage_task.with_options(name=stage, retries=retries, retry_delay_seconds=10)
        state = run(stage, root, environment, return_state=True)
        if not state.is_completed():
            outcomes.append(Outcome(stage, state.type.value.lower(), 0.0))
            state.result()  # Raises what stopped the stage.
        outcomes.append(state.result())


if __name__ == "__main__":
    rebuild()
