"""The Prefect flow `rebuild`: every DVC stage a task, in graph order. DVC is the cache, Prefect the eyes and hands."""

import os
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from pipelines import dvc_stages
from pipelines.summary import summary
from stages import spool

OPTIONS = {"persist_result": False, "log_prints": True}


@task(cache_policy=NO_CACHE, task_run_name="{stage}", **OPTIONS)
def stage_task(stage: str, root: Path, environment: dict[str, str]) -> dvc_stages.Outcome:
    """One stage, its output streamed into the task's log."""
    outcome = dvc_stages.run_stage(stage, root, environment, print)
    print(f"{stage}: {outcome.what}, {outcome.seconds:.1f} s")
    return outcome


@flow(name="rebuild", **OPTIONS)
def rebuild(targets: list[str] | None = None, retries: int = 0) -> list[dvc_stages.Outcome]:
    """Rebuild what is not up to date, from raw scans to the report.

    Args:
        targets: stages to rebuild with all that they need; none: all.
        retries: how often a stage that failed is tried again, for machines where outside causes are plausible.
            What it had done is resumed.
    """
    root = Path.cwd()
    # Every stage has a dvc process of its own here: this is what makes them one run in MLflow.
    environment = {"SOFGAN_RUN": f"rebuild-{flow_run.name}", "SOFGAN_RUN_PID": str(os.getpid())}
    outcomes = []
    try:
        for stage in dvc_stages.in_graph_order(root, targets or []):
            run = stage_task.with_options(name=stage, retries=retries, retry_delay_seconds=10)
            state = run(stage, root, environment, return_state=True)
            if not state.is_completed():
                outcomes.append(dvc_stages.Outcome(stage, state.type.value.lower(), 0.0))
                state.result()  # Raises what stopped the stage.
            outcomes.append(state.result())
    finally:
        run_name, uri = environment["SOFGAN_RUN"], spool.tracking_uri(root)
        create_markdown_artifact(summary(root, outcomes, run_name, uri), key="rebuild")
    return outcomes


if __name__ == "__main__":
    rebuild()
