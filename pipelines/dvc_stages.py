"""The stages of dvc.yaml in graph order, and one of them run by dvc as a process that can't be left behind.

Not called `stages.py`: Prefect loads a flow as a script, and beside it that name would hide the package `stages`.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import demo
from sofgan.errors import UserError, sentence
from stages import paths
from stages.execution.entry import MARK

LEASH = Path(__file__).with_name("parent_watch.py")
_running: set[subprocess.Popen] = set()  # of `run_command`, by any thread
DVC_MARK = "ERROR: "  # how dvc begins the line that says what is wrong


class StageFailed(UserError, RuntimeError):
    """A stage stopped; the message has its sentence, and all that it and dvc said was printed."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a stage: `what` is ran, cached or failed."""

    stage: str
    what: str
    seconds: float


def in_graph_order(root: Path, targets: list[str]) -> list[str]:
    """Full names of all stages, or of the targets and all that they need, each after what it depends on.

    A target without `@` stands for all its batches.

    Raises:
        StageFailed: there is no such stage, or dvc can't read its files.
    """
    return [stage.name for stage in planned(root, targets)]


@dataclass(frozen=True)
class Planned:
    """A stage as dvc.yaml has it, or a .dvc file, which has no command. Paths are from the project's folder."""

    name: str
    command: str | None
    needs: tuple[str, ...]  # files and folders that it depends on
    params: tuple[str, ...]  # blocks and keys of params.yaml that it depends on
    makes: tuple[str, ...]


def planned(root: Path, targets: list[str]) -> list[Planned]:
    """`in_graph_order`, with what dvc.yaml says of each stage.

    Raises:
        StageFailed: as of `in_graph_order`.
    """
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph  # From a stage to those it depends on.
            described = {stage: _described(stage) for stage in graph}
    except DvcException as error:
        raise StageFailed(f"dvc: {sentence(error)}") from error
    names = {stage: known.name for stage, known in described.items()}
    wanted = set(graph)
    if targets:
        starts = {stage for stage, name in names.items() if name in targets or name.split("@")[0] in targets}
        known = {name for stage in starts for name in (names[stage], names[stage].split("@")[0])}
        if unknown := [target for target in targets if target not in known]:
            raise StageFailed(
                f"no stage '{unknown[0]}' in dvc.yaml; there are: {', '.join(sorted(names.values()))}"
            )
        wanted = starts.union(*(networkx.descendants(graph, stage) for stage in starts))
    # Where the graph leaves the order open: as in dvc.yaml, which dvc reads first to last.
    place = {stage: index for index, stage in enumerate(names)}
    order = networkx.lexicographical_topological_sort(graph.subgraph(wanted).reverse(), key=place.get)
    return [described[stage] for stage in order]


def _described(stage) -> Planned:
    from dvc.dependency.param import ParamsDependency

    named = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    return Planned(
        getattr(stage, "name", None) or stage.addressing,
        stage.cmd,
        tuple(dep.def_path for dep in stage.deps if dep not in named),
        tuple(key for dep in named if dep.def_path == "params.yaml" for key in dep.params),
        tuple(out.def_path for out in stage.outs),
    )


def run_stage(stage: str, root: Path, environment: dict[str, str], say: Callable[[str], None]) -> Outcome:
    """`dvc repro --single-item`, its output said line by line; see `run_command`.

    Raises:
        StageFailed: dvc ended with an error, with the sentence that the stage or dvc said of it.
    """
    start, lines, words = time.monotonic(), [], _Words()

    def hear(line: str) -> None:
        lines.append(line.startswith(f"Running stage '{stage}'"))
        words.hear(line)
        say(line)

    status = run_command(demo.dvc("repro", "--single-item", stage), root, environment, hear)
    if status:
        raise StageFailed(words.last or f"stage '{stage}' failed: dvc ended with {status}")
    return Outcome(stage, "ran" if any(lines) else "cached", time.monotonic() - start)


class _Words:
    """The sentence in which a stage, or else dvc itself, last said why it stopped."""

    def __init__(self):
        self.last, self._own = None, False

    def hear(self, line: str) -> None:
        """A line of what they print."""
        if line.startswith(DVC_MARK):
            self.last = self.last if self._own else f"dvc: {line.removeprefix(DVC_MARK)}"
        elif MARK in line and not line.startswith("> "):  # So dvc shows a command, before it runs it.
            self.last, self._own = line, True


def run_experiment(
    name: str,
    changes: list[str],
    root: Path,
    environment: dict[str, str],
    say: Callable[[str], None],
    targets: Sequence[str] = (),
) -> Outcome:
    """`dvc exp run` in a folder of its own, beside which others may run; its output said line by line.

    What its stages keep to go on from lies in the project, in `.work/experiments/NAME`: if the experiment is stopped,
    the next one of that name goes on from there, in another folder.

    Args:
        name: of the experiment; one of that name is replaced.
        changes: of params.yaml, `block.key=value` each.
        environment: of its stages, beside this process's.
        targets: stages to run with all that they need; none: all.

    Raises:
        StageFailed: dvc ended with an error.
    """
    start = time.monotonic()
    # Where there is none of that name this fails, which is as well.
    remove = demo.dvc("exp", "remove", "--quiet", name)
    subprocess.run(remove, cwd=root, env=demo.environment(), capture_output=True)
    options = [word for change in changes for word in ("--set-param", change)]
    command = demo.dvc("exp", "run", "--temp", "--name", name, *options, *targets)
    kept = root / paths.WORK / "experiments" / name
    words = _Words()

    def hear(line: str) -> None:
        words.hear(line)
        say(line)

    folders = {
        "SOFGAN_WORK": str(kept.resolve()),
        "SOFGAN_FEATURES": str((root / paths.FEATURES).resolve()),
    }
    if status := run_command(command, root, environment | folders, hear):
        raise StageFailed(f"experiment '{name}' failed: {words.last or f'dvc ended with {status}'}")
    shutil.rmtree(kept, ignore_errors=True)
    return Outcome(name, "ran", time.monotonic() - start)


def run_command(
    command: list[str], root: Path, environment: dict[str, str], say: Callable[[str], None]
) -> int:
    """A command whose output is said line by line; returns its exit status.

    Whatever ends this call early (a cancelled flow raises here) stops all that the command started; if this very
    process is killed, its leash does.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", str(LEASH), str(os.getpid()), *command],
        cwd=root,
        env={**demo.environment(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    _running.add(process)
    try:
        for line in process.stdout:
            if line.strip():
                say(line.rstrip())
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()  # The leash passes it on to the whole group.
            process.wait()
        _running.discard(process)
        process.stdout.close()


def stop_running() -> None:
    """Stop what other threads' calls of `run_command` have begun; these then return."""
    for process in list(_running):
        process.terminate()
