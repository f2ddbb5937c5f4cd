"""`python -m pipelines up`: Prefect's server, pool, deployments and worker, and MLflow's server, on one machine.

It stays in the foreground, and stops all of them when it is interrupted or by `python -m pipelines down`.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines import demo
from sofgan.errors import UserError
from stages import paths

HOST = "127.0.0.1"
POOL, QUEUE = "gpu-pool", "dvc"  # the queue runs one flow at a time
WORKER = f"up-{socket.gethostname()}"
LOGS = paths.WORK / "services"
PID = LOGS / "up.pid"
READY_SECONDS = 120.0
STOP_SECONDS = 15.0


class ServiceError(UserError, RuntimeError):
    """A service did not start, or ended by itself."""


def up(root: Path, prefect_port: int, mlflow_port: int) -> int:
    """Start all, tell where they are, and wait until one ends or this process is asked to stop."""
    try:
        with running(root, prefect_port, mlflow_port) as services:
            print(f"Prefect  http://{HOST}:{prefect_port}\nMLflow   http://{HOST}:{mlflow_port}")
            print(f"\n  export PREFECT_API_URL=http://{HOST}:{prefect_port}/api")
            print("  prefect deployment run rebuild/gpu --watch")
            print(
                "\nlogs in .work/services; Ctrl-C or `python -m pipelines down` stops all of it", flush=True
            )
            while not (ended := [name for name, process in services.items() if process.poll() is not None]):
                time.sleep(0.5)
            raise ServiceError(f"{ended[0]} ended by itself; its log is {LOGS / ended[0]}.log")
    except KeyboardInterrupt:
        return 0
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1


def down(root: Path) -> int:
    """Ask the `up` of this project to stop, and wait until it has."""
    pid = _holder(root)
    if pid is None:
        print("nothing is up here", file=sys.stderr)
        return 1
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 4 * STOP_SECONDS
    while _holder(root) is not None:
        if time.monotonic() > end:
            print(f"process {pid} does not stop", file=sys.stderr)
            return 1
        time.sleep(0.1)
    return 0


@contextmanager
def running(root: Path, prefect_port: int, mlflow_port: int) -> Iterator[dict[str, subprocess.Popen]]:
    """All services ready, by name; stopped at the end of the block, whatever ends it.

    Raises:
        ServiceError: they are up already, a port is taken, or one does not start.
    """
    (root / LOGS).mkdir(parents=True, exist_ok=True)
    for port in (prefect_port, mlflow_port):
        _see_free(port)
    api, mlflow = f"http://{HOST}:{prefect_port}/api", f"http://{HOST}:{mlflow_port}"
    environment = {
        **demo.environment(),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    # A flow's stages tell the server, not the file that it keeps.
    worker_environment = {**environment, "MLFLOW_TRACKING_URI": mlflow}
    # Artifacts lie where they do without a server, so that both ways lead to the same runs.
    stores = {
        "--backend-store-uri": f"sqlite:///{root / 'mlflow.db'}",
        "--default-artifact-root": (root / "mlartifacts").as_uri(),
    }
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        worker_environment["MLFLOW_TRACKING_URI"] = uri  # Somebody else keeps it.
    services: dict[str, subprocess.Popen] = {}
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    held = _hold(root)
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        command = ["prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)]
        services["prefect-server"] = _start(root, "prefect-server", command, environment)
        if not uri:
            from stages.tracking.mlflow_runs import (
                make_database,  # Seconds, while Prefect's server starts.
            )

            make_database(root / "mlflow.db")
            command = ["mlflow", "server", "--host", HOST, "--port", str(mlflow_port)]
            command += ["--no-serve-artifacts", *(word for pair in stores.items() for word in pair)]
            services["mlflow-server"] = _start(root, "mlflow-server", command, environment)
        _wait_for(f"{api}/health", services, "prefect-server")
        _set_up_prefect(root, environment)
        command = ["prefect", "worker", "start", "--pool", POOL, "--name", WORKER]
        services["worker"] = _start(root, "worker", command, worker_environment)
        if not uri:
            _wait_for(f"{mlflow}/health", services, "mlflow-server")
        yield services
    finally:
        for number in before:  # Asked again, it is at it.
            signal.signal(number, signal.SIG_IGN)
        # The worker first: it tells the server how its flows ended.
        for process in reversed(services.values()):
            _stop(process)
        held.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(root: Path, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
    """A module's command as a process group of its own, so that Ctrl-C is ours to pass on."""
    with open(root / LOGS / f"{name}.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen) -> None:
    """Ask the process; after a while make its whole group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _wait_for(url: str, services: dict[str, subprocess.Popen], name: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and services[name].poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ServiceError(f"{name} did not start; its log is {LOGS / name}.log")


def _set_up_prefect(root: Path, environment: dict[str, str]) -> None:
    """Pool, deployments, automation, and an end for flow runs whose process was killed; says which.

    Raises:
        ServiceError: Prefect refused.
    """
    command = [sys.executable, "-m", "pipelines.prefect_setup"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ServiceError(f"Prefect can't be set up:\n{done.stdout}{done.stderr}")
    print(done.stdout, end="", flush=True)


def _hold(root: Path):
    """The file that says who is up, open and locked as long as that lasts.

    Raises:
        ServiceError: another process holds it.
    """
    file = open(root / PID, "a+")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ServiceError("services are up here already; `python -m pipelines down` stops them") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _holder(root: Path) -> int | None:
    """The process that is up here, if one is."""
    try:
        with open(root / PID) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except OSError:
                return int(file.read())
    except FileNotFoundError:
        return None


def _see_free(port: int) -> None:
    """Somebody else's server there would be taken for ours.

    Raises:
        ServiceError: something listens on the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServiceError(f"port {port} is taken; choose --prefect-port or --mlflow-port") from error


def _interrupt(*_) -> None:
    raise KeyboardInterrupt
