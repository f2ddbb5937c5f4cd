"""How stages of a rehearsal are run: apart from DVC and MLflow, and on Linux in forks of one process, where each begins
seconds sooner."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path

from pipelines.demo import environment
from sofgan.errors import UserError

CODE = Path(__file__).parents[1]
STAGE_SECONDS = 1800.0
TOO_LONG = f"it did not end within {STAGE_SECONDS:.0f} s"


class RehearsalError(UserError, RuntimeError):
    """There is nothing to rehearse: params.yaml, or what a rehearsal makes of it, is not valid."""


class Forks:
    """Runs scripts in forks of one process, `stages.execution.rehearsing.forked`; any thread may ask.

    Args:
        folder: for their output.
        libraries: that the process imports; none: its own choice.
    """

    def __init__(self, folder: Path, libraries: Sequence[str] = ()):
        self._folder, self._lock, self._waiting = folder, threading.Lock(), {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stages.execution.rehearsing.forked", *libraries], cwd=folder, env=_variables(),
            text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def run(self, arguments: list[str], folder: Path) -> tuple[int, str]:
        """Status and output of `python -m ...` in a folder."""
        future = Future()
        with self._lock:
            number = len(self._waiting)
            self._waiting[number] = future
        output = self._folder / f"output-{number}"
        module, *rest = arguments
        request = {"number": number, "module": module, "arguments": rest, "folder": str(folder.resolve())}
        self._ask(request | {"output": str(output)})
        late = False
        try:
            status = future.result(STAGE_SECONDS)
        except FutureTimeout:
            late = True
            self._ask({"kill": number})
            status = future.result()
        text = output.read_text(errors="replace") if output.is_file() else ""
        output.unlink(missing_ok=True)
        return (1, TOO_LONG) if late else (status, text)

    def _ask(self, request: dict) -> None:
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting[answer["number"]].set_result(answer["status"])
        with self._lock:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(RehearsalError("the process that runs the stages ended"))

    def close(self) -> None:
        """End it, and what it still runs."""
        self._process.stdin.close()
        self._reader.join()
        self._process.wait()


_forks: Forks | None = None  # While there is a rehearsal


@contextmanager
def forks(folder: Path) -> Iterator[None]:
    """Have stages forked from one process where that is known to work: each begins seconds sooner."""
    global _forks
    if sys.platform != "linux":
        yield
        return
    _forks = Forks(folder)
    try:
        yield
    finally:
        _forks.close()
        _forks = None


def _variables() -> dict[str, str]:
    """The environment of stages: apart from DVC and MLflow."""
    variables = {
        name: value
        for name, value in environment().items()
        if not name.startswith(("DVC_", "SOFGAN_", "MLFLOW_"))
    }
    variables |= {"SOFGAN_TRACKING": "off", "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "1"}
    variables["PYTHONPATH"] = os.pathsep.join([str(CODE), *filter(None, [variables.get("PYTHONPATH")])])
    return variables


def run_python(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Status and output of `python -m ...` in a folder."""
    if _forks is not None:
        return _forks.run(arguments, folder)
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=folder, env=_variables(), text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=STAGE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, TOO_LONG
    return done.returncode, done.stdout
