"""Spool of what MLflow is to be told of a stage: an append-only folder that a process of its own mirrors.

A stage never imports mlflow (3 s) and never speaks to a server. It appends lines to `.work/tracking/<entry>/`:

    header.json     who runs: stage, item, parent, process, parameters, git state. Written first, whole
    events.jsonl    one JSON object a line, in order: metrics, image, artifact, final, end
    files/          pictures and artifacts that events name
    state.json      the mirror's: how far it is, its run, how the stage ended

`stages.tracking.mirror` reads entries, also those of stages that were killed or that an unreachable server left.
"""

import dataclasses
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from sofgan.files import read_json, write_json

FOREIGN_STALE_SECONDS = 3600.0  # An entry of another host, silent for so long, is taken for dead.
SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh"}


def pipeline_root() -> Path:
    """The folder that tracking lives under: `DVC_ROOT` (in `dvc exp` the real repository), else the nearest
    folder above the working directory with a dvc.yaml or params.yaml, else the working directory."""
    if os.environ.get("DVC_ROOT"):
        return Path(os.environ["DVC_ROOT"]).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() or (folder / "params.yaml").is_file():
            return folder
    return here


def tracking_uri(root: Path) -> str:
    """`MLFLOW_TRACKING_URI`, else an sqlite file in `root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"


def spool_folder(root: Path) -> Path:
    """Folder with the entries of a pipeline."""
    return root / ".work" / "tracking"


def identity(pid: int) -> dict:
    """Identity of a process for good: a pid alone is used again."""
    return {"pid": pid, "created": round(psutil.Process(pid).create_time(), 2), "host": socket.gethostname()}


def is_alive(process: dict, silent_since: float) -> bool:
    """Whether the process of an `identity` runs.

    Args:
        process: from `identity`.
        silent_since: time of its last sign of life, by which a process on another host is judged.
    """
    if process["host"] != socket.gethostname():
        return time.time() - silent_since < FOREIGN_STALE_SECONDS
    try:
        found = psutil.Process(process["pid"])
        # A zombie has ended; a pid that was used again has another creation time.
        return abs(found.create_time() - process["created"]) < 1.0 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def find_parent() -> dict:
    """The pipeline execution that this process is a stage of: `kind`, `key`, `name` (None: `repro-<sha>`), `owner`.

    The key has the owner's process in it: who runs a flow or an experiment again under its name may have changed
    parameters in between, and MLflow never changes those of a run.

    In order: `SOFGAN_RUN` (`NAME`, with `SOFGAN_RUN_PID`, set by the Prefect flow, whose every stage has a dvc
    process of its own); `DVC_EXP_NAME`; the dvc process above; none: a stage run by hand is its own parent.
    """
    owner = _dvc_ancestor() if os.environ.get("DVC_STAGE") else None
    if name := os.environ.get("SOFGAN_RUN"):
        kind, pid = "flow", int(os.environ.get("SOFGAN_RUN_PID") or (owner or {"pid": os.getpid()})["pid"])
        owner = identity(pid)
    elif owner and (name := os.environ.get("DVC_EXP_NAME")):
        kind = "experiment"
    else:
        owner, kind, name = (owner, "repro", None) if owner else (identity(os.getpid()), "manual", "manual")
    key = f"{kind}:{name or ''}:{owner['host']}:{owner['pid']}:{owner['created']}"
    return {"kind": kind, "key": key, "name": name, "owner": owner}


def _dvc_ancestor() -> dict | None:
    """The process of dvc above this one; where it goes by another name, the nearest that is no shell."""
    try:
        above = psutil.Process().parents()
    except psutil.Error:
        return None
    nearest = None
    for process in above:
        try:
            command = process.cmdline()[:4]
            if "dvc" in (os.path.basename(word) for word in command):
                return identity(process.pid)
            if nearest is None and process.name() not in SHELLS:
                nearest = process.pid
        except psutil.Error:
            continue
    return identity(nearest) if nearest else None


class Writer:
    """Appends to an entry. Lines are buffered; `flush` hands them on."""

    def __init__(self, root: Path, header: dict):
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(header["started"]))
        name = f"{stamp}-{os.getpid()}-{header['stage']}"
        if header["item"]:
            name += f"-{header['item'].replace('/', '_')}"
        self.header = header
        self.folder = unique_folder(spool_folder(root) / name)
        (self.folder / "files").mkdir()
        self._events = open(self.folder / "events.jsonl", "a", encoding="utf-8")  # noqa: SIM115
        self._flushed = time.monotonic()
        self._files = 0
        write_json(self.folder / "header.json", header)

    def add(self, kind: str, flush: bool = False, **values) -> None:
        """Append one event; it is on disk within 2 s of the next, at once with `flush`."""
        self._events.write(json.dumps({"kind": kind, "time": time.time(), **values}) + "\n")
        if flush or time.monotonic() - self._flushed > 2.0:
            self.flush()

    def new_file(self, name: str) -> Path:
        """A free path in the entry for a picture or an artifact."""
        self._files += 1
        folder = self.folder / "files" / f"{self._files:06d}"
        folder.mkdir()
        return folder / name

    def flush(self) -> None:
        """Hand buffered lines to the file system."""
        self._events.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close."""
        self._events.close()


def unique_folder(path: Path) -> Path:
    """Make `path`, or `path.1`, ...: a process may run a stage more than once within a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    candidate, number = path, 0
    while True:
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}.{number}")


class Entry:
    """Reads an entry that may still grow.

    `header`, and `state`, a mapping that the mirror keeps there (offset, run id) to go on after a restart.

    Raises:
        ValueError: one of these is no JSON, as a power cut may leave it.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.header = read_json(folder / "header.json")
        path = folder / "state.json"
        self.state = read_json(path) if path.is_file() else {"offset": 0, "run_id": None}

    def new_events(self) -> list[tuple[dict, int]]:
        """Whole lines after the offset, each with the offset after it. A half line, of a killed stage, waits; what is
        no JSON, as a power cut may leave it, is of the kind `unreadable`."""
        with open(self.folder / "events.jsonl", "rb") as file:
            file.seek(self.state["offset"])
            whole = file.read().split(b"\n")[:-1]
        offset, events = self.state["offset"], []
        for line in whole:
            offset += len(line) + 1
            try:
                events.append((json.loads(line), offset))
            except ValueError:
                events.append(({"kind": "unreadable"}, offset))
        return events

    def save(self, **changes) -> None:
        """Keep the mirror's state."""
        self.state.update(changes)
        write_json(self.folder / "state.json", self.state)

    def is_alive(self) -> bool:
        """Whether the stage's process runs."""
        return is_alive(self.header["process"], (self.folder / "events.jsonl").stat().st_mtime)


def entries(root: Path) -> Iterator[Path]:
    """Folders of entries that are whole, oldest first; the mirror removes them when their execution is over."""
    folder = spool_folder(root)
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if (path / "header.json").is_file():
                yield path


def readable(root: Path) -> Iterator[Entry]:
    """The entries of `entries` that can be read: the others are open for ever, and nobody is to wait for them."""
    for path in entries(root):
        try:
            entry = Entry(path)
        except (OSError, ValueError):
            continue
        yield entry


def flatten(params, prefix: str = "") -> dict[str, str]:
    """Nested blocks as `a.b: text`; sequences of plain values stay one parameter."""
    if params is None:
        return {}
    if dataclasses.is_dataclass(params):
        params = dataclasses.asdict(params)
    flat = {}
    for key, value in params.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat
