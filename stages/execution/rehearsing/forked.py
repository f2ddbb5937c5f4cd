"""One process that has imported the large libraries and forks itself for each script: they are imported once, not by
each of a rehearsal's stages.

    python -m stages.execution.rehearsing.forked [LIBRARY...]        # Linux

A line of JSON in, `{"number": 3, "module": "stages.x", "arguments": [], "folder": "/a", "output": "/a/x.log"}`, runs
`python -m stages.x` in that folder; a line out, `{"number": 3, "status": 0}`, says how it ended. `{"kill": 3}` ends it
and what it started. No code of this project is loaded before it is run. It ends with its input.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

LIBRARIES = (
    "numpy",
    "yaml",
    "PIL.Image",
    "scipy.ndimage",
    "scipy.sparse.csgraph",
    "scipy.sparse.linalg",
    "torch",
    "torch._dynamo",  # by torch's own optimisers, and where its operations are counted
)
LOOK_SECONDS = 0.05  # between looks for scripts that have ended


def serve() -> dict | None:
    """Answer requests until there are no more: None. In a forked process: what it is to run."""
    left, running, open_ = b"", {}, True
    while open_ or running:
        readable = open_ and select.select([0], [], [], LOOK_SECONDS)[0]
        if readable:
            some = os.read(0, 1 << 16)
            open_ = bool(some)
            *requests, left = (left + some).split(b"\n")
            for request in map(json.loads, requests):
                if "kill" in request:
                    _kill(pid for pid, number in running.items() if number == request["kill"])
                    continue
                pid = os.fork()
                if pid == 0:
                    return request
                running[pid] = request["number"]
        elif not open_:
            _kill(running)  # Whoever asked is gone.
            time.sleep(LOOK_SECONDS)
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                answer = {"number": running.pop(pid), "status": os.waitstatus_to_exitcode(status)}
                os.write(1, json.dumps(answer).encode() + b"\n")
    return None


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def become(request: dict) -> None:
    """Run the script as a process of its own does."""
    os.setsid()
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    with open(os.devnull) as nothing, open(request["output"], "wb") as output:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    for name in sys.argv[1:] or LIBRARIES:
        importlib.import_module(name)
    # Forks leave alone what libraries hold: to look through it, or take it apart at the end, costs each half a second.
    gc.collect()
    gc.freeze()
    if request := serve():
        become(request)


if __name__ == "__main__":
    main()
