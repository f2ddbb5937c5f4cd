"""The one door from a stage to trackers and terminals: metrics, images, status lines.

    with stage_run("train_sof", params) as run:
        run.scalars(100, {"loss": 0.3})
        run.items(100, 2000, "steps", "loss 0.30")
        run.final({"held_out_miou": 0.8})

The files that DVC keeps are the truth, MLflow the mirror. A stage only appends to a folder (`stages.tracking.spool`).
A process of its own, started by the first stage of an execution, tells MLflow (`stages.tracking.mirror`). So a slow or
absent server costs a stage nothing, and a stage that is killed, however hard, doesn't stay RUNNING.

`SOFGAN_TRACKING=off` leaves MLflow out; `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` are as everywhere.
"""

import hashlib
import math
import numbers
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from sofgan.errors import UserError
from sofgan.files import write_json, write_png
from sofgan.progress import Progress, Throughput
from stages.execution.error_sentences import words
from stages.paths import FIGURES, METRICS
from stages.tracking import mirror, spool
from stages.tracking.spool import flatten

PLAIN_STATUS_SECONDS = 10.0
BAR_CELLS = 20
IMPORT_SECONDS = 0.1  # How long a stage that is asked to stop during an import goes on before it looks again.
REPORT_WAIT_SECONDS = 30.0  # How long the last stage waits for MLflow to hold everything.
# What the pipeline itself writes in a work tree, and what therefore makes it no dirtier.
OUTPUTS = ("dvc.lock", "data/code", "metrics", "plots", "report")

_began = False  # whether this process has begun a run


class StageRun(Progress):
    """Reports of a stage, and of the library that it calls. No method here raises because a tracker failed."""

    def __init__(self, stage: str, params, item: str | None, writer: spool.Writer | None):
        self.stage, self.params, self.item = stage, params, item
        self._writer = writer
        self._first = is_first_process()
        self._status = _StatusLine(f"{stage} {item}" if item else stage)
        self._unit, self._throughput = "", Throughput(0)

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:
        """Show how many items are done, at which rate, and the time left."""
        if (unit, total) != (self._unit, self._throughput.total) or done < self._throughput.done:
            self._unit, self._throughput = unit, Throughput(total, done)
        self._throughput.update(done)
        self.text(self._throughput.line(unit) + (f"  {note}" if note else ""))

    def text(self, text: str) -> None:
        """Show a line: the same one rewritten on a terminal, a plain one every ten seconds elsewhere."""
        if self._first:
            self._status.show(text)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Track figures of a step."""
        self._mirror("metrics", lambda: {"values": _numbers(values), "step": int(step)})

    def images(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Track pictures of a step."""
        for key, picture in pictures.items():
            self.image(key, picture, step)

    def image(self, key: str, image: np.ndarray, step: int = 0) -> None:
        """An (H, W, 3) uint8 picture of a step. The same keys in every run make them comparable in MLflow."""

        def write() -> dict:
            path = self._writer.new_file("image.png")
            write_png(path, image)
            return {"key": key, "step": int(step), "file": str(path.relative_to(self._writer.folder))}

        self._mirror("image", write)

    def artifact(self, path: str | Path) -> None:
        """A file or folder to keep with the run, as it is now."""

        def copy() -> dict:
            target = self._writer.new_file(Path(path).name)
            shutil.copytree(path, target) if Path(path).is_dir() else shutil.copyfile(path, target)
            return {"file": str(target.relative_to(self._writer.folder))}

        self._mirror("artifact", copy)

    def final(
        self, values: dict[str, float], name: str | None = None, headline: Mapping[str, str] | None = None
    ) -> None:
        """Write all figures of the stage, the truth that trackers mirror. What is not finite becomes null.

        The file is metrics/all/<stage>.json, metrics/all/<stage>/<item>.json, or metrics/all/<name>.json.

        Args:
            headline: by the short name that DVC shows, which of `values` also go into metrics/<stage>.json; those that
                were not measured are left out there. DVC makes a column of each name in these files, so they are few.
        """
        if not self._first:
            return
        name = name or (f"{self.stage}/{self.item}" if self.item else self.stage)
        plain = {key: _plain(value) for key, value in values.items()}
        write_json(FIGURES / f"{name}.json", plain)
        if headline:
            few = {short: plain[key] for short, key in headline.items() if key in plain}
            write_json(METRICS / f"{name}.json", few)
        self._mirror("final", lambda: {"values": plain, "name": name}, flush=True)

    def _mirror(self, kind: str, content: Callable[[], dict], flush: bool = False) -> None:
        if self._writer is None:
            return
        try:
            self._writer.add(kind, flush=flush, **content())
        except (
            Exception
        ) as error:  # A full disk, an unreadable picture: tracking ends here, the stage goes on.
            _complain(f"this stage is not tracked further ({type(error).__name__}: {error})")
            self._writer = None


def is_first_process() -> bool:
    """Whether this process is the first of those that train together, which alone tells and writes; True where it is
    alone."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def stage_run(stage: str, params, item: str | None = None) -> Iterator[StageRun]:
    """The run of one stage; `item` is the batch of a stage that runs once a batch.

    Args:
        stage: the stage's name in dvc.yaml.
        params: its block, a dataclass or a mapping; logged flattened.
        item: the batch, or None.
    """
    global _began
    _began = True
    root = spool.pipeline_root()
    writer = _open(root, stage, params, item)
    run = StageRun(stage, params, item, writer)
    status, error = "FAILED", None
    try:
        with _terminated_as_interrupted():
            yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status, error = "KILLED", "interrupted"
        raise
    except SystemExit as stop:
        status = "FINISHED" if not stop.code else "FAILED"
        error = str(stop.code) if stop.code else None
        raise
    except BaseException as problem:
        error = words(problem) or f"{type(problem).__name__}: {problem}"
        raise
    finally:
        run._status.close()
        _close(root, run, writer, status, error)


def note_failure(stage: str, item: str | None, error: str) -> None:
    """The failed run of a stage that stopped before `stage_run`: reading its parameters, or opening what it needs."""
    if not _began:
        with suppress(_Noted), stage_run(stage, None, item):
            raise _Noted(error)


class _Noted(UserError):
    """Carries a sentence to a run."""


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A stage that is asked to stop cleans up as one that is interrupted: half-written files go."""

    def interrupt(_, frame) -> None:
        while frame is not None:
            if frame.f_globals.get("__name__") == "importlib._bootstrap":
                # Who imports a package that may be missing takes any error for that, and goes on: ask again after it.
                signal.setitimer(signal.ITIMER_REAL, IMPORT_SECONDS)
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGALRM)
    try:
        before = [signal.signal(number, interrupt) for number in numbers]
    except ValueError:  # Not the main thread, which alone gets signals.
        yield
        return
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def _open(root: Path, stage: str, params, item: str | None) -> spool.Writer | None:
    """Begin the stage's entry and see that a mirror runs; None where tracking is off, can't start, or is the first
    process' alone."""
    if os.environ.get("SOFGAN_TRACKING", "").lower() in ("off", "0", "no") or not is_first_process():
        return None
    try:
        params_file = Path("params.yaml").read_text() if Path("params.yaml").is_file() else ""
        header = {
            "stage": stage,
            "item": item,
            "dvc_stage": os.environ.get("DVC_STAGE") or (f"{stage}@{item}" if item else stage),
            "started": time.time(),
            "process": spool.identity(os.getpid()),
            "parent": _parent(params_file),
            "params": flatten(params),
            "git": _git_state(),
            "folder": str(Path.cwd()),
            "params_file": params_file,
            "uri": spool.tracking_uri(root),
            "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME") or "sofgan",
        }
        writer = spool.Writer(root, header)
        mirror.ensure_running(root)
        return writer
    except Exception as error:  # Whatever it is, it is no reason to stop a training.
        _complain(f"this stage is not tracked ({type(error).__name__}: {error})")
        return None


def _parent(params_file: str) -> dict:
    """The execution, see `spool.find_parent`; another one where params.yaml was changed under a flow that runs on."""
    parent = spool.find_parent()
    digest = hashlib.sha256(params_file.encode()).hexdigest()[:12]
    return parent | {"key": f"{parent['key']}:{digest}"}


def _close(root: Path, run: StageRun, writer: spool.Writer | None, status: str, error: str | None) -> None:
    if writer is None:
        return
    try:
        header = writer.header
        usage = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cost = {
            "cpu_seconds": usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime,
            "peak_memory_megabytes": max(usage.ru_maxrss, children.ru_maxrss) / 1024,
        }
        writer.add("end", flush=True, status=status, error=error, cost=cost)
        writer.close()
        mirror.ensure_running(root)
        if run.stage == "report":  # The last stage: who reads its report finds MLflow complete.
            mirror.wait(root, writer.folder, header["uri"], REPORT_WAIT_SECONDS)
        if problem := mirror.last_error(root, header["uri"], header["parent"]["key"]):
            _complain(problem)
    except Exception as problem:  # As in `_open`.
        _complain(f"the end of this stage is not tracked ({type(problem).__name__}: {problem})")


class _StatusLine:
    """One line on a terminal, rewritten; elsewhere a plain line now and then, and always the last one."""

    def __init__(self, name: str):
        self._name, self._last, self._shown = name, None, -math.inf
        self._terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        self._last = f"{self._name}: {text}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            line = f"{self._name}: {progress_bar(text)}{text}"
            print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._shown >= PLAIN_STATUS_SECONDS:
            self._print_plain()

    def _print_plain(self) -> None:
        print(self._last, file=sys.stderr, flush=True)
        self._last, self._shown = None, time.monotonic()

    def close(self) -> None:
        if self._last is None:
            return
        if self._terminal:
            print(file=sys.stderr, flush=True)
        else:
            self._print_plain()


def progress_bar(text: str) -> str:
    """A bar for a status that holds "done/total", such as "120/2000 steps", with a space after it; else ""."""
    found = re.search(r"\b(\d+)/(\d+)\b", text)
    if found is None or int(found[2]) == 0:
        return ""
    full = round(BAR_CELLS * min(1.0, int(found[1]) / int(found[2])))
    return "\u2588" * full + "\u2591" * (BAR_CELLS - full) + " "


def _complain(text: str) -> None:
    print(f"tracking: {text}; files and metrics are not touched by it", file=sys.stderr, flush=True)


def _git_state() -> dict:
    """Commit and whether tracked files differ from it, those aside that the pipeline writes; {} without git."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        changes = ["git", "status", "--porcelain", "--untracked-files=no", "--", "."]
        changes += [f":(exclude){path}" for path in OUTPUTS]
        output = subprocess.run(changes, capture_output=True, text=True, timeout=5, check=True).stdout
        return {"commit": commit, "dirty": bool(output.strip())}
    except (OSError, subprocess.SubprocessError):
        return {}


def _plain(value):
    """A JSON value: numpy and torch scalars as numbers, what is not finite as None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items()}
