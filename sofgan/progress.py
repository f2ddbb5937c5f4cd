"""Rate and time left of a loop. Imports no torch, so that stages without a model stay quick to start."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
        """Status line, for example "120/2000 steps  12.3 steps/s  2:33 left"."""
        left = int(self.eta_seconds) if self.done > self.first else 0
        return f"{self.done}/{self.total} {unit}  {self.per_second:.1f} {unit}/s  {left // 60}:{left % 60:02d} left"


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
