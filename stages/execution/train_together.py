"""A training by several processes: the stage's own process becomes torchrun's, which starts it that many times.

`runtime.train_processes` says how many, on one machine, each with a GPU of its own where there are some. A step is that
of one process, divided (`sofgan.distributed`), so the model is the same but for rounding, and a training that was
stopped goes on with another number. On several machines: torchrun by hand, `torchrun ... -m stages.train_siw`.
"""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable

from sofgan.config import ConfigError
from sofgan.runtime import resolve_device
from stages import params

LAUNCHER = "SOFGAN_TORCHRUN"  # holds torchrun's process, where this module started it
PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when the one that started it is gone


def train_together(module: str, sharers: Callable[[int], int]) -> None:
    """Start over as so many processes as `runtime.train_processes` says; returns in these, or where it is one alone.

    Args:
        module: this one, as `python -m` calls it. What it was called with is passed on.
        sharers: from a number of processes to the most of them that can share a step. Where that is fewer, or there are
            fewer GPUs, so many train, which is said.

    Raises:
        ConfigError: several are to train, and the device is one of several GPUs.
    """
    if "RANK" in os.environ:
        _end_with(os.environ.get(LAUNCHER))
        return
    asked = params.train_processes()
    count = sharers(min(asked, _gpus() or asked)) if asked > 1 else 1
    if count != asked:
        reason = f"{asked} processes can't train together here"
        print(f"{reason} (pictures or heads in a step, GPUs): {count} do", file=sys.stderr, flush=True)
    if count == 1:
        return
    command = [sys.executable, "-m", "stages.execution.torchrun", "--standalone", f"--nproc-per-node={count}"]
    # The number of threads is the stage's to set; torchrun would warn that it sets one.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, params.cores() // count)))
    os.environ[LAUNCHER] = str(os.getpid())  # which torchrun takes over
    sys.stdout.flush()
    os.execv(sys.executable, [*command, "-m", module, *sys.argv[1:]])


def _gpus() -> int:
    """Number of GPUs for processes to take one each; 0 where the device is the CPU."""
    device = resolve_device(params.device())
    if device == "cpu":
        return 0
    if device != "cuda":
        raise ConfigError(
            f"runtime.train_processes: each takes a GPU of its own, but runtime.device is {device}"
        )
    import torch

    return torch.cuda.device_count()


def _end_with(launcher: str | None) -> None:
    """Have this process asked to stop when torchrun is gone: it starts processes in sessions of their own, which would
    train on where torchrun itself is killed."""
    if launcher is not None and platform.system() == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(launcher):  # It is gone already.
            os.kill(os.getpid(), signal.SIGTERM)
