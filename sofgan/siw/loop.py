"""The loop of a training that learns from photos and maps: batches in, reports and resumable states out."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sofgan import distributed
from sofgan.errors import UserError
from sofgan.session import Session
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import Batch


class TrainingDiverged(UserError, RuntimeError):
    """A loss or a weight is no longer finite. The last good state is on disk."""


class Training(Protocol):
    """What the loop asks of a training.

    Attributes:
        generator: the network that paints, as it learns.
        device: where it does.
        seen: photos shown so far.
    """

    generator: nn.Module
    device: torch.device
    seen: int

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Learn from a batch; scalars of the step, by name, on the device."""

    def state_dict(self) -> dict:
        """All that a resumed training needs."""

    def load_state_dict(self, state: dict) -> None:
        """Go on from such a state."""


def run(
    training: Training,
    batches: Callable[[int], Batch],
    config: TrainSiw,
    session: Session,
    look: Callable[[], dict[str, np.ndarray]],
    examine: Callable[[float, list[dict[str, float]]], dict[str, float]] | None = None,
) -> list[dict[str, float]]:
    """Train to `config.kimg` thousand photos, resuming where an equal training was stopped.

    Args:
        batches: gives the batch of a step.
        config: its `kimg`, `batch` and `report_every_kimg` count.
        session: its listener gets the count of images, and every `report_every_kimg`, when states are kept too,
            scalars and pictures.
        look: makes those pictures, by name; asked in the first process only.
        examine: scores what paints, by the thousands of photos that it has seen and the rows before; asked likewise,
            as `config.scores` has it. Its scores stand in the report's row.

    Returns:
        A row of scalars for each report.

    Raises:
        TrainingDiverged: a loss or a weight is not finite.
    """
    progress = session.progress
    total = max(1, round(1000 * config.kimg / config.batch))
    tick = max(1, round(1000 * config.report_every_kimg / config.batch))
    first, state = session.resume()
    rows = state.pop("rows") if state else []
    if state:
        training.load_state_dict(state)
    progress.items(first * config.batch, total * config.batch, "img")
    sums: dict[str, list] = {}
    for step in range(first, total):
        for name, value in training.step(step, batches(step)).items():
            total_and_count = sums.setdefault(name, [torch.zeros((), device=training.device), 0])
            total_and_count[0] += value
            total_and_count[1] += 1
        if training.device.type == "cpu" or step % 50 == 0:
            progress.items((step + 1) * config.batch, total * config.batch, "img")
        if (step + 1) % tick and step + 1 != total:
            continue

        # Look at it: the only place where the host waits for the device.
        scalars = {name: float(value) / count for name, (value, count) in sorted(sums.items())}
        if not (np.isfinite(list(scalars.values())).all() and _finite(training.generator)):
            kept = f" The last good state is in {session.states.folder}." if session.states else ""
            raise TrainingDiverged(
                f"losses at step {step + 1} are not finite: {scalars}.{kept} "
                "Smaller learning rates usually help, or a larger penalty on the critic where it has one"
            )
        sums = {}
        rows.append({"kimg": training.seen / 1000, **scalars})
        if distributed.rank() > 0:
            continue
        images = look()
        if examine is not None and config.scored_at(step + 1, tick, total):
            rows[-1] |= examine(rows[-1]["kimg"], rows[:-1])
        progress.scalars(step + 1, rows[-1])
        progress.images(step + 1, images)
        session.keep(step + 1, tick, total, lambda: {**training.state_dict(), "rows": rows})
    return rows


def _finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
