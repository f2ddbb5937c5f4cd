import numpy as np
import pytest
import torch

from sofgan.scores.frechet import frechet_distance
from sofgan.scores.kernel import squared_mmd
from sofgan.scores.neighbors import neighbor_estimates, neighbor_scores


def _sets(seed=0, painted=70, real=90, dim=6, shift=0.5):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(painted, dim)) + shift, generator.normal(size=(real, dim))


def test_scores_equal_plain_loops():
    painted, real = _sets()

    def radius(own, index, k):
        return sorted(np.linalg.norm(own - own[index], axis=1))[k]

    def inside(balls, k, points):
        radii = [radius(balls, index, k) for index in range(len(balls))]
        return np.array(
            [[np.linalg.norm(p - b) <= r for b, r in zip(balls, radii)] for p in points]
        )  # (points, balls)

    found = neighbor_scores(painted, real)
    within = inside(real, 5, painted)
    assert found["precision"] == pytest.approx(inside(real, 3, painted).any(1).mean())
    assert found["recall"] == pytest.approx(inside(painted, 3, real).any(1).mean())
    assert found["density"] == pytest.approx(within.sum() / 5 / len(painted))
    assert found["coverage"] == pytest.approx(within.any(0).mean())
    assert 0 < found["precision"] < 1 and 0 < found["recall"] < 1


def test_what_each_score_sees():
    generator = np.random.default_rng(1)
    real = generator.normal(size=(400, 4)) + 10 * (np.arange(400) % 2)[:, None]
    whole = generator.normal(size=(400, 4)) + 10 * (np.arange(400) % 2)[:, None]
    half = generator.normal(size=(400, 4))  # one of two modes
    good, dropped = neighbor_scores(whole, real), neighbor_scores(half, real)
    assert dropped["precision"] == pytest.approx(good["precision"], abs=0.08)
    assert dropped["recall"] < 0.6 * good["recall"] and dropped["coverage"] < 0.6 * good["coverage"]


def test_intervals_hold_the_mean_over_trials():
    trials = [neighbor_estimates(*_sets(seed, 150, 150), np.random.default_rng(0)) for seed in range(60)]
    for name in ("precision", "recall", "density", "coverage"):
        mean = np.mean([trial[name].value for trial in trials])
        assert np.mean([trial[name].low <= mean <= trial[name].high for trial in trials]) >= 0.9


def test_few_and_many_are_refused(monkeypatch):
    painted, real = _sets()
    with pytest.raises(ValueError, match="neighbours"):
        neighbor_scores(painted[:5], real)
    monkeypatch.setattr("sofgan.scores.neighbors.MOST", 80)
    with pytest.raises(ValueError, match="neighbours"):
        neighbor_scores(painted, real)


@pytest.mark.parametrize("count, dim", [(120, 24), (40, 60)])
def test_torch_fidelity_says_the_same(count, dim):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    painted, real = _sets(2, count, count, dim, 0.3)
    tensors = [torch.from_numpy(features) for features in (painted, real)]
    theirs = prc_features_to_metric(*tensors, verbose=False)
    ours = neighbor_scores(painted, real)
    assert ours["precision"] == pytest.approx(theirs["precision"], rel=1e-6)
    assert ours["recall"] == pytest.approx(theirs["recall"], rel=1e-6)
    statistics = [fid_features_to_statistics(features) for features in tensors]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet_distance(painted, real) == pytest.approx(theirs, rel=1e-6)
    theirs = kid_features_to_metric(*tensors, kid_subsets=1, kid_subset_size=count, verbose=False)
    assert squared_mmd(painted, real) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
