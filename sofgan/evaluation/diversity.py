"""Diversity: how much two styles change the picture of one label map, all of it and by region.

Two distances between the pictures of a map, each the mean over pairs of styles: that of features (LPIPS' use, with any
network), and that of colors, pixel by pixel. A region's are of pictures in which all else is gray, and of its pixels.
Only one painter's figures compare with another's on the same maps, extractor and number of styles; feature distances of
regions also grow with their size.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sofgan import runtime
from sofgan.evaluation.intervals import over_heads
from sofgan.evaluation.restyling import LEAST_AREA
from sofgan.labels import resize
from sofgan.seeds import torch_generator
from sofgan.siw.model import Siw
from sofgan.siw.sheets import REGIONS


def pair_distance(vectors: Tensor) -> float:
    """Mean Euclidean distance over all pairs of rows (K, d), K at least 2."""
    return float(torch.pdist(vectors.double()).mean())


def color_distance(images: Tensor, inside: Tensor) -> float:
    """Mean Euclidean distance of colors over pixels and over all pairs of pictures.

    Args:
        images: (K, 3, R, R), K at least 2.
        inside: (R, R) bool, the pixels that count, at least one.
    """
    colors = images[:, :, inside].double()  # (K, 3, n)
    first, second = torch.triu_indices(len(images), len(images), 1).tolist()
    return float(np.mean([(colors[a] - colors[b]).norm(dim=0).mean().item() for a, b in zip(first, second)]))


def diversity(
    siw: Siw,
    labels: np.ndarray,
    extract: Callable[[Tensor], Tensor],
    styles: int,
    seed: int,
    batch: int = 16,
) -> dict[str, float]:
    """Distances between styles on one map, whole and by region, means over maps with intervals over maps.

    Args:
        labels: (N, S, S) uint8, N at least 2; each is painted with styles of its own, and one noise.
        extract: features (B, d) of pictures (B, 3, R, R) in [-1, 1].
        styles: for each map, at least 2.
        seed: of styles.
        batch: pictures at once.

    Returns:
        `feature_distance`, `color_distance` and, for regions that two maps show enough of, the same with `_hair` and so
        on behind; each with `_low` and `_high` beside it.

    Raises:
        ValueError: there are fewer than two maps or styles.
    """
    if min(len(labels), styles) < 2:
        raise ValueError(f"distances between styles need two maps and styles, not {len(labels)} and {styles}")

    def measure(number: int) -> dict[str, float]:
        stream = torch_generator(seed, "metrics", "diversity", number)
        w = siw.map_styles(siw.sample_z(styles, stream))
        map_here = labels[number : number + 1]
        images = torch.cat([siw.paint(np.repeat(map_here, len(some), 0), some) for some in w.split(batch)])
        shown = torch.from_numpy(resize(map_here, siw.resolution)[0]).to(images.device)
        parts = {"": torch.ones_like(shown, dtype=torch.bool)}
        for name, classes in REGIONS.items():
            parts[f"_{name}"] = torch.isin(
                shown, torch.tensor(classes, device=shown.device, dtype=shown.dtype)
            )
        found = {}
        with torch.inference_mode():
            for end, inside in parts.items():
                if inside.float().mean() < LEAST_AREA:
                    continue
                features = torch.cat([extract(some * inside) for some in images.split(batch)])
                found[f"feature_distance{end}"] = pair_distance(features)
                found[f"color_distance{end}"] = color_distance(images, inside)
        return found

    measured = list(runtime.map_pieces(measure, range(len(labels)), siw.device))
    figures = {}
    for name in dict.fromkeys(name for found in measured for name in found):
        values = np.array([[found[name]] for found in measured if name in found])
        if len(values) > 1:
            figures |= over_heads(_mean, values, name)
    return figures


def _mean(values: np.ndarray) -> np.ndarray:
    return values[..., 0].mean(-1)
