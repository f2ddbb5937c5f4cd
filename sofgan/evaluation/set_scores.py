"""All scores of one set of pictures against another, by each extractor, with intervals and floors."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sofgan.errors import InputError
from sofgan.evaluation.picture_sets import PictureSet
from sofgan.evaluation.set_features import SetFeatures, resize_in_words
from sofgan.progress import SILENT, Progress
from sofgan.scores import neighbors
from sofgan.scores.features import LiteFeatures
from sofgan.scores.figures import Figure
from sofgan.scores.frechet_interval import extrapolated_frechet, frechet_estimate
from sofgan.scores.intervals import GROUPS, Estimate
from sofgan.scores.kernel import kernel_estimate
from sofgan.scores.neighbors import neighbor_estimates
from sofgan.scores.sliced import sliced_distance
from sofgan.seeds import numpy_generator

FEWEST = GROUPS  # pictures a side, as the jackknife needs
LEAST = {"fd": 0, "precision": 0, "recall": 0, "density": 0, "coverage": 0, "mind": 0}  # that a score can be
MOST = {"precision": 1, "recall": 1, "coverage": 1}
NAMES = {
    "fd": "Frechet distance",
    "fd_inf": "extrapolated",
    "kd": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "mind": "sliced distance",
}


@dataclass(frozen=True)
class Scores:
    """Figures of one extractor by name: of all pictures, and of equal numbers that a floor could be had of.

    Attributes:
        whole: of A against B.
        equal: of as many pictures of A as half of B has, at most, against as many of B, with the floor of the other
            half of B against the same; {} where half of B is too few.
    """

    extractor: str
    whole: dict[str, Figure]
    equal: dict[str, Figure]


def estimates(painted: np.ndarray, real: np.ndarray, seed: int) -> dict[str, tuple[Estimate, int, int]]:
    """Each score of features (N, d) and (M, d) by name, with the number of pictures on both sides that it counts.

    Nearest neighbors are of at most `neighbors.MOST` a side, and the sliced distance of as many as the smaller side
    has: those are drawn by the seed.
    """
    painted, real = _shuffled(painted, seed, "painted"), _shuffled(real, seed, "real")
    counts = len(painted), len(real)
    near = tuple(min(count, neighbors.MOST) for count in counts)
    few = (min(counts),) * 2
    stream = numpy_generator(seed, "score", "draws")
    found = {
        "fd": (frechet_estimate(painted, real), *counts),
        "fd_inf": (extrapolated_frechet(painted, real, stream), *counts),
        "kd": (kernel_estimate(painted, real), *counts),
    }
    for name, estimate in neighbor_estimates(painted[: near[0]], real[: near[1]], stream).items():
        found[name] = estimate, *near
    found["mind"] = sliced_distance(painted[: few[0]], real[: few[1]], stream), *few
    return {name: (_within(name, estimate), *numbers) for name, (estimate, *numbers) in found.items()}


def _within(name: str, estimate: Estimate) -> Estimate:
    """The interval within what the score can be."""
    low, high = LEAST.get(name, -np.inf), MOST.get(name, np.inf)
    return dataclasses.replace(estimate, low=max(estimate.low, low), high=min(estimate.high, high))


def score(
    sets: tuple[PictureSet, PictureSet],
    taken: tuple[SetFeatures, SetFeatures],
    extractors: Sequence[LiteFeatures],
    size: int | None,
    seed: int,
    progress: Progress = SILENT,
) -> list[Scores]:
    """Scores of A against B, by extractor.

    Args:
        sets: A, whose pictures are scored, and B, which they are compared with.
        taken: features of both.
        size: to which pictures were resized first.
        seed: of halves, directions and draws.
        progress: listener, which gets the count of extractors.

    Raises:
        InputError: a side has fewer than `FEWEST` pictures.
    """
    for pictures, side in zip(sets, taken):
        count = len(side.features[extractors[0].name])
        if count < FEWEST:
            held = "one picture" if count == 1 else f"{count} pictures"
            raise InputError(
                f"{pictures.name}: {held} that can be read; scores need {FEWEST} a side at least"
            )
    found = []
    for one in extractors:
        progress.items(len(found), len(extractors), "extractors scored")
        found.append(_scores(sets, taken, one, size, seed))
    progress.items(len(found), len(extractors), "extractors scored")
    return found


def _scores(sets, taken, extractor: LiteFeatures, size: int | None, seed: int) -> Scores:
    painted, real = (side.features[extractor.name] for side in taken)
    settings = {
        "extractor": extractor.name.removeprefix("fd_"),
        "resize": resize_in_words(extractor, size),
        "painted_data": sets[0].digest,
        "real_data": sets[1].digest,
        "painted_size": sets[0].summary.sizes,
        "real_size": sets[1].summary.sizes,
        "painted_quality": sets[0].summary.words,
        "real_quality": sets[1].summary.words,
    }
    whole = {
        name: Figure.of(name, estimate, n_painted=n, n_real=m, **settings)
        for name, (estimate, n, m) in estimates(painted, real, seed).items()
    }
    count = min(len(painted), len(real) // 2)
    if count < FEWEST:
        return Scores(settings["extractor"], whole, {})
    some = _shuffled(painted, seed, "some")[:count]
    halves = _shuffled(real, seed, "halves")
    reference, others = halves[:count], halves[-count:]
    floors = estimates(others, reference, seed)
    equal = {
        name: Figure.of(name, estimate, n_painted=n, n_real=m, floor=floors[name][0].value, **settings)
        for name, (estimate, n, m) in estimates(some, reference, seed).items()
    }
    return Scores(settings["extractor"], whole, equal)


def _shuffled(features: np.ndarray, seed: int, name: str) -> np.ndarray:
    return features[numpy_generator(seed, "score", "order", name).permutation(len(features))]


def table(scores: Scores) -> str:
    """Lines for a terminal: each score with its interval, the same at the floor's numbers, and the floor."""
    first = scores.whole["fd"]
    head = ["", f"{first.n_painted} against {first.n_real} [95 %]"]
    if scores.equal:
        count = scores.equal["fd"].n_real
        head += [f"{count} against {count} [95 %]", "floor"]
    rows = [head]
    for name, label in NAMES.items():
        figure = scores.whole[name]
        few = (figure.n_painted, figure.n_real)
        counted = "" if few == (first.n_painted, first.n_real) else f", {few[0]} against {few[1]}"
        row = [label + counted, in_words(figure)]
        if scores.equal:
            row += [in_words(scores.equal[name]), f"{scores.equal[name].floor:.4g}"]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    about = f"{scores.extractor}: {first.resize}"
    data = f"pictures {first.painted_data[:12]} against {first.real_data[:12]} (sha256)"
    return "\n".join((about, data, *lines))


def in_words(figure: Figure) -> str:
    """Value with its interval."""
    return f"{figure.value:.4g} [{figure.low:.4g}, {figure.high:.4g}]"


def to_mapping(scores: Sequence[Scores]) -> dict:
    """Plain data, as JSON takes it: figures by extractor, and by whether they are of all pictures."""
    return {
        one.extractor: {
            part: {name: figure.to_mapping() for name, figure in figures.items()}
            for part, figures in (("all", one.whole), ("equal_numbers", one.equal))
        }
        for one in scores
    }
