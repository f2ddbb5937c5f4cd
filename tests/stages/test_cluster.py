"""Shards of stages on two Dask workers: the files of a stage that works alone, and refusals of what would differ."""

import io
import json
import os
import subprocess
import sys
import time
import types
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sofgan.parallel import map_in_processes
from sofgan.parsing.config import ParserConfig
from sofgan.parsing.parser import FaceParser, save_parser
from sofgan.photos.store import PhotoStoreWriter
from stages import params as stage_params
from stages.execution import dask_shards as clusters
from tests.parameters import write_params

ROOT = Path(__file__).parents[2]
STAGES = {
    "make_avatars": (["--batch", "b"], ["data/raw/scans/b", "metrics/all/make_avatars"]),
    "make_portraits": ([], ["data/raw/portraits", "metrics/all/make_portraits.json"]),
    "ingest_scans": (["--batch", "b"], ["data/scans/b"]),
    "render_views": (["--batch", "b"], ["data/views/b"]),
    "parse_faces": ([], ["data/labels/ffhq", "metrics/all/parse_faces.json"]),
}
PHOTOS = 600  # more than a block


def contents(*places: Path) -> dict[str, bytes]:
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def run_stage(folder: Path, stage: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", f"stages.{stage}", *STAGES.get(stage, ([],))[0]]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Six scans, 600 photos and a parser that knows nothing, done by stages that work alone."""
    root = tmp_path_factory.mktemp("project")
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["batches"] = ["b"]
    document["runtime"] |= {"device": "cpu", "workers": 1, "threads": 1}
    document["render_views"] |= {"views_per_scan": 3, "held_out_views": 1, "size_px": 32}
    document["parse_faces"] |= {"label_size": 32}
    document["make_avatars"] |= {"scans_per_batch": 6}
    document["make_portraits"] |= {
        "ffhq_photos": 2,
        "celebamask_photos": 1,
        "photos_per_identity": 1,
        "size_px": 32,
    }
    (root / "params.yaml").write_text(yaml.safe_dump(document))
    save_parser(root / "models/parsers/photos.pt", FaceParser(ParserConfig("unet", 16, 4)))
    generator = np.random.default_rng(0)
    with PhotoStoreWriter(root / "data/photos/ffhq") as writer:
        for index in range(PHOTOS):
            picture = io.BytesIO()
            Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(picture, "PNG")
            writer.add(f"{index:05d}", picture.getvalue(), None)
    alone = {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    for stage in STAGES:
        run_stage(root, stage, alone)
    return root


@pytest.fixture
def here(workdir):
    """A folder with a runtime block."""
    write_params(yaml.safe_load((ROOT / "params.yaml").read_text()))
    return workdir


def test_two_workers_write_the_files_of_one_process(project, cluster):
    for stage, (_, outs) in STAGES.items():
        places = [project / out for out in outs]
        alone = contents(*places)
        assert alone
        for file in alone:
            Path(file).unlink()
        run_stage(project, stage, cluster | {"SOFGAN_RUN": "rebuild-x"})
        assert contents(*places) == alone, stage

    def filtered(what: str, query: dict) -> list[dict]:
        request = urllib.request.Request(
            f"{cluster['PREFECT_API_URL']}/{what}/filter",
            json.dumps(query).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    # The server knows of each stage's shards, and whose they are.
    flows = {flow["name"]: flow["id"] for flow in filtered("flows", {})}
    assert STAGES.keys() <= flows.keys()
    for name, shards in (("ingest_scans", 6), ("parse_faces", 2)):
        (run,) = filtered("flow_runs", {"flows": {"id": {"any_": [flows[name]]}}})
        assert run["state_type"] == "COMPLETED" and run["tags"] == ["rebuild-x"]
        assert run["name"] == (f"{name} b" if "--batch" in STAGES[name][0] else name)
        tasks = filtered("task_runs", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        assert {task["state_type"] for task in tasks} == {"COMPLETED"} and len(tasks) == shards


def test_results_come_in_order_and_errors_as_they_are(here, cluster):
    code = (
        "import math; from stages.execution.dask_shards import spread; "
        "from sofgan.parallel import map_in_processes; "
        "print('found', list(map_in_processes(math.sqrt, range(40), spread('roots')))); "
        "list(map_in_processes(math.sqrt, [4, -1], spread('roots')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | cluster, capture_output=True, text=True, timeout=120
    )
    assert f"found {[i**0.5 for i in range(40)]}" in done.stdout
    assert done.returncode == 1 and "ValueError: math domain error" in done.stderr


USER_ERROR = """
import sys
from pathlib import Path
from sofgan.config import read_yaml
from sofgan.errors import in_a_sentence
from sofgan.parallel import map_in_processes
from stages.execution.dask_shards import spread

def main():
    for found in map_in_processes(read_yaml, [Path("params.yaml"), Path("nowhere.yaml")], spread("roots")):
        print("read", len(found), flush=True)

sys.exit(in_a_sentence(main))
"""


def test_a_users_error_in_a_shard_is_a_sentence_and_no_traceback(here, cluster):
    """Neither Prefect's nor Dask's, whose workers are the stage's own here and log to its stderr."""
    environment = os.environ | cluster | {"SOFGAN_CLUSTER": "local"}
    command = [sys.executable, "-c", USER_ERROR]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1 and "read" in done.stdout
    assert "nowhere.yaml can't be read: No such file or directory" in done.stderr.splitlines()
    assert "Traceback" not in done.stdout + done.stderr and "Compute Failed" not in done.stderr


def test_workers_of_ones_own_do_the_same(project, cluster):
    places = [project / out for out in STAGES["render_views"][1]]
    alone = contents(*places)
    said = run_stage(project, "render_views", cluster | {"SOFGAN_CLUSTER": "local"})
    assert contents(*places) == alone and "Creating a new Dask cluster" in said


SLOW_STAGE = """
import pathlib, time
from stages.execution.dask_shards import spread
from stages.tracking.run import stage_run

def slow(item):
    pathlib.Path(f"done-{item}").touch()
    time.sleep(0.2)

with stage_run("slow", {}):
    list(spread("slow")(slow, list(range(200))))
"""


def test_a_stage_that_is_stopped_leaves_no_shard_at_work(here, cluster):
    """Its workers end the item that they are at, not the shard."""
    stage = subprocess.Popen([sys.executable, "-c", SLOW_STAGE], env=os.environ | cluster, cwd=here)
    end = time.monotonic() + 60
    while not list(here.glob("done-*")):
        assert time.monotonic() < end and stage.poll() is None
        time.sleep(0.05)
    stage.terminate()
    assert stage.wait(30) != 0
    time.sleep(1)
    count = len(list(here.glob("done-*")))
    time.sleep(1.5)
    assert len(list(here.glob("done-*"))) == count < 200


def test_without_a_cluster_a_stage_has_its_own_processes(here, monkeypatch):
    monkeypatch.delenv("SOFGAN_CLUSTER", raising=False)
    assert clusters.on_cluster("x") is None and clusters.spread("x") == stage_params.workers()
    assert list(map_in_processes(str, [1, 2], lambda task, items: map(task, items[::-1]))) == ["2", "1"]


def test_a_cluster_without_a_server_says_what_to_do(here, monkeypatch):
    monkeypatch.setenv("SOFGAN_CLUSTER", "local")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    from prefect.settings import PREFECT_API_URL, temporary_settings

    # Prefect may have read its settings while another test's server was named.
    unset = temporary_settings(restore_defaults={PREFECT_API_URL})
    with unset, pytest.raises(clusters.ClusterError, match="set PREFECT_API_URL"):
        clusters.spread("x")


def test_a_server_that_workers_elsewhere_can_not_reach_is_refused(here, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("SOFGAN_CLUSTER", "tcp://10.0.0.7:8786")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        with pytest.raises(clusters.ClusterError, match="can't reach"):
            clusters.spread("x")
        monkeypatch.setenv("SOFGAN_CLUSTER", "tcp://localhost:8786")
        assert isinstance(clusters.spread("x"), clusters.Cluster)
        # Workers of this machine have no other GPU than the stage itself.
        monkeypatch.setenv("SOFGAN_CLUSTER", "local")
        assert clusters.on_cluster("x", device="cuda") is None
        assert clusters.on_cluster("x", device="cpu") is not None


def test_a_process_a_gpu_works_where_there_is_no_cluster(monkeypatch):
    class Processes(clusters.DeviceProcesses):
        def __enter__(self):  # No process is needed to see which there would be.
            return self

    seen = {"cuda": ["cuda:0", "cuda:1", "cuda:2"]}
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SOFGAN_CLUSTER", "")
    monkeypatch.setattr(clusters, "DeviceProcesses", Processes)
    monkeypatch.setattr(clusters, "gpus", lambda device: seen.get(device, []))
    with clusters.over_devices("x", "cuda") as mapper:
        assert mapper.devices == ["cuda:0", "cuda:1", "cuda:2"]
        assert [clusters.threads_each(mapper, count) for count in (16, 2)] == [5, 1]
    for device in ("cpu", "cuda:1"):
        with clusters.over_devices("x", device) as mapper:
            assert mapper is None and clusters.threads_each(mapper, 16) == 16
    monkeypatch.setenv("SOFGAN_CLUSTER", "tcp://host:8786")
    monkeypatch.setattr(clusters, "Cluster", lambda *how: how)
    with clusters.over_devices("x", "cuda") as mapper:
        assert mapper[:3] == ("x", None, "tcp://host:8786") and clusters.threads_each(mapper, 16) == 16


FLOW = """
import prefect
from pipelines import flows

@prefect.flow
def tell():
    print("told", flows.execution("rebuild", "local", None)["PREFECT_API_URL"])

tell()
"""


def test_a_flow_tells_its_stages_of_its_server(cluster):
    done = subprocess.run(
        [sys.executable, "-c", FLOW], env=os.environ | cluster, capture_output=True, text=True, timeout=120
    )
    assert f"told {cluster['PREFECT_API_URL']}" in done.stdout, done.stderr


def test_a_worker_that_would_do_something_else_refuses(tmp_path, monkeypatch):
    import distributed

    running = types.SimpleNamespace(state="executing")

    def worker(threads: int):
        return types.SimpleNamespace(state=types.SimpleNamespace(nthreads=threads, tasks={"key": running}))

    monkeypatch.setattr(distributed.worker.thread_state, "key", "key", raising=False)
    before, code = Path.cwd(), clusters.code_digest()
    monkeypatch.setattr(distributed, "get_worker", lambda: worker(1))
    assert clusters.work_off(lambda item: (item, Path.cwd()), [1], str(tmp_path), code) == [(1, tmp_path)]
    assert Path.cwd() == before
    with pytest.raises(clusters.ClusterError, match="restart the workers"):
        clusters.work_off(str, [1], str(tmp_path), "other")
    with pytest.raises(clusters.ClusterError, match="must be shared"):
        clusters.work_off(str, [1], str(tmp_path / "elsewhere"), code)
    running.state = "cancelled"
    with pytest.raises(clusters.ClusterError, match="was stopped"):
        clusters.work_off(str, [1], str(tmp_path), code)
    monkeypatch.setattr(distributed, "get_worker", lambda: worker(4))
    with pytest.raises(clusters.ClusterError, match="--nthreads 1"):
        clusters.work_off(str, [1], str(tmp_path), code)


@pytest.mark.parametrize("items, workers, size", [(1, 2, 1), (16, 2, 1), (320, 2, 20), (100_000, 8, 64)])
def test_shards_are_many_enough_and_not_too_many(items, workers, size):
    assert clusters.shard_size(items, workers) == size
