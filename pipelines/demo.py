"""`python -m pipelines demo`: the whole pipeline by plain `dvc repro`, then where its results are."""

import os
import subprocess
import sys
import time
from pathlib import Path

from sofgan.config import ConfigError
from stages.params_checks import faults_of_blocks
from stages.tracking import spool

MIRROR_SECONDS = 20.0  # How long MLflow may take to hold what the last stage wrote.


def run() -> int:
    """Rebuild what is not up to date. Returns dvc's exit status.

    Raises:
        ConfigError: params.yaml is not valid.
    """
    root = Path.cwd()
    if not (root / "dvc.yaml").is_file():
        print("no dvc.yaml here: run this in the project's root", file=sys.stderr)
        return 1
    # dvc would say less of it, where its own files need the keys.
    if faults := list(faults_of_blocks(root / "params.yaml")):
        raise ConfigError("; ".join(faults))
    start = time.monotonic()
    if not (root / ".dvc").is_dir():
        in_git = (root / ".git").exists()
        subprocess.run(dvc("init", "--quiet", *([] if in_git else ["--no-scm"])), check=True)
    status = subprocess.run(dvc("repro"), env=environment()).returncode
    if status:
        print(
            "\nA stage stopped; its message is above. What was made is kept: the same command goes on from there."
            "\n`python -m pipelines doctor` checks this machine, and tells what is in DVC's cache only.",
            file=sys.stderr,
        )
        return status
    end = time.monotonic() + MIRROR_SECONDS
    while time.monotonic() < end and any(True for _ in spool.readable(root)):
        time.sleep(0.2)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f"\nDone in {minutes} min {seconds} s.")
    print(f"  report   {root / 'report/index.html'}")
    print("  metrics  python -m pipelines metrics")
    print(f"  MLflow   mlflow ui --backend-store-uri {spool.tracking_uri(root)}   then http://127.0.0.1:5000")
    return 0


def environment() -> dict[str, str]:
    """This process's, in which `python` of the commands in dvc.yaml is this Python, activated or not."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def dvc(*arguments: str) -> list[str]:
    """The command line of the dvc that is installed beside this Python; it waits for others that hold dvc's lock."""
    return [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
