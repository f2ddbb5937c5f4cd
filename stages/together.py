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

from stages import params

LAUNCHER = "SOFGAN_TORCHRUN"  # holds torchrun's process, where this module started it
PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when the one that started it is gone


def train_together(module: str, most: int) -> None:
    """Start over as so many processes as `runtime.train_processes` says; returns in these, or where it is one alone.

    Args:
        module: this one, as `python -m` calls it. What it was called with is passed on.
        most: processes that can share a step; where more are asked for, so many train, which is said.
    """
    if "RANK" in os.environ:
        _end_with(os.environ.get(LAUNCHER))
        return
    count = params.train_processes()
    if count > most:
        print(f"{count} processes can't share a step of {most}: {most} train", file=sys.stderr, flush=True)
        count = most
    if count == 1:
        return
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    # The number of threads is the stage's to set; torchrun would warn that it sets one.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, params.cores() // count)))
    os.environ[LAUNCHER] = str(os.getpid())  # which torchrun takes over
    sys.stdout.flush()
    os.execv(sys.executable, [*command, "-m", module, *sys.argv[1:]])


def _end_with(launcher: str | None) -> None:
    """Have this process asked to stop when torchrun is gone: it starts processes in sessions of their own, which would
    train on where torchrun itself is killed."""
    if launcher is not None and platform.system() == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(launcher):  # It is gone already.
            os.kill(os.getpid(), signal.SIGTERM)
