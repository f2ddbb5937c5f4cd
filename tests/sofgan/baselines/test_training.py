import dataclasses

import numpy as np
import pytest
import torch

from sofgan.baselines import losses
from sofgan.baselines.config import METHODS, PAIRED, Baseline, TrainBaseline
from sofgan.baselines.painter import load_painter, save_painter
from sofgan.baselines.training import PairedTraining, train_baseline, update_average
from sofgan.config import ConfigError
from sofgan.errors import InputError
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session
from sofgan.siw.data import ArraySource, Batches, Sources

SIZES = TrainBaseline(
    z_dim=8, spade_hidden=8, style_dim=8, reference_photos=4, residual_blocks=2, patch_scales=2, patch_layers=3,
    patch_channels=8, patch_channel_max=16, perceptual_size=32, rates=1.0,
)  # fmt: skip
COLORS = np.array([[230, 40, 40], [40, 40, 230]], np.uint8)  # of skin and hair


def toy(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Photos (N, 32, 32, 3) whose halves have the colors of their maps (N, 32, 32): skin and hair, either way up."""
    first = np.arange(count)[:, None, None] % 2
    hair = np.where(np.arange(32)[None, :, None] < 16, first, 1 - first).repeat(32, 2)
    return COLORS[hair], np.where(hair, 15, 1).astype(np.uint8)


def sources_of(photos: np.ndarray, maps: np.ndarray) -> Sources:
    return Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, ArraySource(maps))


def colors_of(painter, maps: np.ndarray) -> np.ndarray:
    """Mean colors (2, 3) that skin and hair are painted in, in [0, 255]."""
    w = painter.map_styles(painter.sample_z(len(maps), torch.Generator().manual_seed(0)))
    images = painter.paint(maps, w).permute(0, 2, 3, 1).numpy() * 127.5 + 127.5
    small = maps[:, ::2, ::2]
    return np.stack([images[small == 1].mean(0), images[small == 15].mean(0)])


@pytest.mark.parametrize("method", PAIRED)
def test_a_toy_set_is_learned_each_region_in_its_color(method, tiny_training):
    photos, maps = toy()
    ours = tiny_training(
        batch=4, kimg=0.48, report_every_kimg=0.48, scale_max=1.0, generator={"label_size": 32, "channel_base": 256,
        "channel_max": 16, "encoder_channels": (4, 6, 8)}, ema_halflife_kimg=0.05,
    )  # fmt: skip
    sizes = dataclasses.replace(SIZES, rates=18.0)
    painter, rows = train_baseline(
        Baseline(method, ours, sizes), sources_of(photos, maps), maps[:2], 0, "cpu"
    )
    # Adversarial trainings of so few steps end in colors that rounding decides on: 1 is the colors' own distance, and
    # seeds and numbers of threads gave 0.3 to 1.3; where a map's halves change places, so do their colors.
    apart = (COLORS[0].astype(float) - COLORS[1]) / np.square(COLORS[0].astype(float) - COLORS[1]).sum()
    for seen in (maps, maps[:, ::-1].copy()):
        skin, hair = colors_of(painter, seen)
        assert (skin - hair) @ apart > 0.2, (skin, hair)
    assert {"loss_d", "loss_g", "features", "perceptual"} <= rows[-1].keys()
    assert ("divergence" in rows[-1]) == (method == "spade")


@pytest.mark.parametrize("method", PAIRED)
def test_a_killed_and_resumed_training_writes_the_same_bytes(method, tiny_training, tmp_path):
    photos, maps = toy()
    config = tiny_training()

    def trained(folder, stop_after=None) -> tuple[bytes, list[int]]:
        steps = []

        class Reports(Progress):
            def images(self, step, pictures):
                steps.append(step)
                assert pictures["samples/grid"].shape == (32, 48, 3)
                if stop_after is not None and len(steps) > stop_after:
                    raise KeyboardInterrupt

        session = Session(Reports(), Checkpoints(folder, "same"))
        sources = sources_of(photos, maps)
        painter, _ = train_baseline(Baseline(method, config, SIZES), sources, maps[:2], 0, "cpu", session)
        save_painter(folder / "model.pt", painter)
        return (folder / "model.pt").read_bytes(), steps

    whole, steps = trained(tmp_path / "whole")
    assert steps == [4, 8]
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", stop_after=1)
    assert trained(tmp_path / "cut") == (whole, [8])
    assert trained(tmp_path / "again")[0] == whole


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_method_paints_the_same(method, tiny_training, tmp_path):
    photos, maps = toy()
    painter, _ = train_baseline(
        Baseline(method, tiny_training(kimg=0.008), SIZES), sources_of(photos, maps), maps[:2], 0, "cpu"
    )
    save_painter(tmp_path / "model.pt", painter)
    loaded = load_painter(tmp_path / "model.pt")
    w = painter.map_styles(painter.sample_z(2, torch.Generator().manual_seed(0)))
    again = loaded.map_styles(loaded.sample_z(2, torch.Generator().manual_seed(0)))
    image = loaded.paint(maps[:2], again, noise_seed=[3, 4])
    assert torch.equal(image, painter.paint(maps[:2], w, noise_seed=[3, 4]))
    assert image.shape == (2, 3, 16, 16) and loaded.resolution == 16


def test_stylegan2_ignores_the_map_and_has_the_choices_of_its_paper(tiny_training):
    photos, maps = toy()
    ours = tiny_training(kimg=0.008, generator={"spade_sizes": (8, 16)})
    baseline = Baseline("stylegan2", ours, SIZES)
    painter, _ = train_baseline(baseline, sources_of(photos, maps), maps[:2], 0, "cpu")
    w = painter.map_styles(painter.sample_z(1, torch.Generator().manual_seed(0)))
    assert torch.equal(painter.paint(maps[:1], w), painter.paint(maps[:1, ::-1].copy(), w))
    config = baseline.stylegan2()
    assert config.generator.encoder == "constant" and config.generator.mixing == "layerwise"
    assert all(block.spade is None for block in painter.generator.blocks)
    assert config.discriminator.kind == "residual" and config.path_length_every and config.r1_every


def test_pairs_are_needed_by_methods_that_learn_from_them(tiny_training):
    photos, maps = toy()
    alone = Sources(ArraySource(photos), {"parsed": ArraySource(maps)})
    for method in METHODS:
        with pytest.raises(InputError, match="own label maps, which are missing"):
            train_baseline(Baseline(method, tiny_training(), SIZES), alone, maps[:2], 0, "cpu")


def test_an_unknown_method_is_named_with_those_there_are(tiny_training):
    with pytest.raises(ConfigError, match="stylegan2, spade, pix2pixhd, sean, not spode"):
        Baseline("spode", tiny_training(), SIZES)


def test_a_step_trains_both_networks_and_leaves_the_frozen_one(tiny_training):
    photos, maps = toy()
    training = PairedTraining(Baseline("spade", tiny_training(), SIZES), 0, "cpu")
    batches = Batches(training.ours, sources_of(photos, maps), 0)
    networks = training.generator, training.critics, training.perceptual
    before = [[p.detach().clone() for p in network.parameters()] for network in networks]
    training.step(0, batches(0))
    moved = [
        [not torch.equal(old, new) for old, new in zip(olds, network.parameters())]
        for olds, network in zip(before, networks)
    ]
    # Convolutions before a normalisation have biases without effect, so not all parameters move.
    assert np.mean(moved[0]) > 0.5 and np.mean(moved[1]) > 0.5 and not any(moved[2])
    assert all(p.requires_grad for p in training.critics.parameters())


def test_rates_are_those_published_and_fall_where_the_method_lets_them(tiny_training):
    ours = tiny_training()
    rates = {}
    for method in PAIRED:
        training = PairedTraining(Baseline(method, ours, SIZES), 0, "cpu")
        for seen in (0, 16, 24):
            training.seen = seen
            training._set_learning_rates()
            found = [o.param_groups[0]["lr"] for o in (training.optimizer_g, training.optimizer_d)]
            rates[method, seen] = [round(rate, 12) for rate in found]
    assert [rates["spade", seen] for seen in (0, 16, 24)] == [[1e-4, 4e-4]] * 3
    assert [rates["sean", seen] for seen in (0, 16, 24)] == [[1e-4, 4e-4], [1e-4, 4e-4], [5e-5, 2e-4]]
    assert [rates["pix2pixhd", seen] for seen in (0, 16, 24)] == [[2e-4] * 2, [2e-4] * 2, [1e-4] * 2]


def test_the_average_has_statistics_of_its_own_and_the_spectral_norms_vectors():
    def network() -> torch.nn.Sequential:
        convolution = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(1, 1, 1))
        return torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(1))

    torch.manual_seed(0)
    average, other = network(), network()
    with torch.no_grad():
        average[1].running_mean.fill_(0.0)
        other[1].running_mean.fill_(1.0)
        other[1].num_batches_tracked.fill_(7)
        first, second = average[1].weight.fill_(2.0).item(), other[1].weight.fill_(4.0).item()
    update_average(average, other, 0.75)
    assert average[1].running_mean.item() == pytest.approx(0.25)
    assert average[1].weight.item() == pytest.approx(0.75 * first + 0.25 * second)
    assert average[1].num_batches_tracked.item() == 7
    name = "parametrizations.weight.0._u"
    assert torch.equal(average[0].state_dict()[name], other[0].state_dict()[name])


def judged(*values: float) -> losses.Judged:
    """One scale with a layer of features, and logits, for each value."""
    return [[torch.full((1, 1, 2, 2), 10 * value), torch.full((1, 1, 2, 2), value)] for value in values]


def test_losses_of_verdicts_are_the_published_ones():
    real, fake = judged(0.5, 2.0), judged(-0.5, 0.0)
    assert losses.discriminator_loss(real, fake, "hinge").item() == pytest.approx((0.5 + 0.5 + 0 + 1) / 2)
    assert losses.generator_loss(fake, "hinge").item() == pytest.approx(0.25)
    squares = 0.5 * (0.25 + 0.25 + 1.0 + 0.0)
    assert losses.discriminator_loss(real, fake, "least_squares").item() == pytest.approx(squares)
    assert losses.generator_loss(fake, "least_squares").item() == pytest.approx(2.25 + 1)
    # Features alone are matched: 5 + 20 apart, without the logits.
    assert losses.feature_matching(judged(0.5, 2.0), judged(0.0, 0.0)).item() == pytest.approx((5 + 20) / 2)


def test_the_perceptual_loss_is_zero_for_the_photo_and_grows_with_what_differs():
    perceptual = losses.PerceptualLoss(32)
    photo = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    near, far = 0.9 * photo, -photo
    assert perceptual(photo, photo) == 0 < perceptual(near, photo) < perceptual(far, photo)
    near.requires_grad_()
    perceptual(near, photo).backward()
    assert near.grad.abs().max() > 0
