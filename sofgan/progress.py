"""Listeners to long computations, and the rates of loops.

The library takes a `Progress` and tells it how far a computation is; nothing that a listener does changes a result.
This module imports no torch, so that stages without a model stay quick to start.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np


class Progress:
    """Listener of one computation, which does nothing. Calls come from its main thread; a subclass overrides those that
    it wants."""

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:
        """Tell that `done` of `total` things are done, resumed ones included.

        A loop may also tell where it begins, since rates count from the first call.

        Args:
            unit: what the things are, in the plural: "steps of 3 groups".
            note: more to show beside the count.
        """

    def text(self, text: str) -> None:
        """Tell in a sentence what is being done."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Tell figures of a step, by name."""

    def images(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Tell pictures (H, W, 3) uint8 of a step, by name."""


SILENT = Progress()


class Part(Progress):
    """Listener of a part of a longer computation: it passes on a part's items as items of the whole.

    Args:
        whole: listener of the whole.
        before: items that were done when the part began.
        total: items of the whole.
    """

    def __init__(self, whole: Progress, before: int, total: int):
        self.whole, self.before, self.total = whole, before, total
        self.text, self.scalars, self.images = whole.text, whole.scalars, whole.images

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:  # noqa: ARG002
        """Tell that `done` items of the part are done, however many it has."""
        self.whole.items(self.before + done, self.total, unit, note)


class Throughput:
    """Rate and time left of a loop, for status lines."""

    def __init__(self, total: int, done: int = 0):
        self.total, self.first, self.done = total, done, done
        self.started = time.monotonic()

    def update(self, done: int) -> None:
        """Tell how many items are done."""
        self.done = done

    @property
    def per_second(self) -> float:
        """Items a second since this object was made."""
        return (self.done - self.first) / max(1e-9, time.monotonic() - self.started)

    @property
    def eta_seconds(self) -> float:
        """Seconds left at this rate."""
        return (self.total - self.done) / max(1e-9, self.per_second)

    def line(self, unit: str) -> str:
        """Status line, for example "120/2000 steps of 3 groups  12.3 steps/s  2:33 left"; the count alone at first."""
        count = f"{self.done}/{self.total} {unit}"
        if self.done <= self.first:
            return count
        left = int(self.eta_seconds)
        return f"{count}  {self.per_second:.1f} {unit.split()[0]}/s  {left // 60}:{left % 60:02d} left"


class Stopwatch:
    """Seconds since it was made, without those that pass in `paused`; `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock, self.started = clock, clock()

    @property
    def seconds(self) -> float:
        """Counted so far."""
        return self.clock() - self.started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock while a block runs."""
        counted = self.seconds
        try:
            yield
        finally:
            self.started = self.clock() - counted
