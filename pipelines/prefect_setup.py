"""Set-up of Prefect's server before a worker starts: pool, queue, deployments, automation, runs that were lost.

`up` runs it as a process of its own, `python -m pipelines.prefect_setup`: Prefect reads its settings from the
environment when it is imported. What a user changed in the server stays: a pool that is paused, schedules.
"""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psutil
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, StateType
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Crashed

from pipelines.services import POOL, QUEUE, WORKER
from sofgan.errors import UserError

FLOWS, ZOMBIES = Path("pipelines/prefect.yaml"), Path("pipelines/zombies.yaml")
UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]  # These hold the queue's one slot.
LOST = "Its process was killed; the same deployment goes on from what was done."


class SetupError(UserError, RuntimeError):
    """A command of Prefect failed."""


def main() -> int:
    """All of it, at the server of PREFECT_API_URL, in the project's root."""
    with get_client(sync_client=True) as client:
        try:
            make_pool(client)
            make_deployments(client, FLOWS)
            make_automation(client, ZOMBIES)
        except SetupError as error:
            print(error, file=sys.stderr)
            return 1
        for run in end_lost_runs(client):
            print(f"flow run {run.name}, whose process was killed, is called crashed")
    return 0


def make_pool(client: SyncPrefectClient) -> None:
    """The pool, and its queue that runs one flow at a time, where they are not there yet."""
    if POOL not in [pool.name for pool in client.read_work_pools()]:
        run_prefect("work-pool", "create", POOL, "--type", "process")
    if QUEUE not in [queue.name for queue in client.read_work_queues(work_pool_name=POOL)]:
        client.create_work_queue(QUEUE, concurrency_limit=1, work_pool_name=POOL)


def make_deployments(client: SyncPrefectClient, file: Path) -> None:
    """Deployments as the file has them; paused ones stay so, schedules stay on or off, and added ones stay."""
    before = {deployment.id: deployment for deployment in client.read_deployments()}
    run_prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(file))
    for made in client.read_deployments():
        if made.id not in before:
            continue
        old = before[made.id]
        if made.paused != old.paused:
            (client.pause_deployment if old.paused else client.resume_deployment)(made.id)
        for schedule in old.schedules:
            now = next((new for new in made.schedules if _same_schedule(new, schedule)), None)
            if now is not None:
                client.update_deployment_schedule(made.id, now.id, active=schedule.active)
            elif not schedule.slug:  # Not of the file.
                kept = schedule.model_dump(include={"schedule", "active", "parameters"})
                client.create_deployment_schedules(made.id, [DeploymentScheduleCreate(**kept)])


def _same_schedule(one: DeploymentSchedule, other: DeploymentSchedule) -> bool:
    """Whether both have one name in the file, else one rule; an interval's anchor is when it was made."""
    if one.slug and other.slug:
        return one.slug == other.slug
    rules = [schedule.schedule.model_dump(exclude={"anchor_date"}) for schedule in (one, other)]
    return rules[0] == rules[1]


def make_automation(client: SyncPrefectClient, file: Path) -> None:
    """The automation that calls flow runs of killed workers crashed, where it is not there yet."""
    automation = AutomationCore.model_validate(yaml.safe_load(file.read_text()))
    if not client.read_automations_by_name(automation.name):
        client.create_automation(automation)


def end_lost_runs(client: SyncPrefectClient) -> list[FlowRun]:
    """Call those flow runs crashed, with the flows that they run themselves, whose process on this machine is gone.

    Prefect keeps a process's number without its machine: only runs that the worker of `up` on this machine started are
    looked at. Others are left to the automation.
    """
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    unfinished = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state), work_pool_filter=pool)
    lost = [run for run in unfinished if _started_by(client, run.id) == WORKER and not _lives(run)]
    parents = lost
    while parents:
        ids = FlowRunFilterParentFlowRunId(any_=[run.id for run in parents])
        parents = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state, parent_flow_run_id=ids))
        lost = lost + parents
    for run in lost:
        client.set_flow_run_state(run.id, Crashed(message=LOST), force=True)
    return lost


def _started_by(client: SyncPrefectClient, run_id: UUID) -> str | None:
    """The name of the worker that started a flow run last, where that is known: its word is kept for a week."""
    started = EventFilter(
        event=EventNameFilter(name=["prefect.worker.submitted-flow-run"]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
    )
    if events := client.read_events(started, limit=1).events:  # The newest.
        return events[0].resource.name
    workers = client.read_workers_for_work_pool(POOL)  # All that it ever had.
    return workers[0].name if len(workers) == 1 else None


def _lives(run: FlowRun) -> bool:
    """Whether the flow run's process is there; its number may be another's by now, so it has to hold the run's id."""
    # Without a number, the worker was killed between starting the process and saying so.
    numbers = [int(run.infrastructure_pid)] if run.infrastructure_pid else psutil.pids()
    return any(_run_of(number) == str(run.id) for number in numbers)


def _run_of(number: int) -> str | None:
    """The id of the flow run that a process is there for."""
    try:
        return psutil.Process(number).environ().get("PREFECT__FLOW_RUN_ID")
    except (psutil.Error, OSError):  # Gone, or of a user whom `up` and its workers are not.
        return None


def run_prefect(*arguments: str) -> None:
    """A command of Prefect.

    Raises:
        SetupError: it failed; with what it said.
    """
    done = subprocess.run([sys.executable, "-m", "prefect", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
