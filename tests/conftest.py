"""Of all tests: none tells MLflow, but those of tracking itself, which say so; processes as torchrun starts them."""

import os
import subprocess
import sys

import pytest

os.environ["SOFGAN_TRACKING"] = "off"
# What a shell may say of how stages run is not meant for tests.
for name in ("SOFGAN_CLUSTER", "SOFGAN_DEVICE", "SOFGAN_TRAIN_PROCESSES", "RANK", "LOCAL_WORLD_SIZE"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def torchrun():
    """Runs arguments (a script or -m and a module, then its own) in two processes of one thread; its stderr."""

    def run(*arguments: str, path: str = os.pathsep.join(sys.path)) -> str:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        done = subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run
