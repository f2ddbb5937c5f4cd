"""Frechet distances with intervals, at the number of pictures that there are and extrapolated to any number.

The distance's derivative by the weight of a picture, its influence, is known in closed form: with T the linear map
that brings the first Gaussian to the second, a vector x of the first set moves the distance by
2 (m1 - m2)'(x - m1) + (x - m1)'(I - T)(x - m1), less the mean of that over the set. The variance of the distance is
that of the mean influence (the infinitesimal jackknife), which takes one eigenproblem where a bootstrap takes hundreds.

Few pictures bias the distance upwards by about b / N. The plain interval is one of the mean distance at that N; that of
many pictures lies below it. The extrapolated distance is 2 d(N) - d(N / 2) (after Chong & Forsyth, 2020, who fit a line
to more sizes), with d(N / 2) the mean over halves of both sets, and its influences follow alike. What is left of the
bias is taken from the quarters: (8 d(N) - 6 d(N / 2) + d(N / 4)) / 3 would be free of 1 / N^2 too, and the interval is
widened by the difference of the two, and by twice that where vectors are fewer than dimensions: there the bias falls
more slowly than any such series, and the difference alone was seen to be too little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sofgan.scores.frechet import (
    BLOCK,
    FeatureStatistics,
    _checked,
    _pivoted,
    _scaled,
    frechet_distance,
)
from sofgan.scores.intervals import Estimate, Z, from_influences

SPLITS = 4  # random divisions into halves, over which d(N / 2) is a mean
FEWEST = 8  # vectors a side, so that a quarter has two


def frechet_influences(features1: np.ndarray, features2: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Squared Frechet distance of (N1, d) and (N2, d), and the influences (N1,), (N2,) of the vectors on it.

    Where both sides have more vectors than dimensions, they are made float64 by the block.

    Raises:
        ValueError: differing dimensions, or a value that is not finite.
    """
    dim = features1.shape[-1]
    if min(len(features1), len(features2)) > dim:
        sides, cross = _of_many(features1, features2)
    else:
        sides, cross = _of_few(_checked(features1, dim), _checked(features2, dim))
    difference = sides[0].mean - sides[1].mean
    found, value = [], difference @ difference - 2 * cross
    for side, away in zip(sides, (difference, -difference)):
        value += side.squares.sum() / (side.count - 1)
        excess = (side.squares - side.shares) * side.count / (side.count - 1)
        found.append(2 * side.along(away) + excess - excess.mean())
    return float(max(value, 0.0)), *found


@dataclass(frozen=True)
class _Side:
    """One set of N vectors x with mean m.

    Attributes:
        features: (N, d).
        mean: (d,).
        squares: |x - m|^2, (N,).
        shares: how much each has of (N - 1) tr((C1 C2)^(1/2)), (N,): (x - m)'T(x - m) in the first set, and by the
            inverse of T in the second.
    """

    features: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    shares: np.ndarray

    @property
    def count(self) -> int:
        return len(self.features)

    def along(self, direction: np.ndarray) -> np.ndarray:
        """(N,): the vectors, less their mean, along a direction (d,)."""
        return self.features @ direction - self.mean @ direction


def _of_many(features1: np.ndarray, features2: np.ndarray) -> tuple[tuple[_Side, _Side], float]:
    """Both sides, and tr((C1 C2)^(1/2)), of more vectors than dimensions."""
    from scipy.linalg import solve_triangular

    one, two = FeatureStatistics.of(features1), FeatureStatistics.of(features2)
    factor, order = _pivoted(one.covariance)
    roots, vectors = _eigen(factor.T @ two.covariance @ factor)
    forward = factor @ vectors

    def by_first(centred: np.ndarray) -> np.ndarray:
        white = solve_triangular(factor[order], centred[:, order].T, lower=True, check_finite=False)
        return ((white.T @ vectors) ** 2) @ roots

    def by_second(centred: np.ndarray) -> np.ndarray:
        return ((centred @ forward) ** 2) @ (1 / roots)

    sides = []
    for features, mean, share in ((features1, one.mean, by_first), (features2, two.mean, by_second)):
        squares, shares = np.empty((2, len(features)))
        for start in range(0, len(features), BLOCK):
            rows = slice(start, start + BLOCK)
            centred = features[rows] - mean
            squares[rows], shares[rows] = (centred**2).sum(1), share(centred)
        sides.append(_Side(features, mean, squares, shares))
    return tuple(sides), roots.sum()


def _of_few(features1: np.ndarray, features2: np.ndarray) -> tuple[tuple[_Side, _Side], float]:
    """The same of sets of which one has no more vectors than dimensions: by the products of the vectors."""
    (mean1, rows1), (mean2, rows2) = _scaled(features1), _scaled(features2)
    inner = rows1 @ rows2.T
    if len(rows1) <= len(rows2):
        roots, vectors = _eigen(inner @ inner.T)
        shares = (vectors**2) @ roots, ((inner.T @ vectors) ** 2) @ (1 / roots)
    else:
        roots, vectors = _eigen(inner.T @ inner)
        shares = ((inner @ vectors) ** 2) @ (1 / roots), (vectors**2) @ roots
    sides = tuple(
        _Side(features, mean, (len(rows) - 1) * (rows**2).sum(1), (len(rows) - 1) * share)
        for features, mean, rows, share in (
            (features1, mean1, rows1, shares[0]),
            (features2, mean2, rows2, shares[1]),
        )
    )
    return sides, roots.sum()


def _eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Roots (r,) of the eigenvalues that are more than rounding, and their vectors (n, r), of a symmetric matrix."""
    import torch  # its LAPACK takes a tenth of the time of NumPy's

    values, vectors = torch.linalg.eigh(torch.from_numpy(0.5 * (matrix + matrix.T)))
    values, vectors = values.numpy(), vectors.numpy()
    kept = values > 4 * np.finfo(float).eps * max(values.max(), 0)
    return np.sqrt(values[kept]), vectors[:, kept]


def frechet_estimate(features1: np.ndarray, features2: np.ndarray) -> Estimate:
    """Squared Frechet distance at this number of vectors; the interval of 95 percent is of its mean at that number."""
    return from_influences(*frechet_influences(features1, features2))


def subsets_estimate(
    features1: np.ndarray, features2: np.ndarray, subsets: Sequence[tuple[np.ndarray, np.ndarray]]
) -> Estimate:
    """Mean squared Frechet distance of subsets of two sets; the interval of 95 percent is of its mean at their number.

    A picture's influence is that on all the subsets that it is in, so the interval is narrower where subsets are more
    and have fewer pictures in common.

    Args:
        features1, features2: (N1, d) and (N2, d).
        subsets: numbers of the vectors on both sides.
    """
    values, sides = [], [np.zeros(len(features)) for features in (features1, features2)]
    for rows in subsets:
        value, *found = frechet_influences(features1[rows[0]], features2[rows[1]])
        values.append(value)
        for side, chosen, influences in zip(sides, rows, found):
            side[chosen] += influences * (len(side) / len(chosen) / len(subsets))
    return from_influences(np.mean(values), *sides)


def extrapolated_frechet(
    features1: np.ndarray, features2: np.ndarray, generator: np.random.Generator
) -> Estimate:
    """Squared Frechet distance of any number of vectors, with its interval of 95 percent; may be slightly negative.

    Args:
        features1, features2: (N1, d) and (N2, d), at least `FEWEST` each.
        generator: draws the halves.

    Raises:
        ValueError: there are fewer vectors.
    """
    if min(len(features1), len(features2)) < FEWEST:
        raise ValueError(f"an extrapolation needs {FEWEST} vectors a side at least")
    whole, *influences = frechet_influences(features1, features2)
    influences = [2 * values for values in influences]
    halves, quarters = [], []
    for _ in range(SPLITS):
        orders = [generator.permutation(len(features)) for features in (features1, features2)]
        for part in range(2):
            rows = [order[part::2] for order in orders]
            value, *found = frechet_influences(features1[rows[0]], features2[rows[1]])
            halves.append(value)
            for values, chosen, some in zip(influences, rows, found):
                values[chosen] -= some / SPLITS
        quarters += [
            frechet_distance(features1[orders[0][part::4]], features2[orders[1][part::4]])
            for part in range(4)
        ]
    half, quarter = np.mean(halves), np.mean(quarters)
    value = 2 * whole - half
    left = abs((8 * whole - 6 * half + quarter) / 3 - value)
    if min(len(features1), len(features2)) < features1.shape[1]:
        left *= 2
    spread = np.hypot(from_influences(value, *influences).error, left / Z)
    return Estimate.of(float(value), float(spread))
