"""Frechet distance between two sets of feature vectors, each seen as a Gaussian.

d^2 = |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))

A number means nothing without its extractor, its resize and N beside it: N biases it upwards. scipy's
`sqrtm` is not used: slower, and its signature changes between releases.
"""

import numpy as np

from sofgan.errors import InputError

BLOCK = 4096  # features that are made float64 at a time


class FeatureStatistics:
    """Mean and covariance of feature vectors, accumulated in float64; sets merge exactly (Chan et al.)."""

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean = np.zeros(dim)
        self.scatter = np.zeros((dim, dim))

    @classmethod
    def of(cls, features: np.ndarray) -> "FeatureStatistics":
        """Statistics of (N, d) features, which are taken up in blocks: no second copy of all is made."""
        statistics = cls(features.shape[1])
        for start in range(0, len(features), BLOCK):
            statistics.update(features[start : start + BLOCK])
        return statistics

    def update(self, features: np.ndarray) -> "FeatureStatistics":
        """Add (N, d) features. Returns itself."""
        features = _checked(features, len(self.mean))
        if len(features) == 0:
            return self
        batch = FeatureStatistics(len(self.mean))
        batch.count = len(features)
        batch.mean = features.mean(0)
        centred = features - batch.mean
        batch.scatter = centred.T @ centred
        return self.merge(batch)

    def merge(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """Add another set's statistics. Returns itself."""
        if len(other.mean) != len(self.mean):
            raise ValueError(f"features of {len(other.mean)} and {len(self.mean)} dimensions do not merge")
        total = self.count + other.count
        if total == 0:
            return self
        shift = other.mean - self.mean
        self.scatter = (
            self.scatter + other.scatter + np.outer(shift, shift) * (self.count * other.count / total)
        )
        self.mean = self.mean + shift * (other.count / total)
        self.count = total
        return self

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance, (d, d).

        Raises:
            InputError: fewer than two vectors were seen.
        """
        if self.count < 2:
            raise InputError(f"a covariance needs two vectors at least, not {self.count}")
        return self.scatter / (self.count - 1)


def gaussian_frechet(mean1, covariance1, mean2, covariance2) -> float:
    """Squared Frechet distance of two Gaussians.

    With C1 = L L', tr((C1 C2)^(1/2)) is the sum of the roots of the eigenvalues of L' C2 L: one factorization and one
    symmetric eigenproblem. The factorization is Cholesky's with pivots, so that a covariance of any rank needs nothing
    added to its diagonal.
    """
    mean1, mean2 = np.asarray(mean1, np.float64), np.asarray(mean2, np.float64)
    covariance2 = np.asarray(covariance2, np.float64)
    factor = semidefinite_factor(covariance1)
    cross = _roots(factor.T @ covariance2 @ factor).sum()
    difference = mean1 - mean2
    distance = difference @ difference + np.trace(covariance1) + np.trace(covariance2) - 2 * cross
    return float(max(distance, 0.0))


def semidefinite_factor(covariance: np.ndarray) -> np.ndarray:
    """L (d, r) with L L' = C, for a symmetric C (d, d) of rank r without negative eigenvalues."""
    return _pivoted(covariance)[0]


def _pivoted(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L (d, r) and the r rows of it that are lower triangular, in their order."""
    from scipy.linalg import lapack

    covariance = np.asarray(covariance, np.float64)
    packed, pivots, rank, _ = lapack.dpstrf(covariance, lower=1)
    order = pivots - 1
    factor = np.empty((len(covariance), rank))
    factor[order] = np.tril(packed)[:, :rank]
    return factor, order[:rank]


def _roots(matrix: np.ndarray) -> np.ndarray:
    """Roots of the eigenvalues of a symmetric matrix without negative ones; what rounding leaves of a zero is 0."""
    import torch  # its LAPACK takes a tenth of the time of NumPy's

    values = torch.linalg.eigvalsh(torch.from_numpy(0.5 * (matrix + matrix.T))).numpy()
    return np.sqrt(np.where(values > 4 * np.finfo(float).eps * values.max(initial=0.0), values, 0))


def frechet_distance(features1: np.ndarray, features2: np.ndarray) -> float:
    """Squared Frechet distance of two feature sets (N1, d) and (N2, d).

    With fewer vectors than dimensions the cross term is the nuclear norm of the N1 x N2 matrix of inner products of
    the centred sets, since (C1 C2) and its square share their non-zero eigenvalues: faster, with the same value.

    Raises:
        ValueError: fewer than two vectors on a side, differing dimensions, or a value that is not finite.
    """
    if features1.ndim != 2 or features1.shape[1:] != features2.shape[1:]:
        raise ValueError(f"features of shapes {features1.shape} and {features2.shape} can't be compared")
    if min(len(features1), len(features2)) < 2:
        raise ValueError(
            f"a Frechet distance needs two vectors a side, not {len(features1)}, {len(features2)}"
        )
    if min(len(features1), len(features2)) >= features1.shape[1]:
        one, two = FeatureStatistics.of(features1), FeatureStatistics.of(features2)
        return gaussian_frechet(one.mean, one.covariance, two.mean, two.covariance)
    features1 = _checked(features1, features1.shape[-1])
    features2 = _checked(features2, features1.shape[-1])
    if len(features1) > len(features2):
        features1, features2 = features2, features1
    (mean1, scaled1), (mean2, scaled2) = _scaled(features1), _scaled(features2)
    inner = scaled1 @ scaled2.T
    difference = mean1 - mean2
    distance = (
        difference @ difference + (scaled1**2).sum() + (scaled2**2).sum() - 2 * _roots(inner @ inner.T).sum()
    )
    return float(max(distance, 0.0))


def _scaled(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,), and rows (N, d) whose products with each other sum up to the covariance."""
    mean = features.mean(0)
    return mean, (features - mean) / np.sqrt(len(features) - 1)


def _checked(features: np.ndarray, dim: int) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.shape[1] != dim:
        raise ValueError(f"features of shape {features.shape}, expected (N, {dim})")
    if not np.isfinite(features).all():
        raise ValueError("features hold values that are not finite")
    return features
