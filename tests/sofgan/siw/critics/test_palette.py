import pytest
import torch

from sofgan.labels import BACKGROUND, HAIR, L_NOSE, R_NOSE, SKIN, STYLE_GROUPS
from sofgan.siw.critics.palette import LOUDNESS, PaletteCritic, palette, palette_loss
from sofgan.siw.mixing import one_hot

pytestmark = pytest.mark.usefixtures("seeded")


def group_of(label):
    return next(i for i, group in enumerate(STYLE_GROUPS) if label in group)


def test_palette_is_mean_deviation_and_presence_by_style_group():
    labels = torch.full((1, 8, 8), BACKGROUND)
    labels[:, :2], labels[:, 2:4, :4], labels[:, 2:4, 4:] = HAIR, R_NOSE, L_NOSE
    images = torch.zeros(1, 3, 8, 8)
    images[:, 0, 0], images[:, 0, 1] = 0.9, 0.3  # hair: red 0.6; brightness 0.3 and 0.1
    images[:, 1, 2:4, :4], images[:, 1, 2:4, 4:] = 0.2, 0.6  # skin, by both halves of the nose: green 0.4
    found = palette(images, one_hot(labels)).view(len(STYLE_GROUPS), 5)
    expected = torch.tensor([0.6 * LOUDNESS, 0.0, 0.0, 2 * 0.1 * LOUDNESS, 1.0])
    torch.testing.assert_close(found[group_of(HAIR)], expected, rtol=1e-4, atol=1e-4)
    assert found[group_of(SKIN), 1].item() == pytest.approx(0.4 * LOUDNESS, rel=1e-4)
    present = {group_of(label) for label in (HAIR, SKIN, BACKGROUND)}
    assert {i for i in range(len(STYLE_GROUPS)) if found[i, 4] == 1} == present
    assert all(found[i].abs().sum() == 0 for i in set(range(len(STYLE_GROUPS))) - present)


def test_palette_critic_brings_colors_and_their_spread_to_the_photos():
    """Colours of two regions, moved by the generator's loss alone, end with the photos' mean and deviation."""
    critic = PaletteCritic(64, 8)
    labels = torch.zeros(64, 8, 8, dtype=torch.long)
    labels[:, 4:] = HAIR
    regions, generator = one_hot(labels), torch.Generator().manual_seed(0)

    def paint(mean, deviation):
        colors = mean + deviation * torch.randn((64, 3), generator=generator)
        return palette(colors[:, :, None, None].expand(-1, -1, 8, 8), regions)

    mean, deviation = torch.zeros(3, requires_grad=True), torch.full((3,), 0.02, requires_grad=True)
    painter = torch.optim.Adam([mean, deviation], lr=0.005, betas=(0.0, 0.99))
    learner = torch.optim.Adam(critic.parameters(), lr=0.005, betas=(0.0, 0.99))
    for _ in range(500):
        real = paint(torch.tensor([0.4, -0.2, 0.0]), 0.2).requires_grad_()
        loss = palette_loss(critic(real), critic(paint(mean, deviation).detach()), real)
        learner.zero_grad()
        loss.backward()
        learner.step()
        painter.zero_grad()
        torch.nn.functional.softplus(-critic(paint(mean, deviation))).mean().backward()
        painter.step()
    torch.testing.assert_close(mean.detach(), torch.tensor([0.4, -0.2, 0.0]), rtol=0, atol=0.12)
    assert deviation.detach().abs().mean().item() == pytest.approx(0.2, abs=0.08)


def test_the_palette_critics_loss_has_half_of_r1():
    palettes = torch.randn(4, 60, requires_grad=True)
    real, fake = palettes.square().sum(1, keepdim=True), torch.randn(4, 1)
    plain = torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(fake).mean()
    r1 = (2 * palettes).square().sum(1).mean()
    torch.testing.assert_close(palette_loss(real, fake, palettes), plain + 0.5 * r1)


def test_a_region_of_a_few_places_counts_as_absent():
    labels = torch.full((2, 64, 64), BACKGROUND)
    labels[0, 0, :8], labels[1, 0, :9] = HAIR, HAIR  # of 4096; 2 thousandths are 8.2
    found = palette(torch.ones(2, 3, 64, 64), one_hot(labels)).view(2, len(STYLE_GROUPS), 5)[
        :, group_of(HAIR)
    ]
    assert found[0].abs().sum() == 0 and found[1, 4] == 1
