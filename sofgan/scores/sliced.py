"""Sliced distance of two sets of features (MIND): along random directions, sorted against sorted.

The mean squared difference over directions and ranks is multiplied by three times the features' length. It needs no
covariance. Few pictures bias it upwards, as they do a Frechet distance.
"""

import numpy as np

from sofgan.scores.intervals import Estimate, from_influences

DIRECTIONS = 1000
_AT_ONCE = 100  # directions in memory


def sliced_distance(
    features1: np.ndarray,
    features2: np.ndarray,
    generator: np.random.Generator,
    directions: int = DIRECTIONS,
) -> Estimate:
    """Sliced distance of (N, d) and (N, d), with the interval of 95 percent of its mean at that N.

    A vector's influence along a direction is the dual potential of the transport there: twice the integral of how far
    each place is moved.

    Args:
        generator: draws the directions.

    Raises:
        ValueError: the sets' shapes differ.
    """
    if features1.shape != features2.shape or features1.ndim != 2:
        raise ValueError(f"sliced distances are of as many vectors: {features1.shape}, {features2.shape}")
    x, y = (np.asarray(features, np.float64) for features in (features1, features2))
    count, dim = x.shape
    lines = generator.normal(size=(dim, directions))
    lines /= np.linalg.norm(lines, axis=0)
    total, influences = 0.0, np.zeros((2, count))
    for start in range(0, directions, _AT_ONCE):
        along = [side @ lines[:, start : start + _AT_ONCE] for side in (x, y)]
        orders = [np.argsort(side, axis=0, kind="stable") for side in along]
        ranked = [np.take_along_axis(side, order, 0) for side, order in zip(along, orders)]
        total += ((ranked[0] - ranked[1]) ** 2).mean(0).sum()
        for own, other, order, sums in zip(ranked, ranked[::-1], orders, influences):
            moved = 2 * (own - other)
            steps = np.diff(own, axis=0) * (moved[1:] + moved[:-1]) / 2
            potential = np.concatenate((np.zeros((1, own.shape[1])), np.cumsum(steps, 0)))
            potential -= potential.mean(0)
            placed = np.empty_like(potential)
            np.put_along_axis(placed, order, potential, 0)
            sums += placed.sum(1)
    scale = 3 * dim / directions
    return from_influences(total * scale, *(influences * scale))
