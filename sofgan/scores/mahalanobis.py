"""Mahalanobis distance of features from a set's: how unlike that set a single picture is."""

import numpy as np

from sofgan.errors import InputError
from sofgan.scores.frechet import FeatureStatistics


def shrinkage(features: np.ndarray, statistics: FeatureStatistics) -> float:
    """Share of a multiple of the identity in Ledoit and Wolf's estimate (2004) of the covariance of (N, d), 0 to 1.

    The fewer vectors there are by dimensions, the more; without it, fewer vectors than dimensions have no distance.
    """
    count, dim = features.shape
    plain = statistics.scatter / count
    scale = np.trace(plain) / dim
    spread = (plain**2).sum() - dim * scale**2
    fourth = sum(
        (((features[start : start + 4096] - statistics.mean) ** 2).sum(1) ** 2).sum()
        for start in range(0, count, 4096)
    )
    noise = (fourth / count - (plain**2).sum()) / count
    return float(np.clip(noise / spread, 0, 1)) if spread > 0 else 1.0


def mahalanobis(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distances (N,) of features (N, d) from the mean of a reference set (M, d), by its covariance, which is shrunk.

    Of the reference's own kind, squares of distances are about d on average.

    Raises:
        InputError: the reference has fewer than two vectors, or all of them are equal.
    """
    from scipy.linalg import cho_factor, cho_solve

    features = np.asarray(features, np.float64)
    statistics = FeatureStatistics.of(reference)
    covariance, dim = statistics.covariance, reference.shape[1]
    scale = np.trace(covariance) / dim
    if not scale > 0:
        raise InputError("pictures that are all equal have no spread to measure distances by")
    share = max(shrinkage(np.asarray(reference, np.float64), statistics), 1e-6)
    factor = cho_factor((1 - share) * covariance + share * scale * np.eye(dim), lower=True)
    away = features - statistics.mean
    return np.sqrt((away * cho_solve(factor, away.T).T).sum(1))
