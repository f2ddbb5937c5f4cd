"""Pictures that are most unlike photos, by the Mahalanobis distance of their features, as a sheet."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sofgan.errors import InputError
from sofgan.images import sheet
from sofgan.scores.mahalanobis import mahalanobis

COMMON = 0.95  # share of photos that are no further from others than is common


@dataclass(frozen=True)
class Worst:
    """Pictures in order, the most unlike first.

    Attributes:
        rows: numbers (K,) of the pictures.
        distances: (K,) theirs.
        ranks: (K,) share of other photos that lie as far from the photos, or further: 0 is further than all of them.
        unlike: share of all painted pictures that lie further from the photos than `COMMON` of other photos do.
    """

    rows: np.ndarray
    distances: np.ndarray
    ranks: np.ndarray
    unlike: float


def worst_samples(painted: np.ndarray, photos: np.ndarray, count: int) -> Worst:
    """The painted pictures that are most unlike photos.

    One half of the photos is the reference; by the other it is known how far photos lie that it does not hold. Photos
    of a person follow each other in a store, so halves are its first and second: one person at most is in both.

    Args:
        painted: features (N, d).
        photos: features (M, d), M at least 4, in the order of their store.
        count: of pictures, at most.

    Raises:
        InputError: there are too few photos.
    """
    if len(photos) < 4:
        raise InputError(f"{len(photos)} photos are too few to tell what is unlike them: 4 are needed")
    reference, others = photos[: (len(photos) + 1) // 2], photos[(len(photos) + 1) // 2 :]
    distances = mahalanobis(painted, reference)
    own = np.sort(mahalanobis(others, reference))
    rows = np.argsort(-distances, kind="stable")[:count]
    ranks = 1 - np.searchsorted(own, distances[rows], side="left") / len(own)
    unlike = float((distances > np.quantile(own, COMMON)).mean())
    return Worst(rows, distances[rows], ranks, unlike)


def worst_sheet(worst: Worst, picture: Callable[[int], np.ndarray], columns: int) -> np.ndarray:
    """Sheet of the pictures, row by row from the most unlike one.

    Args:
        picture: a picture (R, R, 3) uint8 by its number.

    Returns:
        (rows * R, columns * R, 3) uint8.
    """
    return sheet(np.stack([picture(int(row)) for row in worst.rows]), columns)
