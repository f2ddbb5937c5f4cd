"""The loop of a training of the SIW StyleGAN: batches in, reports and resumable states out."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from sofgan import distributed
from sofgan.errors import UserError
from sofgan.session import UNWATCHED, Session
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import Batches, Sources
from sofgan.siw.model import Siw
from sofgan.siw.sheets import restyle_strip, sample_grid
from sofgan.siw.training_step import SiwTraining


class TrainingDiverged(UserError, RuntimeError):
    """A loss or a weight is no longer finite. The last good state is on disk."""


def train(
    sources: Sources,
    grid_labels: np.ndarray,
    config: TrainSiw,
    seed: int,
    device: torch.device | str,
    session: Session = UNWATCHED,
) -> tuple[Siw, list[dict[str, float]]]:
    """Train to `config.kimg` thousand photos, resuming where an equal training was stopped.

    Under torchrun every process calls it; the first one reports and keeps states.

    Args:
        grid_labels: (rows, S, S) uint8 maps of the sample grid.
        session: its listener gets the count of images, and every `report_every_kimg`, when states are kept too,
            scalars and the pictures "samples/grid" and "samples/restyle".

    Returns:
        The averaged generator, and a row of scalars for each report.

    Raises:
        TrainingDiverged: a loss or a weight is not finite.
        ValueError: there is a region critic, but the photos have no maps.
    """
    progress, photo_labels = session.progress, None
    if config.discriminator.region_weight or config.discriminator.palette_weight:
        photo_labels = sources.photo_labels
        if photo_labels is None:
            raise ValueError("critics of regions and palettes need the photos' own label maps")
    training = SiwTraining(config, seed, device, config.autocast and torch.device(device).type == "cuda")
    batches = Batches(config, replace(sources, photo_labels=photo_labels), seed, device)
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
                "A smaller learning rate or a larger r1_gamma usually helps"
            )
        sums = {}
        rows.append({"kimg": training.seen / 1000, **scalars})
        if distributed.rank() > 0:
            continue
        siw = Siw(training.ema, training.device)
        images = {
            "samples/grid": sample_grid(siw, grid_labels, config.sample_grid[1], seed),
            "samples/restyle": restyle_strip(siw, grid_labels, seed),
        }
        progress.scalars(step + 1, rows[-1])
        progress.images(step + 1, images)
        session.keep(step + 1, tick, total, lambda: {**training.state_dict(), "rows": rows})
    return Siw(training.ema, training.device), rows


def _finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
