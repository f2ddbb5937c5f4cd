"""Holds a command and all that it starts: `python parent_watch.py PID COMMAND...`, a file run alone.

A flow that is cancelled can stop dvc itself; one that is killed can't, and the stage would go on alone, for hours.
"""

import os
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 15.0  # Between asking a stage to stop and making it.
POLL_SECONDS = 0.1


def leash(parent: int, command: list[str]) -> int:
    """Run a command in a session of its own; stop all of it when asked to, or when the parent process is gone."""
    process = subprocess.Popen(command, start_new_session=True)
    stopping = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.append(True))
    while process.poll() is None:
        if stopping or os.getppid() != parent:
            _stop_group(process)
            break
        time.sleep(POLL_SECONDS)
    return process.wait()


def _stop_group(process: subprocess.Popen) -> None:
    """Ask the whole group, then make it: dvc itself ignores interrupts while a stage runs."""
    end = time.monotonic() + GRACE_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        while time.monotonic() < end and _group_lives(process):
            time.sleep(0.1)


def _group_lives(process: subprocess.Popen) -> bool:
    process.poll()  # Takes in what ended: a zombie would count as alive.
    try:
        os.killpg(process.pid, 0)
        return True
    except ProcessLookupError:
        return False


if __name__ == "__main__":
    sys.exit(leash(int(sys.argv[1]), sys.argv[2:]))
