"""Sittings of a training: who listens to it, and the states by which one goes on where another was stopped."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sofgan import distributed
from sofgan.files import write_bytes
from sofgan.fingerprint import say_anew, short_digest, write_fingerprint
from sofgan.progress import SILENT, Progress
from sofgan.training import serialize


class Checkpoints:
    """The resume states of one training, in a folder outside the stage's outs.

    Args:
        folder: made when the first state is saved.
        fingerprint: plain data that the training depends on, by name: its configuration, hashes of its inputs, and
            of its code. States with another fingerprint are not resumed, since they would give another result.
        keep: how many of the newest states stay.
    """

    def __init__(self, folder: str | Path, fingerprint, keep: int = 2):
        self.folder, self.fingerprint, self.keep = Path(folder), fingerprint, keep
        self.prefix = short_digest(fingerprint)

    def _states(self, prefix: str) -> list[tuple[int, Path]]:
        """Steps and files of states whose names begin so, oldest first."""
        pattern = re.compile(rf"{prefix}-(\d+)\.pt")
        found = [(pattern.fullmatch(path.name), path) for path in self.folder.glob("*.pt")]
        return sorted((int(match[1]), path) for match, path in found if match)

    def save(self, step: int, state: dict) -> None:
        """Keep a state (tensors and plain data, RNG states included) and drop older ones."""
        if not self._about(self.prefix).is_file():
            write_fingerprint(self._about(self.prefix), self.fingerprint)
        write_bytes(self.folder / f"{self.prefix}-{step:09d}.pt", serialize(state))
        for _, path in self._states(self.prefix)[: -self.keep]:
            path.unlink()
        # States of another configuration or code are of no use.
        for path in (*self.folder.glob("*.pt"), *self.folder.glob("*.json")):
            if not path.name.startswith(self.prefix):
                path.unlink()

    def latest(self) -> tuple[int, dict] | None:
        """The newest state of this very training, on the CPU, with its step, or None; why others can't be used is
        said."""
        states = self._states(self.prefix)
        if not states:
            self._say_why()
            return None
        step, path = states[-1]
        return step, torch.load(path, map_location="cpu", weights_only=True)

    def beside(self, name: str) -> Path:
        """Path of a further file of this very training, which stays with its states."""
        return self.folder / f"{self.prefix}-{name}"

    def kept_beside(self) -> dict[str, Path]:
        """Such files that are there, by their names."""
        states = {path for _, path in self._states(self.prefix)} | {self._about(self.prefix)}
        found = sorted(set(self.folder.glob(f"{self.prefix}-*")) - states)
        return {path.name.removeprefix(f"{self.prefix}-"): path for path in found}

    def _about(self, prefix: str) -> Path:
        """Path of the fingerprint of the states whose names begin so."""
        return self.folder / f"{prefix}.json"

    def _say_why(self) -> None:
        """Tell why the newest state in the folder, if there is one, is of no use."""
        if others := self._states(r"[0-9a-f]+"):
            step, path = max(others, key=lambda other: other[1].stat().st_mtime_ns)
            say_anew(
                f"{self.folder}: a training stopped after step {step}",
                self._about(path.name.partition("-")[0]),
                self.fingerprint,
            )


@dataclass(frozen=True)
class Session:
    """One sitting of a training, which goes on where an earlier one was stopped. It changes no result.

    Among several processes (`sofgan.distributed`) each has one; only the first of them reads and writes states.

    Attributes:
        progress: listener to the training.
        states: what an earlier sitting left, and where this one leaves its own; None: nowhere.
        clock: tells seconds, for those that a training reports.
    """

    progress: Progress = SILENT
    states: Checkpoints | None = None
    clock: Callable[[], float] = time.perf_counter

    def resume(self) -> tuple[int, dict | None]:
        """Step and state, on the CPU, from which all processes go on; 0 and None where they begin."""
        found = self.states.latest() if self._keeps() else None
        return distributed.from_first(found) or (0, None)

    def keep(self, step: int, every: int, total: int, state: Callable[[], dict]) -> None:
        """Save what `state` gives after each `every` steps, and after the last of `total`: what follows a training
        may be stopped too."""
        if self._keeps() and (step % every == 0 or step == total):
            self.states.save(step, state())

    def _keeps(self) -> bool:
        return self.states is not None and distributed.rank() == 0


UNWATCHED = Session()  # nobody listens, nothing is kept
