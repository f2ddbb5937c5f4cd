"""Kernel distance (KID, Binkowski et al. 2018): unbiased, so it is comparable across N as Frechet is not."""

import numpy as np

from sofgan.errors import InputError
from sofgan.scores.intervals import Estimate, from_influences

MOST = 4000  # vectors a side in a block of the estimate with an interval


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(a, b) = (a.b / d + 1)^3 for rows of (N, d) and (M, d): (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of two feature sets; may be slightly negative."""
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise InputError(f"a kernel distance needs two vectors a side, not {n} and {m}")
    xx, yy = polynomial_kernel(x, x), polynomial_kernel(y, y)
    within_x = (xx.sum() - np.trace(xx)) / (n * (n - 1))
    within_y = (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within_x + within_y - 2 * polynomial_kernel(x, y).mean())


def kernel_distance(
    features1: np.ndarray,
    features2: np.ndarray,
    generator: np.random.Generator,
    subsets: int = 50,
    subset_size: int = 1000,
) -> tuple[float, float]:
    """KID as mean and standard deviation over random subsets.

    Args:
        features1, features2: (N, d) and (M, d).
        generator: draws the subsets.
        subset_size: vectors a side in each subset; the smaller set's size where that is less.
    """
    size = min(subset_size, len(features1), len(features2))

    def subset(features: np.ndarray) -> np.ndarray:
        return features[generator.choice(len(features), size, replace=False)].astype(np.float64)

    values = [squared_mmd(subset(features1), subset(features2)) for _ in range(subsets)]
    return float(np.mean(values)), float(np.std(values))


def kernel_estimate(features1: np.ndarray, features2: np.ndarray) -> Estimate:
    """Unbiased KID of all vectors (N, d) and (M, d), with its interval of 95 percent.

    It is the mean over disjoint blocks of at most `MOST` vectors a side, each with the first-order terms of its
    U-statistic as influences.
    """
    blocks = -(-max(len(features1), len(features2)) // MOST)
    values, sides = [], ([], [])
    for x, y in zip(*(np.array_split(some, blocks) for some in (features1, features2))):
        x, y = x.astype(np.float64), y.astype(np.float64)
        values.append(squared_mmd(x, y))
        between = polynomial_kernel(x, y)
        for own, across, found in ((x, between.mean(1), sides[0]), (y, between.mean(0), sides[1])):
            kernel = polynomial_kernel(own, own)
            term = 2 * ((kernel.sum(1) - np.diag(kernel)) / (len(own) - 1) - across)
            found.append(term - term.mean())
    return from_influences(np.mean(values), *(np.concatenate(side) for side in sides))
