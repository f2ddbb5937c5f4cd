"""One step of a training: how strong its parts are, what it averages, and what it paints."""

import pytest
import torch

from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.training_step import Part, SiwTraining


@pytest.fixture
def begin(tiny_training, photos, maps):
    """Makes a training with some changes of its configuration, and its batches."""

    def make(**changes):
        config = tiny_training(**changes)
        sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)})
        return SiwTraining(config, 0, "cpu"), Batches(config, sources, 0)

    return make


def flat(gradients, parameters):
    """All gradients in one row."""
    return torch.cat(
        [
            (torch.zeros_like(value) if gradient is None else gradient).flatten()
            for gradient, value in zip(gradients, parameters)
        ]
    )


def test_r1_is_half_gamma_times_the_penalty_whatever_steps_it_is_left_out_of(begin):
    learned = {}
    for every in (0, 1, 4):
        training, batches = begin(r1_every=every, r1_gamma=3.0)
        part = next(training._parts(batches(0)))
        learned[every] = flat(training._learn_critics(part, 0, False)[0].gradients, training.learned)
    penalty = training._r1(part.batch.photos, 0)
    gradient = flat(torch.autograd.grad(penalty, training.learned, allow_unused=True), training.learned)
    assert gradient.abs().max() > 0.01
    torch.testing.assert_close(learned[1] - learned[0], 0.5 * 3.0 * gradient, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(learned[4] - learned[0], 4 * 0.5 * 3.0 * gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("every", [1, 4])
def test_path_lengths_weigh_the_same_whatever_steps_they_are_left_out_of(begin, every):
    training, batches = begin(path_length_every=every, path_length_weight=3.0)
    part = next(training._parts(batches(0)))
    penalty, length = training._path_length(part, 0)
    gradient = torch.autograd.grad(penalty, training.painted, allow_unused=True)
    learned = training._learn_path_length(part, 0)
    expected = 3.0 * every * flat(gradient, training.painted)
    torch.testing.assert_close(flat(learned.gradients, training.painted), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(learned.scalars["path_length"], length)


def test_a_part_teaches_and_tells_by_its_share_of_the_batch():
    """Adam hardly sees the size of gradients, but regularisers and other parts are added to them."""
    value, alone, sums = (
        torch.tensor([2.0, 5.0], requires_grad=True),
        torch.tensor(1.0, requires_grad=True),
        {},
    )
    for rows, weight in ((slice(0, 2), 0.25), (slice(2, 8), 0.75)):
        part = Part(rows, weight, None)
        part.add(part.learn((3 * value).sum(), [value, alone], {"loss": value.sum()}), [value, alone], sums)
        assert value.grad.tolist() == ([0.75, 0.75] if rows.start == 0 else [3.0, 3.0])
    assert alone.grad is None and sums["loss"].item() == pytest.approx(7.0)


def test_regularisers_come_at_their_steps(begin):
    training, batches = begin(r1_every=2, path_length_every=3)
    told = [training.step(step, batches(step)) for step in range(4)]
    assert ["r1" in scalars for scalars in told] == [True, False, True, False]
    assert ["path_length" in scalars for scalars in told] == [True, False, False, True]


@pytest.mark.parametrize(
    ("share", "parts", "rounds"), [(True, 1, [0]), (True, 2, [0, 0]), (False, 1, [0, 1]), (False, 2, [0, 1])]
)
def test_shared_fakes_are_painted_once_or_once_more_alike(begin, share, parts, rounds):
    """Both sides' maps are those of the first round, or of one each."""
    training, batches = begin(share_fakes=share, accumulate=parts, batch=8, path_length_every=0)
    batch, painted, synthesize = batches(0), [], training.synthesize

    def recorded(one_hot, w, *rest, **named):
        painted.append((one_hot.argmax(1), w.detach()))
        return synthesize(one_hot, w, *rest, **named)

    training.synthesize = recorded
    training.step(0, batch)
    pieces = len(list(training._parts(batch)))  # in which all pictures are worked off
    found = [torch.cat([maps for maps, _ in painted[i : i + pieces]]) for i in range(0, len(painted), pieces)]
    assert len(found) == len(rounds)
    assert all(torch.equal(maps, batch.labels[number]) for maps, number in zip(found, rounds))
    alike = [torch.equal(painted[i][1], painted[i - pieces][1]) for i in range(pieces, len(painted))]
    assert alike == [share] * len(alike)


def test_running_means_move_by_stylegan2s_rates(begin):
    training, batches = begin()
    styles, synthesize = [], training.synthesize

    def recorded(one_hot, w, *rest, **named):
        styles.append(w.detach())
        return synthesize(one_hot, w, *rest, **named)

    training.synthesize = recorded
    scalars = training.step(0, batches(0))
    torch.testing.assert_close(training.generator.w_average, 0.005 * styles[0].mean((0, 1)))
    torch.testing.assert_close(training.mean_path_length, 0.01 * scalars["path_length"])


def test_the_averages_half_life_grows_with_the_photos_shown(begin):
    training, batches = begin(
        learning_rate_generator=0.0, ema_halflife_kimg=1.0, ema_rampup=0.5, path_length_every=0
    )
    with torch.no_grad():
        for parameter in training.ema.parameters():
            parameter.add_(1.0)
    left = 1.0
    for step, halflife in enumerate((2, 4, 6)):  # half of the 4, 8 and 12 photos shown by then
        training.step(step, batches(step))
        left *= 0.5 ** (4 / halflife)
        for average, value in zip(training.ema.parameters(), training.generator.parameters()):
            torch.testing.assert_close(average - value, torch.full_like(value, left), atol=1e-5, rtol=1e-4)


def test_optimisers_have_no_momentum(begin):
    training, _ = begin()
    for optimizer, parameters in (
        (training.optimizer_g, training.painted), (training.optimizer_d, training.learned)
    ):  # fmt: skip
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        before = [parameter.detach().clone() for parameter in parameters]
        for parameter in parameters:
            parameter.grad.zero_()
        optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(before, parameters))


def test_augmentation_may_rise_by_1_in_its_photos(begin):
    training, batches = begin(augment_kimg=0.1, augment_target=0.6)
    training.critics.sign.fill_(1.0)
    assert training.step(0, batches(0))["augmented"].item() == pytest.approx(4 / 100)


def test_layers_have_the_first_style_before_the_crossover_and_then_the_second(begin):
    training, batches = begin(generator={"mixing": "layerwise"}, two_style_probability=1.0)
    w, weights = training._styles(batches(0).labels[0], torch.Generator().manual_seed(0))
    layers = training.generator.layers
    assert weights is None and w.shape == (4, 1, layers, 8)
    for styles in w[:, 0]:
        changes = [not torch.equal(a, b) for a, b in zip(styles, styles[1:])]
        assert sum(changes) == 1
