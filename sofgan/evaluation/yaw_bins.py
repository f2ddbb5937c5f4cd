"""Distances by yaw: painted heads against photos that are turned as far.

Nobody tells how far the head on a photo is turned. Here a label map tells it: where nose, eyes, brows and mouth lie
within the face, and how much of ears and cheeks is seen on either side. How these go with yaw is fitted to views of the
field's heads, whose cameras are known, and then asked of all maps alike, so that both sides of a distance are sorted by
one rule. Errors of that rule blur the bins, on both sides.
"""

from collections.abc import Sequence

import numpy as np

from sofgan.evaluation.portraits import compare
from sofgan.evaluation.shards import Features, Maps
from sofgan.labels import (
    BROW,
    EAR,
    EYE,
    HAIR,
    L_LIP,
    L_NOSE,
    MOUTH,
    NECK,
    R_NOSE,
    SKIN,
    U_LIP,
)
from sofgan.runtime import map_pieces

BINS = {"0_10": (0.0, 10.0), "10_25": (10.0, 25.0), "25_up": (25.0, np.inf)}  # degrees either side
AT_ONCE = 256  # maps that are in memory
LEAST = 20  # pictures a side below which a bin has no distance
_NOSE, _LIPS = (R_NOSE, L_NOSE), (U_LIP, L_LIP, MOUTH)
_FACE = (SKIN, *_NOSE, EYE, BROW, *_LIPS)
_PARTS = (_NOSE, (EYE,), (BROW,), _LIPS, (HAIR,), (NECK,))
_RIDGE = 0.1  # by the mean square of a statistic


def map_statistics(labels: np.ndarray) -> np.ndarray:
    """Statistics (N, F) float64 of label maps (N, S, S), each of which changes its sign where a map is mirrored.

    Widths of a face are deviations of its columns, so that they don't depend on how near the camera is.
    """
    columns = np.arange(labels.shape[-1]) + 0.5

    def by_column(classes) -> np.ndarray:
        return np.isin(labels, classes).sum(1).astype(np.float64)  # (N, S) pixels

    def mean(counts: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
        area = counts.sum(1)
        return np.where(area > 0, counts @ columns / np.maximum(area, 1), otherwise)

    face = by_column(_FACE)
    middle = mean(face, labels.shape[-1] / 2)
    squares = (face * (columns - middle[:, None]) ** 2).sum(1) / np.maximum(face.sum(1), 1)
    width = np.sqrt(np.maximum(squares, 1.0))
    found = [(mean(by_column(part), middle) - middle) / width for part in _PARTS]
    nose = mean(by_column(_NOSE), middle)
    for part in ((SKIN,), (EAR,), (EYE,)):
        counts = by_column(part)
        right = (counts * np.sign(columns - nose[:, None])).sum(1)
        found.append(right / np.maximum(face.sum(1), 1))
    return np.stack(found, 1)


class YawOfMaps:
    """Yaw of heads by their label maps: linear in `map_statistics`, and of the other sign for a mirrored map.

    Args:
        labels: (N, S, S) uint8 maps of heads that were seen by known cameras.
        yaws_degrees: (N,).
    """

    def __init__(self, labels: np.ndarray, yaws_degrees: np.ndarray) -> None:
        self.weights = _fit(map_statistics(labels), np.asarray(yaws_degrees, np.float64))

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """(N,) degrees, of maps of any size."""
        return map_statistics(labels) @ self.weights

    def of_all(self, maps: Maps) -> np.ndarray:
        """(N,) degrees of maps that are read some at a time."""

        def some(rows: np.ndarray) -> np.ndarray:
            return self(np.stack([maps.labels(row) for row in rows.tolist()]))

        rows = np.arange(len(maps))
        parts = map_pieces(some, np.split(rows, range(AT_ONCE, len(maps), AT_ONCE)))
        return np.concatenate(list(parts))

    @staticmethod
    def error(labels: np.ndarray, yaws_degrees: np.ndarray) -> float:
        """Mean absolute error, degrees, on each half of the maps when fitted to the other."""
        statistics, yaws = map_statistics(labels), np.asarray(yaws_degrees, np.float64)
        even = np.arange(len(yaws)) % 2 == 0
        errors = [
            np.abs(statistics[~half] @ _fit(statistics[half], yaws[half]) - yaws[~half])
            for half in (even, ~even)
        ]
        return float(np.concatenate(errors).mean())


def _fit(statistics: np.ndarray, yaws: np.ndarray) -> np.ndarray:
    products = statistics.T @ statistics
    ridge = _RIDGE * np.maximum(np.diag(products), 1e-9)
    return np.linalg.solve(products + np.diag(ridge), statistics.T @ yaws)


def camera_yaws(cam2world: np.ndarray) -> np.ndarray:
    """Degrees (...) that cameras (..., 4, 4) look at the head from: 0 in front, positive from +X."""
    forward = np.asarray(cam2world, np.float64)[..., :3, 2]
    return np.degrees(np.arctan2(-forward[..., 0], -forward[..., 2]))


def rows_by_bin(yaws_degrees: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers of the pictures in each of `BINS`, by its name."""
    turned = np.abs(yaws_degrees)
    return {name: np.flatnonzero((low <= turned) & (turned < high)) for name, (low, high) in BINS.items()}


def compare_bins(
    painted: Features,
    perfect: Features,
    photos: Features,
    yaws_degrees: Sequence[np.ndarray],
    suffix: str,
    seed: int,
) -> dict[str, float]:
    """Frechet distances, and their floors at the same number of pictures, within each of `BINS`.

    Bins in which a side has fewer than `LEAST` pictures are left out.

    Args:
        painted, perfect, photos: as of `portraits.compare`.
        yaws_degrees: (N,) of each of these.
        suffix: of the figures' names, before the bin's.
        seed: of random subsets.

    Returns:
        `fd_lite0<suffix>_0_10`, the same with `_floor` behind, and so on, and `n_a_side<suffix>_0_10`.
    """
    bins, figures = [rows_by_bin(yaws) for yaws in yaws_degrees], {}
    for name in BINS:
        rows = [side[name] for side in bins]
        if min(map(len, rows)) < LEAST:
            continue
        sets = [
            {key: values[chosen] for key, values in features.items()}
            for features, chosen in zip((painted, perfect, photos), rows)
        ]
        found = compare(*sets, f"{suffix}_{name}", LEAST, seed)
        # Kernel distances of so few pictures say nothing that these don't.
        figures |= {key: value for key, value in found.items() if not key.startswith(("kd_", "kid"))}
    return figures
