"""What verdicts cost both sides: sums of the critics' losses by their weights."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from sofgan.siw.config import DiscriminatorConfig
from sofgan.siw.critics.critics import Critics, Seen, Verdicts
from sofgan.siw.critics.regions import naming_loss, unmasking_loss
from sofgan.siw.losses import hinge_discriminator, hinge_generator, r1_penalty

pytestmark = pytest.mark.usefixtures("seeded")
ALL = DiscriminatorConfig(
    kind="hybrid", channel_base=64, channel_max=8, projected_size=32, projected_channels=4,
    region_weight=0.7, region_channels=8, palette_weight=1.7, palette_channels=8,
    projected_augment=("color", "translation", "cutout"),
)  # fmt: skip


def verdicts(**changes):
    """Random ones of four pictures."""
    palettes = torch.randn(4, 60, requires_grad=True)
    regions = torch.rand(4, 17, 16, 16)
    seen = Seen(torch.zeros(4, 3, 16, 16), palettes, None, None, regions / regions.sum(1, keepdim=True))
    projected = [torch.randn(4, 16), torch.randn(4, 4)]
    values = (
        torch.randn(4, 1),
        projected,
        torch.randn(4, 18, 16, 16),
        palettes[:, :4].sum(1, keepdim=True),
    )
    return dataclasses.replace(Verdicts(seen, *values), **changes)


def test_hinge_losses_at_known_logits():
    real, fake = (
        [torch.tensor([0.5, 2.0]), torch.tensor([-1.0])],
        [torch.tensor([-0.5, -2.0]), torch.tensor([3.0])],
    )
    assert hinge_discriminator(real, fake).item() == pytest.approx(0.25 + 0.25 + 2.0 + 4.0)
    assert hinge_generator(fake).item() == pytest.approx(1.25 - 3.0)


def test_the_generators_loss_is_the_weighted_sum_of_all_critics():
    critics, fake, scalars = Critics(ALL, 16), verdicts(), {}
    expected = (
        -sum(logits.mean() for logits in fake.projected)
        + F.softplus(-fake.residual).mean()
        + 0.7 * naming_loss(fake.names, fake.seen.regions)
        + 1.7 * F.softplus(-fake.palette).mean()
    )
    torch.testing.assert_close(critics.generator_loss(fake, scalars), expected)
    assert scalars["loss_g"] == expected
    # Alone, the residual critic has no weight.
    alone = Critics(dataclasses.replace(ALL, kind="residual", region_weight=0.0, palette_weight=0.0), 16)
    torch.testing.assert_close(alone.generator_loss(fake, {}), F.softplus(-fake.residual).mean())


def test_the_critics_loss_is_the_sum_of_their_games():
    critics, real, fake = Critics(ALL, 16), verdicts(), verdicts()
    r1 = r1_penalty(real.palette, real.seen.palettes)
    expected = (
        sum(F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real.projected, fake.projected))
        + sum(
            F.softplus(-r).mean() + F.softplus(f).mean()
            for r, f in ((real.residual, fake.residual), (real.palette, fake.palette))
        )
        + 0.5 * r1
        + 0.7 * (naming_loss(real.names, real.seen.regions) + unmasking_loss(fake.names, fake.seen.regions))
    )
    assert r1 > 1
    torch.testing.assert_close(critics.discriminator_loss(real, fake, {}), expected)


def test_places_of_photos_are_named_as_their_maps_and_painted_ones_painted():
    """By a plain loop over places, each by the inverse root of its class' share, of mean 1."""
    labels = torch.tensor([[[0, 0, 0, 5], [0, 0, 16, 16]]])
    regions, logits = F.one_hot(labels, 17).movedim(-1, 1).float(), torch.randn(1, 18, 2, 4)
    weight = {0: (5 / 8) ** -0.5, 5: (1 / 8) ** -0.5, 16: (2 / 8) ** -0.5}
    total = sum(weight[int(label)] for label in labels.flatten())
    logs = logits.log_softmax(1)
    places = [(row, column) for row in range(2) for column in range(4)]
    named = [weight[int(labels[0, r, c])] * logs[0, labels[0, r, c], r, c] for r, c in places]
    painted = [weight[int(labels[0, r, c])] * logs[0, 17, r, c] for r, c in places]
    torch.testing.assert_close(naming_loss(logits, regions), -sum(named) / total)
    torch.testing.assert_close(unmasking_loss(logits, regions), -sum(painted) / total)
    assert math.isfinite(total)


def test_small_pictures_are_seen_twice_as_large_up_to_what_the_network_sees():
    config = dataclasses.replace(ALL, projected_size=64, region_weight=0.0, palette_weight=0.0)
    critics, draws = Critics(config, 64, [8, 16, 32]), torch.Generator().manual_seed(0)
    seen = [critics.look(torch.zeros(2, 3, size, size), None, draws) for size in (8, 16, 32, 64)]
    assert [one.augmented.shape[-1] for one in seen] == [32, 32, 64, 64]
    assert [one.images.shape[-1] for one in seen] == [8, 16, 32, 64]
