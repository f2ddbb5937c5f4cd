"""Scores of generated portraits: how far from real ones, and whether they show what their maps say."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sofgan.faces.parser import FaceParser
from sofgan.metrics.features import (
    InceptionFeatures,
    LiteFeatures,
    NetworkFeatures,
    extract,
    to_network_range,
)
from sofgan.metrics.frechet import frechet_distance, real_floor
from sofgan.metrics.kernel import kernel_distance
from sofgan.metrics.segmentation import ConfusionMatrix, frequent_classes
from sofgan.seeds import numpy_generator, torch_generator
from sofgan.siw.model import Siw

KID_SUBSETS = 50


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


def paint_all(
    siw: Siw, labels: np.ndarray, seed: int, name: str, batch: int, first: int = 0, count: int | None = None
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Each map painted once, each with a style and noise of its own.

    Args:
        labels: (N, S, S) uint8.
        name: of the set; seeds its styles.
        first, count: the maps are those from `first` on of a set of so many, and painted as among all of them;
            None: they are the set.

    Returns:
        Batches of maps (B, S, S) and pictures (B, 3, R, R) in [-1, 1].
    """
    z = siw.sample_z(count or len(labels), torch_generator(seed, "evaluate", "styles", name))[first:]
    for start in range(0, len(labels), batch):
        maps = labels[start : start + batch]
        seeds = range(first + start, first + start + len(maps))
        images = siw.paint(maps, siw.map_styles(z[start : start + len(maps)]), noise_seed=seeds)
        yield maps, images


def draw(count: int, limit: int, seed: int, name: str) -> np.ndarray:
    """At most `limit` of `count` indices, drawn by the seed and the set's name, in rising order."""
    order = numpy_generator(seed, "evaluate", "draw", name).permutation(count)
    return np.sort(order[: min(limit, count)])


def real_features(
    fetch: Callable[[int], np.ndarray], indices: np.ndarray, extractors, batch: int, device
) -> dict[str, np.ndarray]:
    """Features of real photos, `fetch(index)` (S, S, 3) uint8 at the generator's resolution."""
    batches = (
        to_network_range(np.stack([fetch(int(index)) for index in indices[start : start + batch]]))
        for start in range(0, len(indices), batch)
    )
    return extract(batches, extractors, device)


def distances(
    generated: dict[str, np.ndarray],
    real: dict[str, np.ndarray],
    suffix: str,
    kid_subset: int,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Frechet and kernel distance by every extractor, with both sides' N beside them.

    Returns:
        `fd_lite0<suffix>`, `kd_lite0<suffix>` and so on, `n_generated<suffix>`, `n_real<suffix>`. Distances at
        different N, or of different extractors, are not comparable.
    """
    values: dict[str, float] = {}
    for name, features in generated.items():
        values[f"{name}{suffix}"] = frechet_distance(features, real[name])
        kernel = f"kd_{name.removeprefix('fd_')}" if name.startswith("fd_") else "kid"
        values[f"{kernel}{suffix}"] = kernel_distance(
            features, real[name], generator, KID_SUBSETS, kid_subset
        )[0]
        values[f"n_generated{suffix}"] = len(features)
        values[f"n_real{suffix}"] = len(real[name])
    return values


def floors(real: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """Distance of two halves of the real set by every extractor: what perfect pictures would score at N/2."""
    values = {
        f"{name}_floor": real_floor(features, numpy_generator(seed, "evaluate", "floor", name))
        for name, features in real.items()
    }
    return values | {"n_floor": len(next(iter(real.values()))) // 2}


class Control:
    """Whether painted portraits, parsed again, show the map that they were painted from."""

    def __init__(self, parser: FaceParser) -> None:
        self.parser = parser
        self.confusion = ConfusionMatrix()  # rows maps, columns what is seen

    def update(self, labels: np.ndarray, images: Tensor) -> None:
        """Compare maps (B, S, S) with parsed pictures (B, 3, R, R), at the pictures' resolution."""
        size = images.shape[-1]
        places = ((np.arange(size) + 0.5) * labels.shape[1] / size).astype(int)
        self.confusion.update(self.parser.parse(images), labels[:, places][:, :, places])

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
