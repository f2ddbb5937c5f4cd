"""Of all tests: none tells MLflow, but those of tracking itself, which say so; processes as torchrun starts them;
projects with this one's own ignore files, graph and parameters."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stages.code_lists import scripts_of

# Tests that run beside each other (`make test`) have a core each: threads of OpenMP would wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Triton, which torch's optimisers import, and Mesa's software OpenGL each bring an LLVM: in one process, as tests are,
# triton's must come first, or the process crashes. (No stage draws and trains in one process.)
with suppress(ImportError):
    import triton  # noqa: F401

CODE = Path(__file__).parents[1]

os.environ["SOFGAN_TRACKING"] = "off"
# What a shell may say of how stages run is not meant for tests.
for name in (
    "DVC_ROOT",
    "SOFGAN_CLUSTER",
    "SOFGAN_DEVICE",
    "SOFGAN_TRAIN_PROCESSES",
    "RANK",
    "LOCAL_WORLD_SIZE",
):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def own_threads() -> Iterator[None]:
    """Each test begins without the threads that one before it (or a verb that it called) asked for."""
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    yield
    runtime = sys.modules.get("sofgan.runtime")
    if runtime and runtime._threads is not None:
        runtime.use_cpu(1)
        runtime._threads = None
    if torch:
        torch.set_num_threads(before)


@pytest.fixture
def workdir(tmp_path, monkeypatch) -> Path:
    """An empty folder, the working directory of a test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


@pytest.fixture
def gpu_choices():
    """Reads and sets how torch would compute float32 on a GPU: precision of matrix products and of convolutions, and
    whether cuDNN looks for its fastest algorithm. All is put back afterwards."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    class Choices:
        def get(self) -> tuple[str, str, bool]:
            return matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.benchmark

        def set(self, choices: tuple[str, str, bool]) -> None:
            matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.benchmark = choices

    choices = Choices()
    before = choices.get()
    yield choices
    choices.set(before)


@pytest.fixture(scope="session")
def real_files(tmp_path_factory) -> Path:
    """A git repository with DVC and this project's own ignore files, dvc.yaml and params.yaml, to be copied.

    What git and DVC leave out decides what DVC sees, so no test of DVC does with rules of its own.
    """
    root = tmp_path_factory.mktemp("real")
    (root / "data").mkdir()
    for name in (".gitignore", ".dvcignore", "dvc.yaml", "params.yaml", "data/README.md"):
        shutil.copyfile(CODE / name, root / name)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    shutil.copyfile(CODE / ".dvc/config", root / ".dvc/config")
    return root


@pytest.fixture
def at_work():
    """Puts a dvc that is in the middle of a stage into a project; called again with False, takes it out."""

    def put(root: Path, is_at_work: bool = True) -> None:
        held = {"write": {str(root / "models/sof.pt"): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
        (root / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
        (root / ".dvc/tmp/rwlock").write_text(json.dumps(held if is_at_work else {}))

    return put


@pytest.fixture(scope="session")
def stand_ins() -> Callable[[Path], None]:
    """Puts this project's code into a project, with small scripts in the place of all stages but `code`, which make
    what dvc.yaml says of what it says. The first of them that finds a file meanwhile.py runs it, once."""

    def put(root: Path) -> None:
        for package in ("sofgan", "stages"):
            shutil.copytree(CODE / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
        for script in scripts_of(root / "dvc.yaml").values():
            (root / f"stages/{script}.py").write_text(
                "from stages.execution.entry import enter\nfrom stages.stand_in import main\n\nenter(main)\n"
            )
        (root / "stages/stand_in.py").write_text(_STAND_IN)

    return put


@pytest.fixture(scope="module")
def up_to_date(tmp_path_factory, real_files, stand_ins) -> Iterator[Path]:
    """This project's graph and code, its stages' scripts replaced, brought up to date: a module's own, to change."""
    root = Path(shutil.copytree(real_files, tmp_path_factory.mktemp("up_to_date") / "project"))
    stand_ins(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=root, check=True)
        yield root


_STAND_IN = """
import hashlib, json, re, sys
from functools import reduce
from operator import getitem
from pathlib import Path

import yaml


def main():
    name, words = Path(sys.argv[0]).stem, [word for word in sys.argv[1:] if word != "--batch"]
    params = yaml.load(Path("params.yaml").read_text(), yaml.CSafeLoader) | {"item": {"batch": "".join(words)}}
    stages = yaml.load(Path("dvc.yaml").read_text(), yaml.CSafeLoader)["stages"]
    stage = stages[name]
    source = [path for dep in stage["deps"] for path in files(filled(dep, params))]
    seen = [hashlib.md5(path.read_bytes()).hexdigest() for path in source]
    seen += [Path(file).read_text() for block in stage.get("params", []) if isinstance(block, dict) for file in block]
    keys = [key for key in stage.get("params", []) if isinstance(key, str)]
    seen += [json.dumps(reduce(getitem, key.split("."), params), default=str) for key in keys]
    digest = hashlib.md5(json.dumps(seen).encode()).hexdigest()
    for kind in ("outs", "metrics", "plots"):
        for out in stage.get(kind, ()):
            path = Path(filled(next(iter(out)) if isinstance(out, dict) else out, params))
            if path.suffix == ".csv":
                write(path, "step,kimg\\n0,0\\n")
            elif path.suffix == ".json":
                # Values that parameters of other stages are read from it.
                asked = {key: True for other in stages.values() for block in other.get("params", [])
                         if isinstance(block, dict) for key in block.get(str(path)) or ()}
                write(path, json.dumps(asked | {"digest": digest, "files": len(source)}))
            elif path.suffix:
                write(path, digest)
            else:
                of_batch = [path for dep in stage["deps"] if "${item." in dep for path in files(filled(dep, params))]
                for scan in of_batch or [Path("made")]:
                    write(path / f"{scan.stem}.npz", f"{scan} {digest}")
    if (meanwhile := Path("meanwhile.py")).is_file():
        code = meanwhile.read_text()
        meanwhile.unlink()
        exec(code, {})


def filled(text, params):
    for match in re.findall(r"[$]{([^}]+)}", text):
        value = params
        for key in match.split("."):
            value = value[key]
        text = text.replace("${" + match + "}", value)
    return text


def files(path):
    return sorted(file for file in [Path(path), *Path(path).rglob("*")] if file.is_file() and file.suffix != ".pyc")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
"""
