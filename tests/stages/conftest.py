"""A project whose runs are tracked; a Dask cluster of two workers, and the Prefect server that shards tell."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from stages.tracking import mirror

CODE = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The environment in which a stage finds them."""
    from distributed import LocalCluster

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "LP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(CODE), *sys.path]),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("server") / "log"
    with open(log, "w") as file:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=file)
    try:
        with pytest.MonkeyPatch.context() as patch:  # which the workers inherit
            for name, value in environment.items():
                patch.setenv(name, value)
            dask = LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
            )
        with dask:
            end = time.monotonic() + 300
            while not _answers(f"{environment['PREFECT_API_URL']}/health"):
                assert time.monotonic() < end and server.poll() is None, log.read_text()
                time.sleep(0.2)
            yield environment | {"SOFGAN_CLUSTER": dask.scheduler_address}
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project folder to work in, with no pipeline above it and no mirror started."""
    for name in ("DVC_STAGE", "DVC_EXP_NAME", "SOFGAN_RUN", "SOFGAN_RUN_PID", "MLFLOW_TRACKING_URI", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("SOFGAN_TRACKING", "on")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mirror, "ensure_running", lambda root: None)
    (tmp_path / "params.yaml").write_text("seed: 5\nsof: {size: 3}\n")
    return tmp_path
