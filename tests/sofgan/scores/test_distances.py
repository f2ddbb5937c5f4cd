import numpy as np
import pytest
from scipy.linalg import sqrtm

from sofgan.scores.frechet import (
    FeatureStatistics,
    frechet_distance,
    gaussian_frechet,
    semidefinite_factor,
)
from sofgan.scores.kernel import kernel_distance, squared_mmd


def _features(count, dim, seed, shift=0.0):
    generator = np.random.default_rng(seed)
    return generator.normal(shift, 1, (count, dim)) @ generator.normal(0, 1, (dim, dim)) / np.sqrt(dim)


def test_diagonal_gaussians_have_the_analytic_distance():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 16.0])
    mean = np.array([1.0, 2.0, 3.0])
    expected = (mean**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert gaussian_frechet(mean, np.diag(a), 0 * mean, np.diag(b)) == pytest.approx(expected, rel=1e-12)


def test_the_route_equals_scipys_sqrtm():
    one, two = FeatureStatistics.of(_features(200, 12, 0)), FeatureStatistics.of(_features(150, 12, 1, 0.3))
    c1, c2 = one.covariance, two.covariance
    expected = ((one.mean - two.mean) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert gaussian_frechet(one.mean, c1, two.mean, c2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("counts", [(20, 30), (20, 90), (90, 20)])
def test_few_vectors_route_equals_the_covariance_route(counts):
    x, y = _features(counts[0], 40, 2), _features(counts[1], 40, 3, 0.2)
    one, two = FeatureStatistics.of(x), FeatureStatistics.of(y)
    expected = gaussian_frechet(one.mean, one.covariance, two.mean, two.covariance)
    # Tiny eigenvalues lose half of their digits in the covariance route's root, hence 1e-6.
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_identity_and_symmetry():
    x, y = _features(60, 8, 4), _features(70, 8, 5, 0.5)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)


def test_statistics_in_pieces_equal_the_whole():
    x = _features(101, 7, 6) + 1000  # A large mean, where sums of squares would lose digits.
    pieces = FeatureStatistics(7)
    for part in np.split(x, [1, 40, 40, 77]):
        pieces.update(part)
    other = FeatureStatistics.of(x[:30]).merge(FeatureStatistics.of(x[30:]))
    for statistics in (pieces, other):
        assert statistics.count == 101
        np.testing.assert_allclose(statistics.mean, x.mean(0), rtol=1e-13)
        np.testing.assert_allclose(statistics.covariance, np.cov(x.T), rtol=1e-9, atol=1e-12)


def test_many_features_are_taken_up_in_blocks(monkeypatch):
    import tracemalloc

    from sofgan.scores import frechet

    features = np.random.default_rng(0).normal(size=(20000, 8)).astype(np.float32)
    whole = FeatureStatistics(8).update(features)
    monkeypatch.setattr(frechet, "BLOCK", 1000)
    tracemalloc.start()
    statistics = FeatureStatistics.of(features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(statistics.covariance, whole.covariance, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(statistics.mean, whole.mean, rtol=1e-12)
    assert peak < features.nbytes  # In float64, and once more centred, all of them are four times that.


def test_bad_features_are_refused():
    with pytest.raises(ValueError, match="two vectors"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="shape"):
        frechet_distance(np.zeros((4, 3)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(np.full((4, 3), np.nan), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="merge"):
        FeatureStatistics(3).merge(FeatureStatistics(2))


def test_kernel_distance_is_unbiased_and_equals_the_plain_sum():
    x, y = _features(9, 4, 7), _features(11, 4, 8, 1.0)
    k = lambda a, b: (a @ b / 4 + 1) ** 3  # noqa: E731
    xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-10)
    # A subset has no vector twice, so that one of all is all.
    x, y = x[:9], y[:9]
    assert kernel_distance(x, y, np.random.default_rng(0), 5) == pytest.approx(
        (squared_mmd(x, y), 0), abs=1e-9
    )
    same = np.random.default_rng(9).normal(0, 1, (400, 4))
    mean, deviation = kernel_distance(same[:200], same[200:], np.random.default_rng(1), 20, 50)
    assert abs(mean) < 3 * deviation
    assert kernel_distance(same, same + 1, np.random.default_rng(1), 5, 50)[0] > 10 * deviation


def test_covariances_of_any_rank_need_nothing_added():
    generator = np.random.default_rng(10)
    few, other = generator.normal(size=(40, 5)) @ generator.normal(size=(5, 20)), _features(60, 20, 11, 0.3)
    one, two = FeatureStatistics.of(few), FeatureStatistics.of(other)
    assert semidefinite_factor(one.covariance).shape == (20, 5)
    basis = np.linalg.svd(one.covariance)[0][:, :5]  # where the first lives: the cross term knows no more
    c1, c2 = basis.T @ one.covariance @ basis, basis.T @ two.covariance @ basis
    expected = ((one.mean - two.mean) ** 2).sum() + np.trace(one.covariance) + np.trace(two.covariance)
    expected -= 2 * np.trace(sqrtm(c1 @ c2).real)
    for first, second in ((one, two), (two, one)):
        found = gaussian_frechet(first.mean, first.covariance, second.mean, second.covariance)
        assert found == pytest.approx(expected, rel=1e-6)
