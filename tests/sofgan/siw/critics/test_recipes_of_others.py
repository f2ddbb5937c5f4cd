"""Recipes of other trainings: what would be silently wrong in them, and that they are off unless asked for."""

import pytest
import torch
import torch.nn.functional as F

from sofgan.parsing.config import ParserConfig
from sofgan.parsing.parser import FaceParser, save_parser
from sofgan.siw.config import DiscriminatorConfig
from sofgan.siw.critics.augment import augment, blur
from sofgan.siw.critics.critics import Critics
from sofgan.siw.critics.regions import class_weights, naming_loss, unmasking_loss
from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.losses import paired_discriminator, paired_generator
from sofgan.siw.mixing import one_hot
from sofgan.siw.training_step import SiwTraining

pytestmark = pytest.mark.usefixtures("seeded")
HYBRID = {"kind": "hybrid", "region_weight": 1.0, "region_channels": 4, "palette_weight": 1.0}


@pytest.fixture
def learn(tiny_training, photos, maps):
    """Trains two steps with some changes; weights of generator and critics."""

    def run(discriminator=None, **changes):
        config = tiny_training(discriminator={**HYBRID, **(discriminator or {})}, **changes)
        sources = Sources(ArraySource(photos[: len(maps)]), {"parsed": ArraySource(maps)}, ArraySource(maps))
        training, batches = SiwTraining(config, 0, "cpu"), Batches(config, sources, 0)
        for step in range(2):
            scalars = training.step(step, batches(step))
        assert all(torch.isfinite(value).all() for value in scalars.values())
        return torch.cat([p.detach().flatten() for p in (*training.painted, *training.learned)])

    return run


def test_each_switch_changes_what_is_learned_and_its_default_does_not(learn):
    plain = learn()
    off = {"region_balance": "roots", "label_mix": 0.0, "residual_loss": "logistic", "projected_cutout": 0.5}
    assert torch.equal(plain, learn(off, r2_gamma=0.0, gamma_end=1.0, blur_px=0.0, blur_share=0.9))
    assert torch.equal(plain, learn(blur_px=2.0, blur_share=0.0))
    switches = [{"region_balance": "oasis"}, {"label_mix": 10.0}, {"residual_loss": "paired"}]
    for one in [*switches, {"projected_cutout": 0.2}]:
        assert not torch.equal(plain, learn(one)), one
    for one in ({"r2_gamma": 2.0}, {"gamma_end": 0.1, "r1_every": 1}, {"blur_px": 8.0}):
        assert not torch.equal(
            learn(**{**one, "gamma_end": 1.0, "blur_px": 0.0, "r2_gamma": 0.0}), learn(**one)
        )


def test_a_parsers_features_are_judged_beside_imagenets(learn, tmp_path):
    file = tmp_path / "parser.pt"
    save_parser(file, FaceParser(ParserConfig(arch="lite_unet", size=32, width=8, order="17")))
    assert len(learn({"parser_features": str(file), "parser_size": 32})) > len(learn())


def test_pairs_draw_photos_and_fakes_apart_and_the_generator_draws_them_together():
    real, fake = (torch.randn(4, 1, requires_grad=True) for _ in range(2))
    loss = paired_discriminator(real, fake)
    torch.testing.assert_close(loss, F.softplus(-(real - fake)).mean())
    of_real, of_fake = torch.autograd.grad(loss, (real, fake))
    assert (of_real < 0).all() and (of_fake > 0).all()
    (of_fake,) = torch.autograd.grad(paired_generator(real, fake), fake)
    assert (of_fake < 0).all()


def test_a_blur_is_a_gaussian_that_keeps_means():
    impulse = torch.zeros(1, 1, 33, 33)
    impulse[..., 16, 16] = 1
    blurred, places = blur(impulse, 2.0)[0, 0], torch.arange(33.0) - 16
    assert blurred.sum().item() == pytest.approx(1, abs=1e-4)
    assert (blurred.sum(0) * places.square()).sum().item() == pytest.approx(4, abs=0.01)
    torch.testing.assert_close(blur(torch.full((1, 3, 16, 16), 0.7), 3.0), torch.full((1, 3, 16, 16), 0.7))
    assert blur(impulse, 0.0) is impulse


def test_holes_are_as_large_as_asked():
    seen = augment(torch.ones(64, 3, 40, 40), ("cutout",), torch.Generator().manual_seed(0), hole=0.2)
    assert (seen[:, 0] == 0).sum((1, 2)).max() == 8 * 8


def test_classes_of_a_batch_count_alike_on_photos_and_places_alike_on_fakes():
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    labels[0, 0, 0], labels[1, :2] = 5, 9
    regions, logits = F.one_hot(labels, 17).movedim(-1, 1).float(), torch.randn(2, 18, 4, 4)
    regions[1, :, 3, 3] = 0  # unknown
    known = regions.sum(1) > 0
    weights = class_weights(regions)
    sums = [(weights[name] * regions[:, name]).sum() for name in (0, 5, 9)]
    torch.testing.assert_close(torch.stack(sums), torch.full((3,), 31 / 3))
    assert (weights > 0).sum() == 3
    logs = logits.log_softmax(1)
    means = [logs[:, name][(labels == name) & known].mean() for name in (0, 5, 9)]
    torch.testing.assert_close(naming_loss(logits, regions, "oasis"), -torch.stack(means).mean())
    torch.testing.assert_close(unmasking_loss(logits, regions, "oasis"), -logs[:, 17][known].mean())


def test_a_mix_of_equal_pictures_is_named_as_these_and_of_unlike_ones_is_not():
    config = DiscriminatorConfig(
        **HYBRID, channel_base=64, channel_max=8, projected_size=32, projected_channels=4,
        projected_augment=("translation", "cutout"),
    )  # fmt: skip
    critics, maps = Critics(config, 16), one_hot(torch.randint(0, 17, (4, 16, 16)))
    critics.renormalize()  # As a step does: judging leaves spectral norms as they are.

    def seen(images):
        return critics.look(images, maps, torch.Generator().manual_seed(3))

    photos, others = (torch.rand(4, 3, 16, 16) for _ in range(2))
    for fakes, alike in ((photos, True), (others, False)):
        draws = torch.Generator().manual_seed(0)
        loss = critics.label_mix_loss(critics.judge(seen(photos)), seen(fakes), draws)
        assert (loss.item() < 1e-10) == alike
        assert loss.requires_grad
