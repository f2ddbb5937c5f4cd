import dataclasses
import math

import pytest
import torch

from sofgan.siw.config import DiscriminatorConfig
from sofgan.siw.critics.augment import augment, augment_some, color, cutout, translation
from sofgan.siw.critics.critics import Critics
from sofgan.siw.critics.projected import ProjectedDiscriminator
from sofgan.siw.critics.regions import balance, naming_loss, unmasking_loss
from sofgan.siw.critics.residual import ResidualDiscriminator, minibatch_deviation
from sofgan.siw.losses import (
    hinge_discriminator,
    logistic_discriminator,
    logistic_generator,
    r1_penalty,
)
from sofgan.siw.mixing import one_hot

pytestmark = pytest.mark.usefixtures("seeded")
SMALL = DiscriminatorConfig(
    channel_base=64,
    channel_max=8,
    projected_size=32,
    projected_channels=4,
    palette_weight=0.0,
    projected_augment=("color", "translation", "cutout"),
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_minibatch_deviation_measures_each_group_of_pictures():
    x = torch.zeros(4, 2, 3, 3)
    x[1] = 2.0  # Groups are {0, 1} and {2, 3}: the first has deviation 1, the second none.
    y = minibatch_deviation(x, 2)
    assert y.shape == (4, 3, 3, 3)
    torch.testing.assert_close(y[:, 2, 0, 0], torch.tensor([1.0, 1.0, 1e-4, 1e-4]), rtol=1e-3, atol=1e-5)
    assert (minibatch_deviation(x[:3], 4)[:, 2] > 0.5).all()  # A small batch is one group.
    with pytest.raises(ValueError, match="multiple"):
        minibatch_deviation(torch.zeros(6, 1, 2, 2), 4)


def test_residual_discriminator_sees_every_pixel():
    network = ResidualDiscriminator(SMALL, 16)
    images = torch.randn(4, 3, 16, 16, requires_grad=True)
    logits = network(images)
    assert logits.shape == (4, 1)
    logits.sum().backward()
    assert (images.grad != 0).float().mean() > 0.99


def test_projected_features_are_frozen_and_heads_learn():
    network = ProjectedDiscriminator(SMALL)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith("heads.") for name in trained)
    before = {k: v.clone() for k, v in network.backbone.state_dict().items()}
    network.train()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.1)
    images = torch.randn(4, 3, 32, 32, requires_grad=True)
    logits = network(images)
    assert [x.shape[0] for x in logits] == [4] * 4
    hinge_discriminator(logits, [x.detach() + 0.1 for x in logits]).backward()
    assert images.grad.abs().sum() > 0
    optimizer.step()
    after = network.backbone.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.grad is None for p in network.backbone.parameters())


def test_projected_state_leaves_the_backbone_out():
    network = ProjectedDiscriminator(SMALL)
    state = torch.nn.ModuleDict({"critic": network}).state_dict()
    assert state and not any("backbone" in name for name in state)
    assert any("across" in name for name in state)  # The random projections must come back.


def test_augmentation_is_seeded_differentiable_and_per_picture():
    images = torch.rand(6, 3, 16, 16).mul(2).sub(1).requires_grad_()
    policies = ("color", "translation", "cutout")
    first, second = (augment(images, policies, generator(3)) for _ in range(2))
    torch.testing.assert_close(first, second)
    assert not torch.equal(first, augment(images, policies, generator(4)))
    first.square().sum().backward()
    assert images.grad.abs().flatten(1).sum(1).gt(0).all()
    same = augment(images[:1].detach().expand(6, -1, -1, -1), policies, generator(3))
    assert len({tuple(x.flatten().tolist()) for x in same}) == 6


def test_colors_change_evenly_within_their_ranges():
    """Grey pictures are changed in brightness alone, about it of any colour in saturation, and so on."""
    gray = color(torch.full((2000, 3, 2, 2), 0.2), generator())
    brightness = gray[:, 0, 0, 0] - 0.2
    assert gray.std((1, 2, 3)).max() < 1e-6
    assert torch.histc(brightness, 4, -0.5, 0.5).min() > 400 and brightness.abs().max() <= 0.5
    hue = torch.tensor([0.3, 0.0, -0.3])[:, None, None].expand(2000, 3, 1, 1)
    striped = torch.tensor([0.5, -0.5]).expand(2000, 3, 1, 2)
    changed = color(hue + striped, generator())
    contrast = (changed[..., 0] - changed[..., 1])[:, 1, 0]  # 1 at first
    assert torch.histc(contrast, 4, 0.5, 1.5).min() > 400 and contrast.min() >= 0.5 and contrast.max() <= 1.5
    saturation = (changed[:, 0] - changed[:, 2])[:, 0, 0] / 0.6 / contrast
    assert torch.histc(saturation, 4, 0.0, 2.0).min() > 400 and saturation.max() <= 2 + 1e-4


def test_translation_moves_whole_pixels_and_cutout_removes_a_square():
    images = torch.arange(1.0, 65.0).reshape(1, 1, 8, 8).expand(20, 3, 8, 8)
    values = set(images.flatten().tolist()) | {0.0}
    moved = translation(images, generator())
    assert set(moved.flatten().tolist()) <= values and not torch.equal(moved, images)
    holes = (cutout(torch.ones(200, 3, 8, 8), generator()) == 0).float().mean((1, 2, 3))
    assert holes.min() > 0 and holes.max() <= 0.25


def test_logistic_losses_at_known_logits():
    zero, big = torch.zeros(2, 1), torch.full((2, 1), 50.0)
    assert logistic_discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert logistic_discriminator(big, -big).item() == pytest.approx(0, abs=1e-6)
    assert logistic_generator(-big).item() == pytest.approx(50)


def test_r1_equals_the_analytic_gradient():
    """D(x) = sum(a x^2) has gradient 2 a x, and the penalty's own gradient in a is known too."""
    a = torch.randn(3, 4, 4, requires_grad=True)
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = r1_penalty((a * x.square()).sum((1, 2, 3))[:, None], x)
    expected = (2 * a * x).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty, expected)
    (gradient,) = torch.autograd.grad(penalty, a)
    torch.testing.assert_close(gradient, (8 * a * x.square()).mean(0))


def test_smaller_pictures_enter_at_their_block():
    network = ResidualDiscriminator(SMALL, 16, [8])
    smaller = network(torch.randn(4, 3, 8, 8))
    assert smaller.shape == (4, 1)
    smaller.sum().backward()
    assert network.blocks[0].first.weight.grad is None and network.blocks[1].first.weight.grad is not None
    assert network.from_rgb["16"].weight.grad is None and network.from_rgb["8"].weight.grad is not None


def test_label_channels_move_with_their_picture_and_keep_their_values():
    images = torch.rand(8, 3, 16, 16) + 2  # above all that padding and holes bring
    moved = augment(torch.cat((images, images), 1), ("translation", "cutout"), generator())
    torch.testing.assert_close(moved[:, :3], moved[:, 3:])
    colored = augment(torch.cat((images, images), 1), ("color",), generator())
    assert torch.equal(colored[:, 3:], images) and not torch.equal(colored[:, :3], images)


@pytest.mark.parametrize("hole", [0.25, 0.5])
def test_the_projected_critic_sees_holes_as_large_as_asked_for(hole):
    config = dataclasses.replace(
        SMALL, kind="projected", projected_augment=("cutout",), projected_cutout=hole
    )
    seen = Critics(config, 32).look(torch.ones(64, 3, 32, 32), None, generator())
    holes = (seen.augmented == 0).all(1)
    sides = holes.any(1).sum(1), holes.any(2).sum(1)  # whole in the middle, cut off at the border
    assert all(side.max().item() == round(32 * hole) and side.min() > 0 for side in sides)


def test_augmentations_come_with_their_probability():
    images = torch.rand(400, 3, 8, 8)
    assert torch.equal(augment_some(images, ("cutout",), torch.tensor(0.0), generator()), images)
    changed = augment_some(images, ("cutout",), torch.tensor(0.3), generator()) != images
    assert 0.22 < changed.flatten(1).any(1).float().mean() < 0.38


def test_augmentation_adapts_to_how_sure_the_critic_is():
    critics = Critics(dataclasses.replace(SMALL, kind="residual", residual_augment=("cutout",)), 16)
    for _ in range(200):
        sure = critics.adapt(torch.tensor(1.0), 0.6, 0.01)
    assert sure == pytest.approx(0.8)  # its limit
    for _ in range(30):
        unsure = critics.adapt(torch.tensor(0.0), 0.6, 0.01)
    assert 0.4 < unsure < 0.7
    assert {"augmented", "sign"} <= critics.state_dict().keys()  # It goes on where it was.


def test_balance_weighs_small_classes_more_and_unknown_places_not_at_all():
    regions = torch.zeros(1, 17, 8, 8)
    regions[0, 1, :, :7], regions[0, 3, :4, 7] = 1.0, 1.0  # skin 56 places, eye 4, unknown 4
    weights = balance(regions)
    assert weights.mean() == pytest.approx(1.0, abs=1e-5) and (weights[0, 4:, 7] == 0).all()
    assert (weights[0, 0, 7] / weights[0, 0, 0]).item() == pytest.approx(14**0.5, rel=1e-4)


def test_naming_losses_at_known_logits():
    regions = torch.zeros(2, 17, 4, 4)
    regions[:, 5] = 1.0
    logits = torch.zeros(2, 18, 4, 4)
    assert naming_loss(logits, regions).item() == pytest.approx(math.log(18), rel=1e-5)
    assert unmasking_loss(logits, regions).item() == pytest.approx(math.log(18), rel=1e-5)
    logits[:, 5] = 30.0
    assert naming_loss(logits, regions).item() == pytest.approx(0, abs=1e-5)
    assert unmasking_loss(logits, regions).item() == pytest.approx(30, rel=1e-3)


def test_region_critic_learns_to_name_regions_and_tells_the_generator():
    """Classes of plain colours are named after some steps; then a picture gets a gradient towards its map."""
    critics = Critics(
        dataclasses.replace(SMALL, kind="projected", region_weight=1.0, projected_augment=()), 32
    )
    labels = torch.randint(0, 4, (8, 4, 4)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    colors = torch.tensor([[-1.0, -1, 1], [1, -1, -1], [-1, 1, -1], [1, 1, 1]])
    photos = colors[labels].movedim(-1, 1)

    def judged(images, seed=0):
        return critics.judge(critics.look(images, one_hot(labels), generator(seed)))

    optimizer = torch.optim.Adam([p for p in critics.parameters() if p.requires_grad], lr=0.01)
    for step in range(60):
        scalars = {}
        fakes = judged(torch.rand(8, 3, 32, 32) * 2 - 1, step)
        loss = critics.discriminator_loss(judged(photos, step), fakes, scalars)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert scalars["regions_real"] < 0.5 and scalars["regions_painted"] < 0.5
    right, wrong = {}, {}
    critics.generator_loss(judged(photos), right)
    painted = photos.flip(0).requires_grad_()
    loss = critics.generator_loss(judged(painted), wrong)
    assert wrong["regions_fake"] > 3 * right["regions_fake"]
    loss.backward()
    assert painted.grad.abs().flatten(1).sum(1).gt(0).all()
