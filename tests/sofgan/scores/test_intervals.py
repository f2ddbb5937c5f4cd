"""Intervals of 95 percent: how often they hold what they are of, on Gaussians whose distance is known."""

import numpy as np
import pytest

from sofgan.scores import frechet, frechet_interval
from sofgan.scores.frechet import frechet_distance
from sofgan.scores.frechet_interval import (
    extrapolated_frechet,
    frechet_estimate,
    frechet_influences,
    subsets_estimate,
)
from sofgan.scores.intervals import jackknife
from sofgan.scores.kernel import kernel_estimate, squared_mmd
from sofgan.scores.sliced import sliced_distance

DIM, COUNT, TRIALS = 16, 300, 100
FIRST = np.arange(1, DIM + 1.0) ** -0.5  # deviations
SECOND, SHIFT = FIRST * np.linspace(1.2, 0.8, DIM), 0.08
TRUE = DIM * SHIFT**2 + ((FIRST - SECOND) ** 2).sum()


def _pair(generator, second=SECOND, shift=SHIFT):
    normal = generator.normal(size=(2, COUNT, DIM))
    return normal[0] * FIRST, normal[1] * second + shift


def _share(estimates, value):
    return np.mean([one.low <= value <= one.high for one in estimates])


@pytest.fixture(scope="module")
def trials():
    generator = np.random.default_rng(0)
    found = []
    for _ in range(TRIALS):
        x, y = _pair(generator)
        found.append(
            (
                frechet_estimate(x, y),
                extrapolated_frechet(x, y, generator),
                kernel_estimate(x, y),
                sliced_distance(x, y, np.random.default_rng(1), 20),
            )
        )
    return dict(zip(("plain", "extrapolated", "kernel", "sliced"), zip(*found)))


def test_extrapolated_intervals_hold_the_closed_form_and_plain_ones_do_not(trials):
    assert 0.90 <= _share(trials["extrapolated"], TRUE) <= 0.99
    assert _share(trials["plain"], TRUE) < 0.5  # few pictures bias it: it is of the mean at that N
    for name, least, most in (("extrapolated", 0, 3), ("plain", 6, np.inf)):
        values = np.array([one.value for one in trials[name]])
        errors = abs(values.mean() - TRUE) / (values.std() / np.sqrt(TRIALS))
        assert least <= errors <= most


@pytest.mark.parametrize("name", ["plain", "kernel", "sliced"])
def test_intervals_hold_the_mean_over_trials(trials, name):
    estimates = trials[name]
    assert 0.90 <= _share(estimates, np.mean([one.value for one in estimates])) <= 0.99


def test_halves_of_one_set_extrapolate_to_zero():
    generator = np.random.default_rng(1)
    held = [extrapolated_frechet(*_pair(generator, FIRST, 0), generator) for _ in range(40)]
    assert _share(held, 0.0) >= 0.9


def test_fewer_vectors_than_dimensions_hold_the_closed_form_too():
    generator, first = np.random.default_rng(9), np.arange(1, 81.0) ** -0.5
    second = first * np.linspace(1.2, 0.8, 80)
    true = ((first - second) ** 2).sum()
    held = [
        extrapolated_frechet(
            generator.normal(size=(62, 80)) * first, generator.normal(size=(62, 80)) * second, generator
        )
        for _ in range(30)
    ]
    assert _share(held, true) >= 0.9


@pytest.mark.parametrize("counts", [(60, 90), (90, 60), (9, 30), (30, 9), (9, 12)])
def test_influences_are_what_a_picture_more_or_less_changes(counts):
    generator = np.random.default_rng(2)
    x, y = (generator.normal(size=(count, 10)) * FIRST[:10] for count in counts)
    value, *influences = frechet_influences(x, y)
    assert value == pytest.approx(frechet_distance(x, y), rel=1e-6)
    for side, found in enumerate(influences):
        sets = [x, y]
        # A picture of weight 1 + 1 / n: one more copy of it, among as many copies of all. Both are asked of the plain
        # distance by weights, whose derivative the influence is.
        for row in (0, 3):
            step = 1e-5
            ends = [_weighted(sets, side, row, sign * step) for sign in (1, -1)]
            slope = (ends[0] - ends[1]) / (2 * step)
            assert found[row] / len(sets[side]) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_vectors_taken_by_the_block_have_the_same_influences(monkeypatch):
    generator = np.random.default_rng(4)
    x, y = generator.normal(size=(70, 10)), generator.normal(size=(50, 10)) * 1.1
    x[:, 3] = y[:, 3] = 0  # as features that nothing excites: the covariance has no full rank
    whole = frechet_influences(x, y)
    monkeypatch.setattr(frechet_interval, "BLOCK", 16)
    monkeypatch.setattr(frechet, "BLOCK", 16)
    for one, other in zip(frechet_influences(x, y), whole):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)
    for one, other in zip(frechet_influences(y, x), (whole[0], whole[2], whole[1])):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("count", "some", "rounds"), [(120, 40, 4), (40, 40, 1)])
def test_means_over_subsets_have_intervals_that_hold_their_mean(count, some, rounds):
    """Of four subsets with a third of the pictures each, the error is less than that of one."""
    generator, found = np.random.default_rng(5), []
    for _ in range(100):
        x, y = generator.normal(size=(count, DIM)) * FIRST, generator.normal(size=(40, DIM)) * SECOND + SHIFT
        subsets = [(generator.choice(count, some, replace=False), np.arange(40)) for _ in range(rounds)]
        found.append(subsets_estimate(x, y, subsets))
        values = [frechet_distance(x[rows], y[others]) for rows, others in subsets]
        assert found[-1].value == pytest.approx(np.mean(values), rel=1e-6)
    assert 0.88 <= _share(found, np.mean([one.value for one in found])) <= 0.99
    if rounds == 1:
        return
    alone = [frechet_estimate(x[rows], y).error for rows, _ in subsets]
    assert found[-1].error < 0.95 * np.mean(alone)


def _weighted(sets, side, row, step):
    """Distance where a row of one set weighs 1 + step; written by the definition, with scipy's root."""
    moments = []
    for number, features in enumerate(sets):
        weights = np.ones(len(features))
        if number == side:
            weights[row] += step
        mean = weights @ features / weights.sum()
        centred = features - mean
        factor = len(features) / (len(features) - 1) / weights.sum()
        moments.append((mean, (centred * weights[:, None] * factor).T @ centred, centred))
    (mean1, c1, _), (mean2, c2, _) = moments
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    values = np.linalg.eigvalsh(root @ c2 @ root)
    cross = np.sqrt(np.where(values > 1e-13 * values.max(), values, 0)).sum()
    return ((mean1 - mean2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * cross


def test_kernel_estimate_is_the_unbiased_distance_of_all():
    x, y = _pair(np.random.default_rng(3))
    assert kernel_estimate(x, y[:200]).value == pytest.approx(squared_mmd(x, y[:200]), rel=1e-12)


def test_jackknife_of_a_mean_is_its_standard_error():
    x, y = np.random.default_rng(4).normal(size=(2, 400))
    found = jackknife(
        lambda rows, columns: {"mean": x[rows].mean() - y[columns].mean()},
        (400, 400),
        np.random.default_rng(5),
    )["mean"]
    assert found.value == pytest.approx(x.mean() - y.mean())
    assert found.error == pytest.approx(np.sqrt(2 / 400), rel=0.4)
    with pytest.raises(ValueError, match="20 pictures"):
        jackknife(lambda *_: {}, (19, 30), np.random.default_rng(0))


def test_sliced_distance_of_a_shift_and_its_plain_twin():
    x, y = _pair(np.random.default_rng(6))
    found = sliced_distance(x, y, np.random.default_rng(7), 30).value
    lines = np.random.default_rng(7).normal(size=(DIM, 30))
    lines = [line / np.linalg.norm(line) for line in lines.T]
    plain = np.mean([np.mean((np.sort(x @ line) - np.sort(y @ line)) ** 2) for line in lines])
    assert found == pytest.approx(3 * DIM * plain, rel=1e-12)
    assert sliced_distance(x, x[::-1], np.random.default_rng(7), 30).value == pytest.approx(0, abs=1e-20)
    with pytest.raises(ValueError, match="as many"):
        sliced_distance(x, y[:5], np.random.default_rng(7))
