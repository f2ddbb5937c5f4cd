"""For real: server, pool, deployments, worker, `prefect deployment run ... --watch`, and MLflow's server."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml
from mlflow import MlflowClient

from pipelines import services
from pipelines.profiles import merge
from sofgan.avatars.batch import make_batch
from sofgan.files import sha256_file

CODE = Path(__file__).parents[2]
STAGES = ("code", "ingest_scans", "render_views", "batch_metrics", "train_sof")
TINY_FIELD = {
    "field": {"channels": 2, "base_size": 8, "basis_size": 4, "basis": 2, "local_basis": 0, "warp_size": 0}
    | {"initial_size": 2, "decoder_hidden": 4},
    "marcher": {"samples": 2, "surface_samples": 2},
    "steps": 4, "points_only_share": 0.5, "fit_steps": 2, "instances_per_step": 2, "views_per_instance": 1,
    "rays_per_view": 8, "warmup_steps": 1, "validate_every_steps": 4, "checkpoint_every_steps": 4,
    "warm_start": {"steps": 3, "instances_per_step": 2},
}  # fmt: skip
SLOW_VIEWS = 4000  # of a scan: a stage that lasts


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def dvc(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout


def git(project: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], cwd=project, check=True
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory, real_files) -> Path:
    """This project's code and the stages of batches, and a tiny field, with a batch of two scans that is rendered."""
    root = Path(shutil.copytree(real_files, tmp_path_factory.mktemp("round trip") / "project"))
    for folder in ("pipelines", "sofgan", "stages"):
        shutil.copytree(CODE / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    stages = yaml.safe_load((CODE / "dvc.yaml").read_text())["stages"]
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {name: stages[name] for name in STAGES}}))
    params = yaml.safe_load((CODE / "params.yaml").read_text())
    params["batches"] = ["first"]
    params["runtime"] = {"device": "cpu", "workers": 1, "threads": 1}
    params["render_views"] |= {"views_per_scan": 3, "held_out_views": 1, "size_px": 32}
    params["train_sof"] = merge(params["train_sof"], TINY_FIELD)
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "models/parsers").mkdir(parents=True)
    (root / "models/parsers/photos.pt").write_bytes(b"scans with labels need none")
    (root / "models/parsers/shapes.pt").write_bytes(b"")
    for name in ("photos", "shapes"):
        (root / f"models/parsers/{name}.json").write_text('{"sha256": "none"}')
    make_batch(root / "data/raw/scans/first", "first", 2, 0)
    make_batch(root.parent / "April scans", "second", 2, 0)
    dvc(root, "add", "-q", "data/raw/scans/first", "models/parsers")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOFGAN_TRACKING", raising=False)
        dvc(root, "repro", "-q")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "first batch")
    return root


@pytest.fixture(scope="module")
def up(project, tmp_path_factory):
    """All services of the project: what runs, MLflow, and `again`, which stops all and starts all anew."""
    ports = free_port(), free_port()

    def start() -> None:
        now.started = stack.enter_context(services.running(project, *ports))

    def again() -> None:
        stack.close()
        start()

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{ports[0]}/api")
        patch.delenv("SOFGAN_TRACKING", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        now = SimpleNamespace(mlflow=MlflowClient(f"http://127.0.0.1:{ports[1]}"), again=again)
        start()
        yield now
    assert all(process.poll() is not None for process in now.started.values())
    assert services.down(project) == 1  # Nothing is up any more.


def deployment_run(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "prefect", "deployment", "run", *arguments, "--watch"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)


@contextmanager
def prefect():
    """A client of the server that is up, also where Prefect was imported before its address was known."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    address = {PREFECT_API_URL: os.environ["PREFECT_API_URL"]}
    with temporary_settings(address), get_client(sync_client=True) as client:
        yield client


def task_runs() -> dict[str, str]:
    """Names and states of the tasks that the server knows of."""
    with prefect() as client:
        return {run.name: run.state_name for run in client.read_task_runs()}


def logged(text: str) -> bool:
    """Whether a line with the text is among the last that flows and their stages said."""
    from prefect.client.schemas.sorting import LogSort

    with prefect() as client:
        return any(text in line.message for line in client.read_logs(sort=LogSort.TIMESTAMP_DESC))


def fingerprint(folder: Path) -> dict[str, tuple]:
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.md5(path.read_bytes()).hexdigest())
        for path in sorted(folder.iterdir())
    }


def runs_of(mlflow: MlflowClient, flow: str) -> tuple[list, list]:
    """Parent runs of a flow or an experiment in MLflow, and the runs nested in them."""
    (experiment,) = [e for e in mlflow.search_experiments() if e.name == "sofgan"]
    runs = mlflow.search_runs([experiment.experiment_id])
    parents = [run for run in runs if re.fullmatch(rf"{flow}(-.*)?", run.info.run_name)]
    ids = {run.info.run_id for run in parents}
    return parents, [run for run in runs if run.data.tags.get("mlflow.parentRunId") in ids]


def wait_until(condition, seconds: float = 180):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_a_new_batch_is_rendered_by_a_worker_and_no_other(project, up):
    """And the field goes on from what it was, with the new heads in it, by several processes."""
    before, known = fingerprint(project / "data/views/first"), sha256_file(project / "models/sof.pt")
    source = project.parent / "April scans"
    options = [f"source={source}", "fine_tune=true", "train_processes=3"]
    done = deployment_run(
        project, "render-batch/gpu", *(word for option in options for word in ("--param", option))
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # The two heads of a step can't be shared by three.
    wait_until(
        lambda: logged("3 processes can't train together here (pictures or heads in a step, GPUs): 2 do")
    )
    assert "Completed" in done.stdout + done.stderr
    assert fingerprint(project / "data/views/first") == before
    assert len(list((project / "data/views/april-scans").glob("*.npz"))) == 2
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["batches"] == ["first", "april-scans"]

    tasks = task_runs()
    wanted = {"ingest_scans@april-scans", "render_views@april-scans", "score april-scans", f"add {source}"}
    assert wanted | {"train_sof"} <= tasks.keys() and set(tasks.values()) == {"Completed"}

    def closed():
        parents, nested = runs_of(up.mlflow, "render-batch")
        return parents if parents and parents[0].info.status == "FINISHED" and len(nested) == 4 else None

    assert len(wait_until(closed)) == 1
    # A stage that is cached makes no run: none of the first batch ran.
    (parent,), nested = runs_of(up.mlflow, "render-batch")
    nested = {run.info.run_name: run for run in nested}
    made = {f"{stage} april-scans" for stage in ("ingest_scans", "render_views", "score_batch")}
    assert nested.keys() == {f"{stage} of {parent.info.run_name}" for stage in made | {"train_sof"}}
    assert {run.info.status for run in nested.values()} == {"FINISHED"}

    kept = "data/fields/before-april-scans.pt"
    assert sha256_file(project / kept) == known != sha256_file(project / "models/sof.pt")
    given = yaml.safe_load((CODE / "params.yaml").read_text())["train_sof"]["warm_start"]
    own = TINY_FIELD["warm_start"] | {"field": kept, "sha256": known}
    assert params["train_sof"]["warm_start"] == given | own
    assert json.loads((project / "metrics/all/train_sof.json").read_text())["instances"] == 4
    assert (project / "plots/train_sof.csv").read_text().splitlines()[-1].startswith("3,")

    again = deployment_run(project, "render-batch/gpu", "--param", f"source={source}")
    assert again.returncode == 0 and fingerprint(project / "data/views/first") == before
    graph = yaml.safe_load((project / "dvc.yaml").read_text())
    del graph["stages"]["train_sof"]  # The other tests need no field.
    (project / "dvc.yaml").write_text(yaml.safe_dump(graph))


def test_experiments_run_beside_each_other(project, up):
    before = fingerprint(project / "data/views/first")
    git(project, "add", "--all")
    git(project, "commit", "-qm", "second batch")
    experiments = {"four": ["render_views.views_per_scan=4"], "small": ["render_views.size_px=16"]}
    options = ["--param", f"experiments={json.dumps(experiments)}", "--param", "jobs=2"]
    done = deployment_run(project, "ablate/gpu", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"four", "small"} <= task_runs().keys()
    assert fingerprint(project / "data/views/first") == before
    made = {f"render_views{of}" for of in (" first", " april-scans")} | {"batch_metrics"}
    shown = dvc(project, "exp", "show", "--csv")
    assert "four" in shown and "small" in shown
    for name in experiments:
        parents, nested = runs_of(up.mlflow, name)
        assert [run.info.run_name for run in parents] == [name]
        assert {run.info.run_name for run in nested} == {f"{stage} of {name}" for stage in made}


def test_containers_get_the_folder_and_the_gpus(project, up):
    """The example of a docker pool as the server has it: what its template does not know would be dropped."""
    from docker.types import HostConfig
    from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.utilities.templating import apply_values

    template = json.loads((project / "pipelines/containers.json").read_text())
    known = template["variables"]["properties"]
    assert template["job_configuration"] == {name: f"{{{{ {name} }}}}" for name in known}
    pool = WorkPoolCreate(name="gpu-containers", type="docker", base_job_template=template)
    with prefect() as client:
        client.create_work_pool(pool)
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"]
        environment = os.environ | {"PWD": str(project), "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
        done = subprocess.run(
            [*command, "pipelines/containers.yaml"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        made = [d for d in client.read_deployments() if d.work_pool_name == "gpu-containers"]
        assert len(made) == 3 and {d.work_queue_name for d in made} == {"dvc"}
        for deployment in made:
            assert deployment.job_variables.keys() <= known.keys()
            job = apply_values(template["job_configuration"], deployment.job_variables)
            assert job["image"] == "sofgan-worker" and job["volumes"] == [f"{project}:{project}"]
            assert job["env"]["PREFECT_API_URL"] == os.environ["PREFECT_API_URL"]
            assert job["env"]["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
            assert job["env"]["PYTHONPATH"] == job["env"]["SOFGAN_PROJECT"] == str(project)
            host = HostConfig("1.45", network_mode=job["network_mode"], **job["container_create_kwargs"])
            assert host["NetworkMode"] == "host" and host["PidMode"] == "host" and host["ShmSize"] == 8 << 30
            (request,) = host["DeviceRequests"]
            assert request["Count"] == -1 and request["Capabilities"] == [["gpu"]]
        misspelt = DeploymentUpdate(work_pool_name=pool.name, job_variables={"imagee": "x"})
        with pytest.raises(PrefectHTTPStatusError, match="imagee.* was unexpected"):
            client.update_deployment(made[0].id, misspelt)


def test_a_machine_that_dies_leaves_nothing_half_done(project, up):
    """The worker and its flow are killed in the middle of a stage; `up` again says so, and the next rebuild goes on."""
    from prefect.client.schemas.schedules import CronSchedule

    params = yaml.safe_load((project / "params.yaml").read_text())
    params["render_views"]["views_per_scan"] = SLOW_VIEWS
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", "prefect", "deployment", "run", "rebuild/gpu"]
    subprocess.run(command, cwd=project, check=True, capture_output=True)

    def stages():
        return [
            process
            for process in psutil.process_iter(["cmdline", "cwd"])
            if "stages.render_views" in (process.info["cmdline"] or [])
            and process.info["cwd"] == str(project)
        ]

    (stage, *_) = wait_until(stages)
    wait_until(lambda: _nested_running(up.mlflow))
    with prefect() as client:
        (run,) = (run for run in client.read_flow_runs() if run.state.is_running())
        other = _of_another_machine(client, run)
        assert psutil.Process(int(run.infrastructure_pid)).environ()["PREFECT__FLOW_RUN_ID"] == str(run.id)
        watcher = _watcher(client)
        client.pause_deployment(watcher.id)
        client.update_deployment_schedule(watcher.id, watcher.schedules[0].id, active=True)
        client.create_deployment_schedules(watcher.id, [(CronSchedule(cron="0 4 * * *"), False)])
    worker = psutil.Process(up.started["worker"].pid)
    for process in [*worker.children(recursive=True), worker]:
        if any("prefect" in word for word in process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([stage], timeout=30)
    assert not stages()

    wait_until(lambda: not _nested_running(up.mlflow))
    statuses = [run.info.status for run in runs_of(up.mlflow, "rebuild")[1]]
    assert "KILLED" in statuses and "RUNNING" not in statuses
    params["render_views"]["views_per_scan"] = 4
    (project / "params.yaml").write_text(yaml.safe_dump(params))

    up.again()
    with prefect() as client:
        state = client.read_flow_run(run.id).state
        assert state.is_crashed() and "process was killed" in state.message
        assert client.read_flow_run(other).state.is_running()
        watcher = _watcher(client)
        assert watcher.paused
        assert {schedule.slug: schedule.active for schedule in watcher.schedules} == {
            "arrivals": True,
            None: False,
        }
    done = deployment_run(project, "rebuild/gpu")
    assert done.returncode == 0 and "Completed" in done.stdout + done.stderr
    assert "up to date" in dvc(project, "status")
    assert not list((project / "data").rglob(".*.partial-*"))


def _nested_running(mlflow: MlflowClient) -> bool:
    return any(run.info.status == "RUNNING" for run in runs_of(mlflow, "rebuild")[1])


def _watcher(client):
    return client.read_deployment_by_name("watch-batches/gpu")


def _of_another_machine(client, run):
    """A flow run of the pool, in another queue, whose process's number is no process's here; its id."""
    client.request("POST", f"/work_pools/{services.POOL}/workers/heartbeat", json={"name": "elsewhere"})
    body = {"name": "elsewhere", "flow_id": str(run.flow_id), "state": {"type": "RUNNING"}}
    made = client.request("POST", "/flow_runs/", json=body | {"work_pool_name": services.POOL}).json()["id"]
    client.update_flow_run(made, infrastructure_pid=str(2**31 - 1))
    assert client.read_flow_run(made).work_pool_name == services.POOL
    return made
