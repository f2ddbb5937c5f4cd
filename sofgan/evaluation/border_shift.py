"""Control by border shift: a border of the label map is moved, and it is measured how far the painted border moves.

A region grows by some pixels into its neighbor. Both maps are painted in one style and noise, and parsed. What the
region gains in the parsed pictures, by what it gains in the maps, is the share of the way that the painted border went.
A parser that draws the border elsewhere, but always so, doesn't change that: it is asked for a difference alone.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from sofgan import runtime
from sofgan.evaluation.intervals import over_heads, ratio
from sofgan.labels import BACKGROUND, CLOTH, HAIR, resize
from sofgan.seeds import torch_generator
from sofgan.siw.model import Siw
from sofgan.siw.sheets import REGIONS

SHIFTS_PX = (2, 4, 8)  # of the painted picture
LEAST_BORDER = 0.25  # length of a border by the picture's side, below which a map doesn't count

# By name, the classes of the region that grows and of the one that it grows into.
BORDERS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "hair": ((HAIR,), (BACKGROUND,)),
    "hairline": (REGIONS["skin"], (HAIR,)),
    "cloth": ((CLOTH,), (BACKGROUND,)),
}


def grown(labels: np.ndarray, classes, into, pixels: float) -> np.ndarray:
    """A map (S, S) whose region of `classes` reaches `pixels` further into the region of `into`.

    The border moves along its normal. A pixel that changes takes the class of the region's nearest pixel.
    """
    region = np.isin(labels, classes)
    if not region.any():
        return labels.copy()
    distance, (rows, columns) = distance_transform_edt(~region, return_indices=True)
    # Pixels beside the region have distance 1, and their centers lie half a pixel beyond its border.
    moved = np.isin(labels, into) & (distance < pixels + 0.5)
    return np.where(moved, labels[rows, columns], labels)


def border_shifts(
    siw: Siw,
    labels: np.ndarray,
    parse: Callable[[Tensor], np.ndarray],
    seed: int,
    borders: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = BORDERS,
) -> dict[str, float]:
    """How far painted borders move where the map's are moved by `SHIFTS_PX`, pixels of the picture.

    Args:
        labels: (N, S, S) uint8, each painted in a style of its own.
        parse: label maps (B, R, R) of pictures (B, 3, R, R), as `FaceParser.parse` gives them.
        seed: of styles.
        borders: by name, the classes of the region that grows and those that it grows into.

    Returns:
        `border_shift_hair_2` and so on, for borders that are long enough on two maps: pixels, with intervals of 95
        percent over maps in `_low` and `_high`, and `border_shift_hair_maps`, on how many.
    """
    size = siw.resolution

    def measure(number: int) -> dict[str, np.ndarray]:
        w = siw.map_styles(siw.sample_z(1, torch_generator(seed, "metrics", "border shift", number)))
        own, found = labels[number], {}
        with torch.inference_mode():
            before = None
            for name, (classes, into) in borders.items():
                moved = np.stack([grown(own, classes, into, px * own.shape[-1] / size) for px in SHIFTS_PX])
                shown = resize(np.concatenate((own[None], moved)), size)
                both = np.isin(shown[0], (*classes, *into))  # elsewhere a parser's whims are none of this
                asked = _gains(shown, classes, both)
                if asked[0] < LEAST_BORDER * size * SHIFTS_PX[0]:
                    continue
                if before is None:
                    before = parse(siw.paint(own[None], w))
                after = np.concatenate([parse(siw.paint(one[None], w)) for one in moved])
                seen = _gains(np.concatenate((before, after)), classes, both)
                found[name] = np.stack((seen, asked), 1)
        return found

    measured = list(runtime.map_pieces(measure, range(len(labels)), siw.device))
    figures: dict[str, float] = {}
    for name in borders:
        values = np.array([found[name] for found in measured if name in found])  # (maps, shifts, 2) pixels
        if len(values) < 2:
            continue
        figures[f"border_shift_{name}_maps"] = len(values)
        for number, pixels in enumerate(SHIFTS_PX):
            scaled = values[:, number] * (pixels, 1)
            figures |= over_heads(ratio, scaled, f"border_shift_{name}_{pixels}")
    return figures


def _gains(maps: np.ndarray, classes, where: np.ndarray) -> np.ndarray:
    """(K,) pixels that a region has more in each map behind the first (1 + K, R, R) than in the first."""
    counts = (np.isin(maps, classes) & where).sum((1, 2)).astype(np.float64)
    return counts[1:] - counts[0]
