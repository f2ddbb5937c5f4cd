"""Whether sampled heads look like heads: statistics of their label views against those of training heads.

Heads are judged by label maps (N, V, H, W) uint8 from V cameras, the same for all; the cameras go from the
subject's right to the left around a frontal one in the middle (see `judging_poses`). A head's statistics are
class areas, parts that it has, where they lie, left-right asymmetry, and pieces that hang loose. How far they lie
outside the ranges of training heads is the head's score, and the score's rank among those of training heads, each
left out of the ranges in turn, is its p-value: of heads like those of training, 5 % have a p-value of 0.05 or less.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sofgan import cameras, runtime
from sofgan.cameras import Camera
from sofgan.scores.segmentation import pairwise_mean_iou
from sofgan.sof.config import Sampling
from sofgan.sof.head_statistics import statistics_table
from sofgan.sof.sampling import DEFAULT_SAMPLING, sample_codes

LEVEL = 0.05  # p-values up to it are called implausible
FEWEST_HEADS = math.ceil(1 / LEVEL)  # of a reference: with fewer none could have so low a p-value
TAIL = 0.02  # of training heads that a range leaves out on each side: a failed one shall not widen it

# A range of training heads is taken to be at least so wide: areas in square roots of shares of the image, places in
# image widths, asymmetry and border in shares, specks in pieces a view. A missing part weighs like two statistics
# a whole range off.
LEAST_WIDTH = {"area": 0.02, "part": 0.5, "place": 0.02, "face": 0.05, "loose": 0.01, "specks": 1.0}
LARGEST_EXCESS = 2.0  # ranges: beyond it a statistic counts no more
# Of these only more than in training is amiss.
UPPER_ONLY = (
    "face.asymmetry", "loose.stray", "loose.detached", "loose.holes", "specks.solid", "specks.thin"
)  # fmt: skip
MAX_TRIES = 6  # draws for a head; if none of them is plausible, the best of them is taken
JUDGED_AT_ONCE = 256  # heads whose views are in memory
FEWEST = 5  # training heads that a range is made from; a statistic that fewer have is not judged


@dataclass(frozen=True)
class JudgingViews:
    """Views by which heads are judged: yaws of their cameras in radians, and their size in pixels."""

    yaws: tuple[float, ...] = (-0.6, 0.0, 0.6)
    size: int = 128


THREE_VIEWS = JudgingViews()


def judging_poses(radius: float, yaws: tuple[float, ...]) -> np.ndarray:
    """(V, 4, 4) cam2world of level cameras at that distance (head units), from the subject's right to the left."""
    return cameras.orbit(np.array(yaws), np.zeros(len(yaws)), radius)


def render_heads(sof, codes: Tensor, views: JudgingViews = THREE_VIEWS) -> np.ndarray:
    """Label maps (N, V, size, size) uint8 of codes (N, Z) of a `sofgan.sof.sof.Sof` from the judging cameras."""
    around = Camera(judging_poses(sof.radius, views.yaws), sof.intrinsics, views.size)
    heads = runtime.map_pieces(lambda code: sof.render_views(code, around), codes, codes.device)
    return np.stack([np.stack([view.labels.cpu().numpy() for view in head]) for head in heads])


@dataclass(frozen=True)
class Scores:
    """Scores of N heads by `Reference.judge`."""

    score: np.ndarray  # (N,) 0: all within the training heads' ranges
    p_value: np.ndarray  # (N,) share of training heads that score as badly
    excess: np.ndarray  # (N, K) how far each statistic lies outside, in widths of its range
    statistics: np.ndarray  # (N, K), NaN where there was nothing to measure

    @property
    def plausible(self) -> np.ndarray:
        """(N,) bool."""
        return self.p_value > LEVEL


@dataclass(frozen=True)
class Reference:
    """Distribution of training heads' statistics; made by `fit_reference`.

    `low` and `high` (K,) bound the statistics of `names`; `mean` and `deviation` (K,) are of those that could be
    measured; `scores` (N,) are the training heads' own, each against the ranges of the others.
    """

    names: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    scores: np.ndarray

    def judge(self, maps: np.ndarray) -> Scores:
        """Score heads by their views (N, V, H, W) from the reference's cameras.

        Raises:
            ValueError: so many views have other statistics than the reference.
        """
        names, table = statistics_table(maps)
        if names != self.names:
            raise ValueError(f"{maps.shape[1]} views a head: the reference was made from another number")
        excess = _excess(self.names, table, self.low, self.high)
        score = _score(self.names, excess)
        at_least = (self.scores[None] >= score[:, None] - 1e-12).sum(1)
        p_value = (1 + at_least) / (1 + len(self.scores))
        return Scores(score, p_value, excess, table)


def fit_reference(maps: np.ndarray) -> Reference:
    """The reference of training heads' views (N, V, H, W): as the field renders them, or the truth.

    Raises:
        ValueError: there are fewer than FEWEST_HEADS.
    """
    if len(maps) < FEWEST_HEADS:
        raise ValueError(f"{len(maps)} heads can't be a reference: {FEWEST_HEADS} are the fewest")
    names, table = statistics_table(maps)
    low, high = _ranges(names, table)
    own = []
    for index in range(len(table)):
        others = np.delete(table, index, 0)
        own.append(_score(names, _excess(names, table[index : index + 1], *_ranges(names, others)))[0])
    known = np.isfinite(table)
    mean = np.where(known, table, 0).sum(0) / np.maximum(known.sum(0), 1)
    deviation = np.sqrt(np.where(known, (table - mean) ** 2, 0).sum(0) / np.maximum(known.sum(0), 1))
    return Reference(names, low, high, mean, deviation, np.array(own))


def _ranges(names: tuple[str, ...], table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (K,) of training heads' statistics (N, K); infinite where that way nothing is amiss."""
    ordered = np.sort(table, 0)  # NaNs come last
    known = np.isfinite(table).sum(0)
    column = np.arange(table.shape[1])

    def quantile(share: float) -> np.ndarray:
        position = share * np.maximum(known - 1, 0)
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, np.maximum(known - 1, 0))
        part = position - below
        return (1 - part) * ordered[below, column] + part * ordered[above, column]

    low, high = quantile(TAIL), quantile(1 - TAIL)
    low[np.isin(names, UPPER_ONLY)] = 0.0  # which none of them goes below
    high[[name.startswith("part.") for name in names]] = np.inf
    return np.where(known < FEWEST, -np.inf, low), np.where(known < FEWEST, np.inf, high)


def _excess(names: tuple[str, ...], table: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N, K) how far statistics lie outside their bounds, in widths of the training range, up to LARGEST_EXCESS.

    What can't be measured counts as inside: that a part is missing is a statistic of its own.
    """
    least = np.array([LEAST_WIDTH[name.split(".")[0]] for name in names])
    width = np.maximum(np.where(np.isfinite(high - low), high - low, least), least)
    outside = np.maximum(np.maximum(low - table, table - high), 0) / width
    return np.minimum(np.nan_to_num(outside, nan=0.0), LARGEST_EXCESS)


def _score(names: tuple[str, ...], excess: np.ndarray) -> np.ndarray:
    """(N,) sum of the excess (N, K), where a class' areas in the several views count as one statistic."""
    views = sum(name.startswith("area.skin.") for name in names)
    weights = np.array([1 / views if name.startswith("area.") else 1.0 for name in names])
    return excess @ weights


def summarise(reference: Reference, maps: np.ndarray, training: np.ndarray) -> dict[str, float]:
    """Figures of how plausible, how new and how various N sampled heads are.

    A sampler that returns training heads is plausible but not new; noise is new but not plausible; one head again and
    again may be both but is not various.

    Args:
        reference: from the same cameras.
        maps: (N, V, H, W) views of the samples, N at least 2.
        training: (M, H, W) frontal views of the training heads.

    Returns:
        share_plausible; both_eyes, the share with two eyes; specks, a view; novelty, 1 - the mean IoU with the most
        alike training head's frontal view; plausible_novelty, the same but 0 for implausible heads; diversity, 1 - the
        mean IoU of two samples' frontal views; and shift_<statistic>, the mean's distance from the training
        heads', in their standard deviations.
    """
    scores = reference.judge(maps)
    frontal = maps[:, maps.shape[1] // 2]
    column = {name: scores.statistics[:, i] for i, name in enumerate(reference.names)}
    novelty = 1 - pairwise_mean_iou(frontal, training).max(1)
    among = pairwise_mean_iou(frontal, frontal)[~np.eye(len(frontal), dtype=bool)]
    known = np.isfinite(scores.statistics)
    mean = np.where(known, scores.statistics, 0).sum(0) / np.maximum(known.sum(0), 1)
    shift = np.where(known.any(0), (mean - reference.mean) / np.maximum(reference.deviation, 1e-3), np.nan)
    return {
        "share_plausible": float(scores.plausible.mean()),
        "both_eyes": float((column["part.right_eye"] * column["part.left_eye"]).mean()),
        "specks": float((column["specks.solid"] + column["specks.thin"]).mean()),
        "novelty": float(novelty.mean()),
        "plausible_novelty": float((novelty * scores.plausible).mean()),
        "diversity": float(1 - among.mean()),
        **{f"shift_{name}": float(value) for name, value in zip(reference.names, shift)},
    }


def score_space(
    sof, count: int, generator: torch.Generator, views: JudgingViews = THREE_VIEWS
) -> dict[str, float]:
    """`summarise`, without the shifts, of `count` samples of the default method against the training heads.

    Args:
        sof: a `sofgan.sof.sof.Sof`.
        generator: on the CPU.

    Returns:
        {} where there are fewer than FEWEST_HEADS training heads.
    """
    if len(sof.training_codes) < FEWEST_HEADS:
        return {}
    training = render_heads(sof, sof.training_codes, views)
    samples = render_heads(sof, sample_codes(sof, count, generator), views)
    figures = summarise(fit_reference(training), samples, training[:, len(views.yaws) // 2])
    return {name: value for name, value in figures.items() if not name.startswith("shift_")}


class Candidates:
    """The best heads so far, of some that are drawn until each is plausible.

    Attributes:
        codes: (N, Z).
        p_values: (N,) of the heads; 0 where none was drawn yet.
        drawn: how many were drawn for them.
    """

    def __init__(self, codes: Tensor):
        """`codes` (N, Z) are overwritten."""
        self.codes, self.drawn = codes, 0
        self.score, self.p_values = np.full(len(codes), np.inf), np.zeros(len(codes))

    @property
    def wanted(self) -> np.ndarray:
        """Indices of those that are not plausible."""
        return np.flatnonzero(self.p_values <= LEVEL)

    def take(self, tried: Tensor, score: np.ndarray, p_values: np.ndarray) -> None:
        """Take those of the codes `tried` (W, Z), drawn for the W `wanted`, that score better."""
        wanted = self.wanted
        better = score < self.score[wanted]
        self.codes[torch.from_numpy(wanted[better])] = tried[torch.from_numpy(better)]
        self.score[wanted[better]], self.p_values[wanted[better]] = score[better], p_values[better]
        self.drawn += len(tried)


def judge_codes(
    sof, reference: Reference, codes: Tensor, views: JudgingViews = THREE_VIEWS
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and p-values (N,) of the heads of codes (N, Z), as of `Reference.judge`."""
    found = [reference.judge(render_heads(sof, part, views)) for part in codes.split(JUDGED_AT_ONCE)]
    scores, p_values = zip(*((one.score, one.p_value) for one in found))
    return np.concatenate(scores), np.concatenate(p_values)


@dataclass(frozen=True)
class PlausibleSamples:
    """Codes (N, Z) with the p-values (N,) of their heads, and how many were drawn and judged for them."""

    codes: Tensor
    p_values: np.ndarray
    drawn: int


def sample_plausible(
    sof,
    reference: Reference,
    count: int,
    generator: torch.Generator,
    sampling: Sampling = DEFAULT_SAMPLING,
    views: JudgingViews = THREE_VIEWS,
    max_tries: int = MAX_TRIES,
) -> PlausibleSamples:
    """Codes of new heads, implausible ones drawn again.

    Args:
        sof: a `sofgan.sof.sof.Sof`.
        reference: from the same `views`.
        generator: on the CPU.
        max_tries: draws for a head; if none of them is plausible, the best of them is taken.
    """
    candidates = Candidates(sof.codes.new_empty(count, sof.codes.shape[1]))
    for _ in range(max_tries):
        wanted = candidates.wanted
        if len(wanted) == 0:
            break
        tried = sample_codes(sof, len(wanted), generator, sampling)
        candidates.take(tried, *judge_codes(sof, reference, tried, views))
    return PlausibleSamples(candidates.codes, candidates.p_values, candidates.drawn)
