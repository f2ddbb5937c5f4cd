"""The process that tells MLflow what stages wrote down (`stages.tracking.spool`): one a pipeline, started when needed.

One parent run a pipeline execution, a nested run a stage. The mirror outlives the stage that started it, so it sees
how a stage ended even when it was killed, can read from dvc.lock what dvc hashed after the stage, and closes the
parent when dvc is gone. It leaves when nothing is open. What it can't tell MLflow now stays for the next mirror.
"""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from sofgan.files import read_json, write_json
from stages.tracking import spool

POLL_SECONDS = 0.3
RETRY_SECONDS = 10.0
GIVE_UP_SECONDS = 60.0  # After the last process ended, how long an unreachable server is tried.


def ensure_running(root: Path) -> None:
    """Start the mirror of `root` unless one runs. Costs a lock, or the start of a process that isn't waited for."""
    lock = _lock(root)
    if lock is None:
        return
    lock.close()  # A second mirror, started between, finds the lock taken and leaves.
    environment = dict(
        os.environ, PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[2]), *sys.path[1:]])
    )
    with open(spool.spool_folder(root) / "mirror.log", "a") as log:
        # A session of its own: Ctrl-C and the end of a terminal are the stage's, and the mirror writes of them.
        subprocess.Popen(
            [sys.executable, "-m", "stages.tracking.mirror", str(root)],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait(root: Path, folder: Path, uri: str, seconds: float) -> None:
    """Wait until the ended entry in `folder` is in MLflow, no longer than `seconds`, nor for a server that fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and folder.exists() and uri not in _errors(root):
        if spool.Entry(folder).state.get("ended"):
            return
        time.sleep(0.1)


def last_error(root: Path, uri: str, execution: str) -> str | None:
    """Error that keeps MLflow at `uri` from being told, if any; once for each execution (a parent's key)."""
    sentence = _errors(root).get(uri)
    said = spool.spool_folder(root) / "error.said"
    if sentence is None or (said.is_file() and said.read_text() == execution):
        return None
    said.write_text(execution)
    return sentence


def _errors(root: Path) -> dict[str, str]:
    """Reasons why nothing can be told, by tracking URI."""
    path = spool.spool_folder(root) / "errors.json"
    return read_json(path) if path.is_file() else {}


def _keep_errors(root: Path, errors: dict[str, Exception]) -> None:
    sentences = {}
    for uri, error in errors.items():
        reason = (str(error).strip().splitlines() or [""])[0][:160] or type(error).__name__
        sentences[uri] = f"MLflow at {uri} is not told for now ({reason})"
    if sentences != _errors(root):
        write_json(spool.spool_folder(root) / "errors.json", sentences)
        for sentence in sentences.values():
            print(time.strftime("%H:%M:%S"), sentence, flush=True)


def _lock(root: Path):
    """The mirror's lock as an open file, or None where another process has it."""
    folder = spool.spool_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / "mirror.lock", "w")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    except OSError:
        file.close()
        return None


def main(root: Path) -> None:
    """Mirror until nothing is open."""
    while True:
        lock = _lock(root)
        if lock is None:
            return
        left_over = _work(root)
        lock.close()
        # A stage that began while the lock was held saw a mirror; look once more after letting go.
        if left_over or not any(True for _ in spool.readable(root)):
            return


def _work(root: Path) -> bool:
    """Passes over all entries until none is open; True where some are left because MLflow can't be reached."""
    from stages.tracking.mlflow_runs import Runs

    runs = Runs(root)
    failing_since = None
    while True:
        left, errors = runs.update()
        _keep_errors(root, errors)
        if not left:
            return False
        if not errors:
            failing_since = None
            time.sleep(POLL_SECONDS)
            continue
        failing_since = failing_since or time.monotonic()
        if time.monotonic() - failing_since > GIVE_UP_SECONDS and not runs.anything_alive():
            return True
        time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    os.nice(5)
    main(Path(sys.argv[1]))
