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

import numpy as np

from sofgan.scores.frechet import _checked, _pivoted, _scaled, frechet_distance
from sofgan.scores.intervals import Estimate, Z, from_influences

SPLITS = 4  # random divisions into halves, over which d(N / 2) is a mean
FEWEST = 8  # vectors a side, so that a quarter has two


def frechet_influences(features1: np.ndarray, features2: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Squared Frechet distance of (N1, d) and (N2, d), and the influences (N1,), (N2,) of the vectors on it.

    Raises:
        ValueError: differing dimensions, or a value that is not finite.
    """
    dim = features1.shape[-1]
    features1, features2 = _checked(features1, dim), _checked(features2, dim)
    (mean1, rows1), (mean2, rows2) = _scaled(features1), _scaled(features2)
    shares1, shares2 = _shares(rows1, rows2)
    cross = shares1.sum()
    difference = mean1 - mean2
    found, value = [], difference @ difference - 2 * cross
    for rows, shares, away in ((rows1, shares1, difference), (rows2, shares2, -difference)):
        count = len(rows)
        squares = (rows**2).sum(1)
        value += squares.sum()
        along = 2 * np.sqrt(count - 1) * (rows @ away)
        found.append(along + count * (squares - shares) - (squares.sum() - shares.sum()))
    return float(max(value, 0.0)), *found


def _shares(rows1: np.ndarray, rows2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each row (N, d) has of tr((C1 C2)^(1/2)): x'Tx of the first set, y'T^(-1)y of the second."""
    import torch

    if len(rows1) > len(rows2):
        return _shares(rows2, rows1)[::-1]

    def eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = torch.linalg.eigh(torch.from_numpy(0.5 * (matrix + matrix.T)))
        values, vectors = values.numpy(), vectors.numpy()
        kept = values > 4 * np.finfo(float).eps * max(values.max(), 0)
        return np.sqrt(values[kept]), vectors[:, kept]

    if len(rows1) <= rows1.shape[1]:
        inner = rows1 @ rows2.T
        roots, vectors = eigen(inner @ inner.T)
        return (vectors**2) @ roots, ((inner.T @ vectors) ** 2) @ (1 / roots)
    from scipy.linalg import solve_triangular

    factor, order = _pivoted(rows1.T @ rows1)
    roots, vectors = eigen(factor.T @ (rows2.T @ rows2) @ factor)
    white = solve_triangular(factor[order], rows1[:, order].T, lower=True, check_finite=False)
    return ((white.T @ vectors) ** 2) @ roots, ((rows2 @ (factor @ vectors)) ** 2) @ (1 / roots)


def frechet_estimate(features1: np.ndarray, features2: np.ndarray) -> Estimate:
    """Squared Frechet distance at this number of vectors; the interval of 95 percent is of its mean at that number."""
    return from_influences(*frechet_influences(features1, features2))


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
