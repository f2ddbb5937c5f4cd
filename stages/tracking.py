"""The one door from a stage to trackers and terminals: metrics, images, status lines."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sofgan.files import write_json


class StageRun:
    """What a stage tells of itself while it runs. No method here raises because a tracker failed."""

    def __init__(self, stage: str, params, item: str | None):
        self.stage, self.params, self.item = stage, params, item
        self._last_line = 0.0

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """Scalars of a step."""

    def image(self, key: str, image: np.ndarray, step: int = 0) -> None:
        """An (H, W, 3) uint8 picture of a step."""

    def artifact(self, path: str | Path) -> None:
        """A file to keep with the run."""

    def status(self, text: str) -> None:
        """Show progress: one line rewritten on a terminal, a plain line every ten seconds elsewhere."""
        now = time.monotonic()
        if sys.stdout.isatty():
            print(f"\r\x1b[K{self.stage}: {text}", end="", flush=True)
        elif now - self._last_line >= 10:
            print(f"{self.stage}: {text}", flush=True)
            self._last_line = now

    def final(self, values: dict[str, float]) -> None:
        """Write the stage's metrics file, the truth that trackers mirror."""
        name = f"{self.stage}/{self.item}" if self.item else self.stage
        write_json(Path("metrics") / f"{name}.json", values)


@contextmanager
def stage_run(stage: str, params, item: str | None = None) -> Iterator[StageRun]:
    """The run of one stage; `item` is the batch of a stage that runs once a batch."""
    yield StageRun(stage, params, item)
