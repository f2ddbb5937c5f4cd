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
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow import MlflowClient

from pipelines import services
from sofgan.scans.avatars.batch import make_batch

CODE = Path(__file__).parents[2]
STAGES = ("ingest_scans", "render_views")
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
def project(tmp_path_factory) -> Path:
    """This project's code and its first two stages, with a batch of two scans that is rendered."""
    root = tmp_path_factory.mktemp("round trip") / "project"
    for folder in ("pipelines", "sofgan", "stages"):
        shutil.copytree(CODE / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    document = yaml.safe_load((CODE / "dvc.yaml").read_text())
    (root / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {name: document["stages"][name] for name in STAGES}})
    )
    params = yaml.safe_load((CODE / "params.yaml").read_text())
    params["batches"] = ["first"]
    params["runtime"] = {"device": "cpu", "workers": 1, "threads": 1}
    params["render_views"] |= {"views_per_scan": 3, "held_out_views": 1, "size_px": 32}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "models").mkdir()
    (root / "models/parser.pt").write_bytes(b"scans with labels need none")
    shutil.copyfile(CODE / ".dvcignore", root / ".dvcignore")
    git(root, "init", "-q")
    (root / ".gitignore").write_text("/.work/\n/mlflow.db*\n/mlartifacts/\n")
    dvc(root, "init", "-q")
    make_batch(root / "data/raw/scans/first", "first", 2, 0)
    make_batch(root.parent / "April scans", "second", 2, 0)
    dvc(root, "add", "-q", "data/raw/scans/first", "models/parser.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOFGAN_TRACKING", raising=False)
        dvc(root, "repro", "-q")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "first batch")
    return root


@pytest.fixture(scope="module")
def up(project, tmp_path_factory):
    """All services of the project; yields what runs, Prefect's API and MLflow."""
    ports = free_port(), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{ports[0]}/api")
        patch.delenv("SOFGAN_TRACKING", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with services.running(project, *ports) as started:
            yield started, MlflowClient(f"http://127.0.0.1:{ports[1]}")
    assert all(process.poll() is not None for process in started.values())
    assert services.down(project) == 1  # Nothing is up any more.


def deployment_run(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "prefect", "deployment", "run", *arguments, "--watch"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)


def task_runs() -> dict[str, str]:
    """Names and states of the tasks that the server knows of."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return {run.name: run.state_name for run in client.read_task_runs()}


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


def wait_until(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_a_new_batch_is_rendered_by_a_worker_and_no_other(project, up):
    _, mlflow = up
    before = fingerprint(project / "data/views/first")
    source = project.parent / "April scans"
    done = deployment_run(project, "render-batch/gpu", "--param", f"source={source}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed" in done.stdout + done.stderr
    assert fingerprint(project / "data/views/first") == before
    assert len(list((project / "data/views/april-scans").glob("*.npz"))) == 2
    assert yaml.safe_load((project / "params.yaml").read_text())["batches"] == ["first", "april-scans"]

    tasks = task_runs()
    wanted = {"ingest_scans@april-scans", "render_views@april-scans", "score april-scans", f"add {source}"}
    assert wanted <= tasks.keys() and set(tasks.values()) == {"Completed"}
    assert not any("@first" in name for name in tasks)

    def closed():
        parents, nested = runs_of(mlflow, "render-batch")
        return parents if parents and parents[0].info.status == "FINISHED" and len(nested) == 3 else None

    assert len(wait_until(closed)) == 1
    _, nested = runs_of(mlflow, "render-batch")
    names = {run.info.run_name: run.info.status for run in nested}
    assert names == {
        f"{stage} april-scans": "FINISHED" for stage in ("ingest_scans", "render_views", "score_batch")
    }

    again = deployment_run(project, "render-batch/gpu", "--param", f"source={source}")
    assert again.returncode == 0 and fingerprint(project / "data/views/first") == before


def test_experiments_run_beside_each_other(project, up):
    _, mlflow = up
    before = fingerprint(project / "data/views/first")
    git(project, "add", "--all")
    git(project, "commit", "-qm", "second batch")
    experiments = {"four": ["render_views.views_per_scan=4"], "small": ["render_views.size_px=16"]}
    options = ["--param", f"experiments={json.dumps(experiments)}", "--param", "jobs=2"]
    done = deployment_run(project, "ablate/gpu", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"four", "small"} <= task_runs().keys()
    assert fingerprint(project / "data/views/first") == before
    shown = dvc(project, "exp", "show", "--csv")
    assert "four" in shown and "small" in shown
    for name in experiments:
        parents, nested = runs_of(mlflow, name)
        assert [run.info.run_name for run in parents] == [name] and len(nested) == 2


def test_a_machine_that_dies_leaves_nothing_half_done(project, up):
    """The worker and its flow are killed in the middle of a stage; the next rebuild goes on."""
    started, mlflow = up
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
    wait_until(lambda: _nested_running(mlflow))
    worker = psutil.Process(started["worker"].pid)
    for process in [*worker.children(recursive=True), worker]:
        if any("prefect" in word for word in process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([stage], timeout=30)
    assert not stages()

    wait_until(lambda: not _nested_running(mlflow))
    statuses = [run.info.status for run in runs_of(mlflow, "rebuild")[1]]
    assert "KILLED" in statuses and "RUNNING" not in statuses
    params["render_views"]["views_per_scan"] = 4
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    dvc(project, "repro", "-q")
    assert "up to date" in dvc(project, "status")
    assert not list((project / "data").rglob(".*.partial-*"))


def _nested_running(mlflow: MlflowClient) -> bool:
    return any(run.info.status == "RUNNING" for run in runs_of(mlflow, "rebuild")[1])
