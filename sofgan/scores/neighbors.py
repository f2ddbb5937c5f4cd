"""Scores by nearest neighbours: improved precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem
et al. 2020).

Around each vector lies a ball that reaches to its k-th nearest neighbour of its own set. Precision is the share of
painted pictures within a real one's ball, recall the share of real pictures within a painted one's; density counts the
real balls that hold a painted picture, by k; coverage is the share of real balls that hold one.
"""

import numpy as np

from sofgan.scores.intervals import Estimate, jackknife

K_PRECISION, K_DENSITY = 3, 5  # neighbours, as published
MOST = 5000  # vectors a side: three matrices of so many squared distances are in memory


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, M) float64 between rows of (N, d) and (M, d)."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * (x @ y.T)
    return np.maximum(squares, 0)


def _scores(painted: np.ndarray, real: np.ndarray, between: np.ndarray) -> dict[str, float]:
    """The four scores from squared distances: (N, N) painted, (M, M) real, (N, M) between them."""

    def radii(own: np.ndarray, k: int) -> np.ndarray:
        return np.partition(own, k, axis=1)[:, k]  # a vector's nearest is itself

    within = between <= radii(real, K_DENSITY)
    return {
        "precision": float((between <= radii(real, K_PRECISION)).any(1).mean()),
        "recall": float((between <= radii(painted, K_PRECISION)[:, None]).any(0).mean()),
        "density": float(within.sum(1).mean() / K_DENSITY),
        "coverage": float(within.any(0).mean()),
    }


def neighbor_scores(painted: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """`precision`, `recall`, `density` and `coverage` of painted features (N, d) against real ones (M, d).

    Raises:
        ValueError: a side has no more vectors than neighbours are asked for, or more than `MOST`.
    """
    return _scores(*_matrices(painted, real))


def neighbor_estimates(
    painted: np.ndarray, real: np.ndarray, generator: np.random.Generator
) -> dict[str, Estimate]:
    """The same with intervals of 95 percent.

    Args:
        generator: draws the groups that are left out in turn.
    """
    own, others, between = _matrices(painted, real)

    def some(rows: np.ndarray, columns: np.ndarray) -> dict[str, float]:
        return _scores(
            own[np.ix_(rows, rows)], others[np.ix_(columns, columns)], between[np.ix_(rows, columns)]
        )

    return jackknife(some, between.shape, generator)


def _matrices(painted: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    few, many = min(len(painted), len(real)), max(len(painted), len(real))
    if few <= K_DENSITY or many > MOST:
        raise ValueError(
            f"neighbours are counted among {K_DENSITY + 1} to {MOST} vectors a side, not {few}, {many}"
        )
    matrices = [squared_distances(*pair) for pair in ((painted, painted), (real, real), (painted, real))]
    for own in matrices[:2]:
        np.fill_diagonal(own, 0)
    return tuple(matrices)
