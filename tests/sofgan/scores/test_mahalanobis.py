"""Distances of Gaussians whose covariance is known."""

import numpy as np
import pytest

from sofgan.errors import InputError
from sofgan.scores.frechet import FeatureStatistics
from sofgan.scores.mahalanobis import mahalanobis, shrinkage

DEVIATIONS = np.array([4.0, 2.0, 1.0, 0.5])


def test_many_vectors_give_the_distance_by_their_covariance():
    stream = np.random.default_rng(0)
    reference = stream.normal(size=(20_000, 4)) * DEVIATIONS + 3
    some = stream.normal(size=(50, 4)) * DEVIATIONS * 2 + 3
    expected = np.sqrt((((some - 3) / DEVIATIONS) ** 2).sum(1))
    np.testing.assert_allclose(mahalanobis(some, reference), expected, rtol=0.05)
    assert shrinkage(reference, FeatureStatistics.of(reference)) < 0.001


def test_the_shrinkage_is_that_of_the_definition():
    """Ledoit and Wolf's, lemmas 3.2 to 3.4, matrix by matrix."""
    rows = np.random.default_rng(1).normal(size=(30, 6)) * np.arange(1, 7)
    centred = rows - rows.mean(0)
    plain = centred.T @ centred / 30
    scale = np.trace(plain) / 6
    spread = ((plain - scale * np.eye(6)) ** 2).sum()
    noise = sum(((np.outer(row, row) - plain) ** 2).sum() for row in centred) / 30**2
    assert shrinkage(rows, FeatureStatistics.of(rows)) == pytest.approx(min(noise, spread) / spread)


def test_fewer_vectors_than_dimensions_still_tell_what_is_far():
    stream = np.random.default_rng(2)
    spectrum = np.arange(1, 201) ** -0.5
    reference, own = (stream.normal(size=(count, 200)) * spectrum for count in (60, 30))
    far = stream.normal(size=(30, 200)) * spectrum * 2
    assert mahalanobis(far, reference).min() > np.median(mahalanobis(own, reference))
    assert np.isfinite(mahalanobis(own, reference)).all()


def test_a_reference_without_spread_is_refused():
    with pytest.raises(InputError, match="no spread"):
        mahalanobis(np.ones((2, 3)), np.ones((5, 3)))
