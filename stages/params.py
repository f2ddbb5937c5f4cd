"""`params.yaml`, read once, into typed blocks: one a stage, and `runtime`, which no result depends on."""

import dataclasses
import importlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from sofgan.config import (
    DISTINCT,
    NOT_EMPTY,
    ConfigError,
    Count,
    Rule,
    check,
    from_mapping,
    read_yaml,
    within,
)
from sofgan.runtime import check_device, resolve_device

# Where each block's dataclass lives. None of these modules imports torch: `pipelines` checks all blocks.
BLOCKS = {
    "make_avatars": "sofgan.avatars.config:MakeAvatars",
    "make_portraits": "sofgan.avatars.config:MakePortraits",
    "import_photos": "sofgan.photos.config:ImportPhotos",
    "train_parser": "sofgan.parsing.config:TrainParser",
    "parse_faces": "sofgan.parsing.config:ParseFaces",
    "train_shape_parser": "sofgan.scans.unlabelled.config:TrainShapeParser",
    "ingest_scans": "sofgan.scans.config:IngestScans",
    "render_views": "sofgan.views.config:RenderViews",
    "train_sof": "sofgan.sof.config:TrainSof",
    "invert_masks": "sofgan.sof.config:InvertMasks",
    "sample_conditions": "sofgan.siw.config:SampleConditions",
    "train_siw": "sofgan.siw.config:TrainSiw",
    "train_baseline": "sofgan.baselines.config:TrainBaseline",
    "evaluate": "sofgan.evaluation.config:Evaluate",
    "report": "stages.params:Report",
    "runtime": "stages.params:Runtime",
    "avatars": "stages.params:AvatarBatches",
}
Processes = Annotated[int, within(0, 4096)]
PLAIN = ("seed", "batches", "baselines", "profile")  # other keys of params.yaml
# Of a folder, of stages in dvc.yaml and of files.
BatchName = Annotated[
    str,
    Rule(
        "is of letters, digits, dots, dashes, underscores, begun by a letter or digit",
        re.compile(r"[^\W_][\w.-]*").fullmatch,
    ),
]
BatchNames = Annotated[tuple[BatchName, ...], NOT_EMPTY, DISTINCT]
BaselineNames = Annotated[tuple[Literal["stylegan2", "spade", "pix2pixhd", "sean"], ...], DISTINCT]


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Settings by which stages run. Not a DVC dependency: nothing here may change a result."""

    device: str  # auto, cpu, cuda or cuda:N
    workers: Processes  # processes of a stage; 0: one a core
    threads: (
        Processes  # of one process on the CPU, each at a piece of the work (sofgan.runtime); 0: one a core
    )
    cluster: str = (
        ""  # of Dask, for shards of a stage (stages.execution.dask_shards); empty: its own processes
    )
    train_processes: Processes = 1  # that train together, see stages.execution.train_together; 0: one a GPU

    def __post_init__(self):
        check_device(self.device)
        if self.cluster not in ("", "local") and "://" not in self.cluster:
            raise ValueError(f"cluster is local, or an address as tcp://host:8786, not {self.cluster!r}")


@dataclasses.dataclass(frozen=True)
class AvatarBatches:
    """Batches that `make_avatars` makes; they are used once they are listed in `batches` too."""

    batches: BatchNames


@dataclasses.dataclass(frozen=True)
class Report:
    """The report's title and the width of its pictures."""

    title: str
    max_image_width_px: Count


def params_file() -> Path:
    """`params.yaml` of the working directory: `DVC_ROOT` names the real project, but an experiment in a
    folder of its own (`dvc exp run --temp`) has its own parameters there."""
    return Path("params.yaml").resolve()


@cache
def _document(path: Path) -> dict:
    if not path.exists():
        raise ConfigError(f"{path} is not there: run stages from the project's root")
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no mapping of blocks")
    known = {*BLOCKS, *PLAIN}
    for key in document:
        if key not in known:
            import difflib

            near = difflib.get_close_matches(str(key), known, n=1)
            raise ConfigError(
                f"{path}: unknown block '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
            )
    return document


def read_params(block: str, path: Path | None = None):
    """The block of that name as its frozen dataclass.

    Raises:
        ConfigError: the file or the block is missing, or a key is unknown, missing or of the wrong type.
    """
    path = path or params_file()
    document = _document(path)
    if block not in document:
        raise ConfigError(f"{path}: no block '{block}'")
    return block_of(document[block], block, path)


def value_at(document: dict, key: str):
    """A block, or a value in one by the dotted name that dvc.yaml and dvc.lock give it; None where there is none."""
    for name in key.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def flat(name: str, value) -> Iterator[tuple[str, object]]:
    """Values of a block of that dotted name by their own ones; of an empty block, or a value, itself."""
    if not isinstance(value, dict) or not value:
        yield name, value
        return
    for key, inner in value.items():
        yield from flat(f"{name}.{key}", inner)


def block_of(mapping, block: str, path: Path):
    """The dataclass of what a file has under a block's name.

    Raises:
        ConfigError: a key is unknown, missing, of the wrong type or out of its range.
    """
    module, name = BLOCKS[block].split(":")
    return from_mapping(getattr(importlib.import_module(module), name), mapping, f"{path.name}: {block}")


def seed() -> int:
    """The one seed of the run."""
    return seed_of(_document(params_file()), params_file())


def seed_of(document: dict, path: Path) -> int:
    """The seed that a file has.

    Raises:
        ConfigError: it is none.
    """
    value = document.get("seed")
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{path}: seed is a whole number, not {value!r}")
    return value


def batches() -> list[str]:
    """Names of the scan batches in use."""
    return batches_of(_document(params_file()), params_file())


def batches_of(document: dict, path: Path) -> list[str]:
    """The scan batches that a file has.

    Raises:
        ConfigError: they are no list of names.
    """
    value = document.get("batches")
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{path}: batches is a list of folder names under data/raw/scans, not {value!r}")
    return list(check(BatchNames, value, f"{path.name}: batches"))


def baselines_of(document: dict, path: Path) -> list[str]:
    """The paper's competitors that a file has trained beside ours.

    Raises:
        ConfigError: they are no list of methods.
    """
    return list(check(BaselineNames, document.get("baselines"), f"{path.name}: baselines"))


def device() -> str:
    """The device that is asked for, `auto` unresolved, so that no torch is loaded.

    Raises:
        InputError: SOFGAN_DEVICE names none.
    """
    name = os.environ.get("SOFGAN_DEVICE", read_params("runtime").device)
    check_device(name, "SOFGAN_DEVICE" if "SOFGAN_DEVICE" in os.environ else "device")
    return name


def runtime() -> Runtime:
    """The `runtime` block with 0 and `auto` of device, workers and threads resolved for this machine (asks torch only
    for `auto`); `cluster()` and `train_processes()` tell the rest."""
    block = read_params("runtime")
    return dataclasses.replace(
        block,
        device=resolve_device(device()),
        workers=workers(),
        threads=block.threads or own_cores(),
    )


def workers() -> int:
    """Processes of a stage: `runtime.workers`, or one a core. Unlike `runtime` it never loads torch."""
    return read_params("runtime").workers or own_cores()


def cluster() -> str:
    """Cluster that works off shards: `SOFGAN_CLUSTER`, which a flow sets, or `runtime.cluster`; empty: none."""
    return os.environ.get("SOFGAN_CLUSTER", read_params("runtime").cluster)


def train_processes() -> int:
    """Number of processes that train together: `SOFGAN_TRAIN_PROCESSES` of a flow, or `runtime.train_processes`.

    Raises:
        ConfigError: the variable is no number.
    """
    text = os.environ.get("SOFGAN_TRAIN_PROCESSES", str(read_params("runtime").train_processes))
    if not text.isdigit():
        raise ConfigError(f"SOFGAN_TRAIN_PROCESSES is a whole number, not {text!r}")
    if int(text):
        return int(text)
    import torch

    return max(1, torch.cuda.device_count()) if resolve_device(device()) == "cuda" else 1


def own_cores() -> int:
    """This process's share of the cores, where several train together."""
    return max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
