"""Scores of generated portraits: how far from real ones, and whether they show what their maps say."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sofgan.labels import resize
from sofgan.parsing.parser import FaceParser
from sofgan.scores.features import LiteFeatures, NetworkFeatures
from sofgan.scores.frechet_interval import frechet_estimate, subsets_estimate
from sofgan.scores.inception import InceptionFeatures
from sofgan.scores.intervals import Estimate
from sofgan.scores.kernel import kernel_distance
from sofgan.scores.segmentation import ConfusionMatrix, frequent_classes
from sofgan.seeds import numpy_generator

KID_SUBSETS = 50
SUBSETS = 4  # over which a Frechet distance is averaged, where a set has more pictures than are compared


def make_extractors(
    names: Sequence[str], parser: FaceParser, inception_weights: str, device: torch.device | str
) -> list[nn.Module]:
    """Feature extractors on a device: `lite0`, `lite2`, `parser`, and FID's where its weights are given.

    Raises:
        FileNotFoundError: `inception_weights` is no file.
    """
    extractors: list[nn.Module] = []
    for name in names:
        if name == "parser":
            extractors.append(NetworkFeatures("fd_parser", parser.features, parser.config.size))
        else:
            extractors.append(LiteFeatures(name))
    if inception_weights:
        extractors.append(InceptionFeatures(inception_weights))
    return [extractor.to(device).eval() for extractor in extractors]


def draw(candidates: np.ndarray, limit: int, seed: int, name: str) -> np.ndarray:
    """At most `limit` of some indices, drawn by the seed and the set's name, in rising order."""
    order = numpy_generator(seed, "evaluate", "draw", name).permutation(len(candidates))
    return np.sort(np.asarray(candidates)[order[: min(limit, len(candidates))]])


def compare(
    painted: dict[str, np.ndarray],
    perfect: dict[str, np.ndarray],
    photos: dict[str, np.ndarray],
    suffix: str,
    kid_subset: int,
    seed: int,
) -> dict[str, float]:
    """Distances of painted pictures from photos by every extractor, and floors at the same number of pictures.

    Frechet distances grow where pictures are fewer, so a floor at another number says nothing: all three sets count as
    many as the smallest has. Where a set has more, values are means over `SUBSETS` random subsets.

    Args:
        painted: features (N, d) by extractor.
        perfect: of real photos that are none of `photos`: what nothing can be expected to beat.
        photos: of the photos that both are compared with.
        suffix: of the figures' names.
        kid_subset: pictures in a random subset of the kernel distance, at most.
        seed: of the subsets.

    Returns:
        `fd_lite0<suffix>`, `kd_lite0<suffix>`, the same with `_floor` behind, and so on, and `n_a_side<suffix>`; of
        each Frechet distance the interval's ends too, with `_low` and `_high` behind all that.
    """
    sets = (painted, perfect, photos)
    lengths = [len(next(iter(features.values()))) for features in sets]
    n = min(lengths)
    stream = numpy_generator(seed, "evaluate", "subsets", suffix)
    rounds = [
        [
            np.arange(n) if length == n else np.sort(stream.choice(length, n, replace=False))
            for length in lengths
        ]
        for _ in range(SUBSETS if max(lengths) > n else 1)
    ]
    values: dict[str, float] = {f"n_a_side{suffix}": n}
    for name in painted:
        kernel = numpy_generator(seed, "evaluate", "kid", suffix, name)
        for end, side in (("", 0), ("_floor", 1)):
            found = subsets_estimate(
                sets[side][name], photos[name], [(rows[side], rows[2]) for rows in rounds]
            )
            values |= _interval(f"{name}{suffix}{end}", found)
            values[f"{_kernel_name(name)}{suffix}{end}"] = kernel_distance(
                sets[side][name], photos[name], kernel, KID_SUBSETS, min(kid_subset, n)
            )[0]
    return values


def compare_all(
    painted: dict[str, np.ndarray], photos: dict[str, np.ndarray], suffix: str
) -> dict[str, float]:
    """Frechet distances by every extractor of as many painted pictures as photos, where no floor can be had.

    Returns:
        `fd_lite0<suffix>`, `fd_lite0<suffix>_low`, `fd_lite0<suffix>_high` and so on, and `n_a_side<suffix>`.
    """
    n = min(len(next(iter(features.values()))) for features in (painted, photos))
    values: dict[str, float] = {f"n_a_side{suffix}": n}
    for name in painted:
        values |= _interval(f"{name}{suffix}", frechet_estimate(painted[name][:n], photos[name][:n]))
    return values


def _interval(name: str, estimate: Estimate) -> dict[str, float]:
    """The value of a Frechet distance, and its interval's ends, which don't lie below 0."""
    return {name: estimate.value, f"{name}_low": max(estimate.low, 0.0), f"{name}_high": estimate.high}


def _kernel_name(name: str) -> str:
    return f"kd_{name.removeprefix('fd_')}" if name.startswith("fd_") else "kid"


class Control:
    """Whether painted portraits, parsed again, show the map that they were painted from."""

    def __init__(self, parser: FaceParser) -> None:
        self.parser = parser
        self.confusion = ConfusionMatrix()  # rows maps, columns what is seen

    def update(self, labels: np.ndarray, images: Tensor) -> None:
        """Compare maps (B, S, S) with parsed pictures (B, 3, R, R), at the pictures' resolution."""
        self.confusion.update(self.parser.parse(images), resize(labels, images.shape[-1]))

    def scores(self, frequent_share: float) -> dict[str, float]:
        """`control_scores` of what it saw."""
        return control_scores(self.confusion, frequent_share)


def control_scores(confusion: ConfusionMatrix, frequent_share: float) -> dict[str, float]:
    """mIoU over all classes and over frequent ones, accuracy, and IoU by class."""
    frequent = frequent_classes(confusion, frequent_share)
    return {
        "control_miou": confusion.miou(),
        "control_miou_frequent": confusion.miou(frequent),
        "control_classes_frequent": len(frequent),
        "control_accuracy": confusion.accuracy(),
        **{f"control_iou_{name}": value for name, value in confusion.per_class().items()},
    }
