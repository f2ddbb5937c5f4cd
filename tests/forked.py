"""Tests in forks of a process that has imported what they need beside the code: seconds less each time."""

import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

TIMEOUT_S = 900  # of a run, which may go on for ever where the code is broken
# What tests import beside the code, the largest of it: seconds, once for all mutants.
PREPARED = ("pytest", "xdist", "triton", "numpy", "torch", "torchvision", "scipy.ndimage", "scipy.sparse.linalg",
            "scipy.spatial", "PIL.Image", "pandas", "pyarrow", "trimesh", "yaml")  # fmt: skip


class Tests:
    """Runs tests of a copy, each time in a fork of a process that has imported what is large and stays as it is."""

    def __init__(self, root: Path):
        self.root = root
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, tests: tuple[str, ...], keep_compiled: bool = False) -> int:
        """Exit status of pytest for some files, until the first failure; of a signal, minus its number.

        Args:
            keep_compiled: whether what Python compiles is kept. Of a mutant it isn't: Python tells files apart by size
                and seconds, so one could pass for another.
        """
        self.process.stdin.write(json.dumps([tests, keep_compiled]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    """Work off what `Tests.run` asks for on stdin; exit statuses on stdout."""
    sys.path[0] = os.getcwd()  # The copy's code, not what lies beside this file.
    for name in PREPARED:
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        tests, keep_compiled = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.alarm(TIMEOUT_S)
            sys.dont_write_bytecode = not keep_compiled
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nothing, stream)
            os._exit(sys.modules["pytest"].main(["-x", "-q", *tests]))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
