"""Scores of a painter while it learns, by photos and label maps of people that nothing is trained on.

They are of few pictures, so that they cost little of a training's time: enough to tell its states from one another, and
no result. The averaged generator is scored, always on the same maps in the same styles, which are those of `evaluate`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sofgan.images import to_network_range
from sofgan.runtime import map_pieces
from sofgan.scores.features import LiteFeatures
from sofgan.scores.frechet import frechet_distance
from sofgan.session import Checkpoints
from sofgan.siw.data import LazySource
from sofgan.siw.model import Siw, save_siw
from sofgan.siw.painted_sets import paint_all

SCORE = "running_fd_lite0"  # by which the best generator is told, where maps are of the photos that are learned from
FLOOR = f"{SCORE}_floor"
BEST = "best.pt"
BATCH = 16


@dataclass(frozen=True)
class Exam:
    """What a training is scored by; photos have the pictures' size.

    Attributes:
        trained_on: photos (N, R, R, 3) that are learned from: what pictures are compared with.
        held_out: photos (M, R, R, 3) of the same set that nothing is trained on.
        maps: label maps (K, L, L) of such photos, by the set's name: first those of `held_out`, then of other sets.
        seed: of the styles that maps are painted in.
    """

    trained_on: LazySource
    held_out: LazySource
    maps: Mapping[str, LazySource]
    seed: int


class RunningScores:
    """Frechet distances of a painter's pictures from photos that it learns from, by EfficientNet-lite0.

    A distance is of as many pictures as photos that are learned from, and its floor of as many that are held out.

    Args:
        images: pictures a side, at most.
    """

    def __init__(self, exam: Exam, images: int, device: torch.device | str):
        self.exam, self.device = exam, torch.device(device)
        self.count = min(images, len(exam.trained_on), len(exam.held_out))
        self.extractor = LiteFeatures("lite0").to(self.device).eval()
        self._floors: dict[int, float] = {}

    def __call__(self, painter) -> dict[str, float]:
        """Scores by name: `running_fd_lite0` by maps of the set that is learned from, the same with `_<set>_maps`
        behind by others', and with `_floor` behind of as many held-out photos themselves.

        Args:
            painter: `Siw`, or what has its `sample_z`, `map_styles`, `paint` and `generator.config.label_size`.
        """
        scores = {}
        for number, (name, source) in enumerate(self.exam.maps.items()):
            count = min(self.count, len(source))
            found = self._painted(painter, source, name, count)
            own = f"{SCORE}_{name}_maps" if number else SCORE
            scores[own] = frechet_distance(found, self._trained_on[:count])
            if number:
                scores[f"{own}_floor"] = self._floor(count)
        return scores | {FLOOR: self._floor(self.count)}

    @cached_property
    def _trained_on(self) -> np.ndarray:
        return self._features(self.exam.trained_on)

    @cached_property
    def _held_out(self) -> np.ndarray:
        return self._features(self.exam.held_out)

    def _floor(self, count: int) -> float:
        if count not in self._floors:
            self._floors[count] = frechet_distance(self._held_out[:count], self._trained_on[:count])
        return self._floors[count]

    def _features(self, photos: LazySource) -> np.ndarray:
        """(count, d) of the first photos."""

        def work(rows: range) -> np.ndarray:
            return self._of(to_network_range(photos.fetch(np.array(rows)), self.device))

        return np.concatenate(list(map_pieces(work, _batches(self.count), self.device)))

    def _painted(self, painter, source: LazySource, name: str, count: int) -> np.ndarray:
        """(count, d) of pictures of the first maps."""

        def work(rows: range) -> np.ndarray:
            maps = source.fetch(np.array(rows))
            ((_, pictures),) = paint_all(painter, maps, self.exam.seed, name, len(rows), rows.start)
            return self._of(pictures)

        return np.concatenate(list(map_pieces(work, _batches(count), self.device)))

    def _of(self, pictures: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return self.extractor(pictures).float().cpu().numpy()


def _batches(count: int) -> list[range]:
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def scored_rows(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Scores with their `kimg`, of the reports that have any."""
    return [
        {name: value for name, value in row.items() if name == "kimg" or name.startswith(SCORE)}
        for row in rows
        if SCORE in row
    ]


def best_row(rows: list[dict[str, float]]) -> dict[str, float] | None:
    """The earliest report with the best score, a number if any is one; None: there are no scores."""
    return min(scored_rows(rows), key=lambda row: (math.isnan(row[SCORE]), row[SCORE]), default=None)


@dataclass(frozen=True)
class Examiner:
    """Scores a training and keeps the generators that it is asked to.

    Attributes:
        scores: of a painter.
        painter: gives the painter as it is now.
        states: beside which the best generator is kept; None: none is.
        keep_all: the generator of every score is kept, too.
    """

    scores: Callable[[Siw], dict[str, float]]
    painter: Callable[[], Siw]
    states: Checkpoints | None = None
    keep_all: bool = False

    def __call__(self, kimg: float, rows: list[dict[str, float]]) -> dict[str, float]:
        """Scores of the painter as it is now.

        Args:
            kimg: thousands of photos that it has seen.
            rows: earlier reports.
        """
        painter = self.painter()
        scores = self.scores(painter)
        if self.states is not None:
            before, best = best_row(rows), self.states.beside(BEST)
            # A best one that is gone, with a folder that was copied in part, doesn't keep out the others.
            if before is None or scores[SCORE] < before[SCORE] or not best.is_file():
                save_siw(best, painter)
            if self.keep_all:
                save_siw(self.states.beside(f"kimg-{kimg:08.3f}.pt"), painter)
        return scores
