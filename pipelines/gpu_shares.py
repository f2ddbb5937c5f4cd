"""GPUs of this machine for experiments that run beside each other, without loading torch."""

import os
import subprocess

from stages import params

VISIBLE = "CUDA_VISIBLE_DEVICES"
LIST_SECONDS = 20.0  # nvidia-smi takes some where drivers sleep


def seen() -> list[str]:
    """Numbers, or names, of the GPUs that stages would see, as `CUDA_VISIBLE_DEVICES` has them; none where
    `runtime.device` is not just any GPU."""
    if params.device() not in ("auto", "cuda"):
        return []
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=LIST_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        str(index)
        for index, line in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))
    ]


def shares(gpus: list[str], jobs: int) -> list[list[str]]:
    """GPUs of each of so many jobs at once: shares of all that differ by one at most; where jobs are more, one GPU
    each, in turn. Empty ones where there is no GPU."""
    if len(gpus) < jobs:
        return [[gpus[job % len(gpus)]] if gpus else [] for job in range(jobs)]
    return [gpus[len(gpus) * job // jobs : len(gpus) * (job + 1) // jobs] for job in range(jobs)]


def environment(gpus: list[str]) -> dict[str, str]:
    """Environment variables that let a process see these GPUs alone; {} where none is named."""
    return {VISIBLE: ",".join(gpus)} if gpus else {}
