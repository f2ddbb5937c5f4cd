"""A training of the SIW StyleGAN, from its sources to the averaged generator."""

from dataclasses import replace

import numpy as np
import torch

from sofgan import distributed
from sofgan.session import UNWATCHED, Session
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import Batches, Sources
from sofgan.siw.loop import run
from sofgan.siw.model import Siw
from sofgan.siw.running_scores import Exam, Examiner, RunningScores
from sofgan.siw.sheets import restyle_strip, sample_grid
from sofgan.siw.training_step import SiwTraining


def train(
    sources: Sources,
    grid_labels: np.ndarray,
    config: TrainSiw,
    seed: int,
    device: torch.device | str,
    session: Session = UNWATCHED,
    exam: Exam | None = None,
) -> tuple[Siw, list[dict[str, float]]]:
    """Train to `config.kimg` thousand photos, resuming where an equal training was stopped.

    Under torchrun every process calls it; the first one reports and keeps states.

    Args:
        grid_labels: (rows, S, S) uint8 maps of the sample grid.
        session: its listener gets the count of images, and every `report_every_kimg`, when states are kept too,
            scalars and the pictures "samples/grid" and "samples/restyle".
        exam: by which it is scored on the way, as `config.scores` has it; generators that are kept then lie beside the
            session's states.

    Returns:
        The averaged generator, and a row of scalars for each report.

    Raises:
        TrainingDiverged: a loss or a weight is not finite.
        ValueError: there is a region critic, but the photos have no maps.
    """
    photo_labels = None
    if config.discriminator.region_weight or config.discriminator.palette_weight:
        photo_labels = sources.photo_labels
        if photo_labels is None:
            raise ValueError("critics of regions and palettes need the photos' own label maps")
    training = SiwTraining(config, seed, device, config.autocast and torch.device(device).type == "cuda")
    batches = Batches(config, replace(sources, photo_labels=photo_labels), seed, device)

    def look() -> dict[str, np.ndarray]:
        siw = Siw(training.ema, training.device)
        return {
            "samples/grid": sample_grid(siw, grid_labels, config.sample_grid[1], seed),
            "samples/restyle": restyle_strip(siw, grid_labels, seed),
        }

    examine = None
    if exam is not None and distributed.rank() == 0:
        scores = RunningScores(exam, config.scores.images, training.device)
        examine = Examiner(
            scores, lambda: Siw(training.ema, training.device), session.states, config.scores.keep_all
        )
    rows = run(training, batches, config, session, look, examine)
    return Siw(training.ema, training.device), rows
