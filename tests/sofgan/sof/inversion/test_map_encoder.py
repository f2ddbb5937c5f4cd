"""The encoder of label maps, and the prior in whose coordinates it answers."""

import dataclasses

import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.labels import NAMES, NUM_CLASSES, mirror, resize
from sofgan.sof.inversion.code_prior import fit_prior
from sofgan.sof.inversion.map_encoder import (
    CAMERA_UNITS,
    MapEncoder,
    angle_errors,
    camera_angles,
    portrait_crops,
    train_encoder,
)
from sofgan.sof.view_set import read_views
from tests import scenes


def test_white_coordinates_are_standard_normal_over_known_heads_and_lead_back():
    codes = torch.randn(40, 12, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.linspace(0.5, 2, 12)
    )
    prior = fit_prior(codes)
    white = prior.white(codes)
    assert torch.allclose(prior.codes(white), codes, atol=1e-4)
    assert torch.allclose(white.T @ white / 39, torch.eye(12), atol=1e-3)
    few = fit_prior(codes[:5])
    assert few.axes.shape == (4, 12)
    assert torch.allclose(few.codes(few.white(codes[:5])), codes[:5], atol=1e-4)
    with pytest.raises(ValueError, match="at least two heads"):
        fit_prior(codes[:1])


def test_directions_in_which_heads_hardly_differ_stay_open():
    codes = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 1e-6])
    lengths = fit_prior(codes).axes.norm(dim=1)
    assert lengths[2] == pytest.approx(0.05 * lengths[0].item(), rel=1e-4)


def test_angles_are_those_of_the_orbit():
    yaw, pitch = np.array([-0.7, 0.0, 0.4]), np.array([0.3, -0.2, 0.0])
    angles = camera_angles(torch.from_numpy(cameras.orbit(yaw, pitch, 4.0)))
    assert np.allclose(angles.numpy(), np.stack([yaw, pitch], -1))


def test_a_mirror_swaps_the_halves_of_the_nose_and_nothing_twice():
    maps = torch.zeros(1, 2, 4, dtype=torch.uint8)
    maps[0, 0, 0] = NAMES.index("r_nose")
    maps[0, 1, 1] = NAMES.index("hair")
    turned = mirror(maps)
    assert turned[0, 0, 3] == NAMES.index("l_nose")
    assert turned[0, 1, 2] == NAMES.index("hair")
    assert torch.equal(mirror(turned), maps)


def test_crops_move_a_head_as_their_values_say():
    maps = torch.zeros(64, 128, 128, dtype=torch.uint8)
    maps[:, 54:74, 54:74] = NAMES.index("skin")
    crops, framing = portrait_crops(maps, torch.Generator().manual_seed(0))
    assert crops.shape == (64, 64, 64)
    kept = (crops == 1).flatten(1).any(1)
    row, column = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    area = (crops == 1).flatten(1).sum(1)
    x = ((crops == 1) * column).flatten(1).sum(1) / area / 64 - 0.5
    y = ((crops == 1) * row).flatten(1).sum(1) / area / 64 - 0.5
    assert torch.allclose(x[kept], framing[kept, 1], atol=0.012)
    assert torch.allclose(y[kept], framing[kept, 2], atol=0.012)
    expected = (20 / 128 * framing[:, 0].exp() * 64) ** 2
    assert ((area - expected).abs() / expected)[kept].mean() < 0.1
    clothes = (crops == NAMES.index("cloth")).flatten(1).any(1).float().mean()
    assert 0.1 < clothes < 0.5


def test_an_encoder_learns_cameras_of_heads_it_has_not_seen_and_is_seeded(tmp_path):
    scenes.make_views(tmp_path, heads=12, views=12, held_out=0, size=32)
    views = read_views(sorted(tmp_path.glob("*.npz")))
    known = dataclasses.replace(views.subset(torch.nonzero(views.instance < 9)[:, 0]))
    new = views.subset(torch.nonzero(views.instance >= 9)[:, 0])
    codes = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
    prior = fit_prior(codes)
    encoder = train_encoder(known, codes, prior, 50, seed=0)
    estimate = encoder.estimate(new.labels)
    yaw, pitch = angle_errors(estimate, new)
    spread = camera_angles(new.cam2world).abs().mean(0) * 57.3
    assert yaw < 0.6 * spread[0]
    assert pitch < spread[1]
    assert estimate.white.shape == (36, len(prior.axes))
    short = [train_encoder(known, codes, prior, 2, seed).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(short[0][name], short[1][name]) for name in short[0])
    assert not torch.equal(short[0]["output.weight"], short[2]["output.weight"])


def test_larger_maps_are_seen_as_their_pixels_centers():
    """As crops of the training were cut; at 128 pixels the upper left corners lay a pixel off."""
    torch.manual_seed(0)
    encoder = MapEncoder(4).eval()
    torch.nn.init.normal_(encoder.output.weight)
    maps = torch.randint(0, NUM_CLASSES, (2, 128, 128), dtype=torch.uint8)
    found, expected = encoder.estimate(maps), encoder(maps[:, 1::2, 1::2])
    assert torch.equal(found.white, expected.white)
    other = encoder(mirror(resize(maps, 64)))
    sign = torch.tensor([-1.0, 1, 1, -1, 1])
    assert torch.equal(found.cameras, (expected.cameras + sign * other.cameras) / 2)


def test_the_mirror_of_a_map_has_the_mirrored_camera():
    torch.manual_seed(0)
    encoder = MapEncoder(6).eval()
    torch.nn.init.normal_(encoder.output.weight)
    maps = torch.randint(0, 17, (3, 64, 64)).to(torch.uint8)
    one, other = encoder.estimate(maps).cameras, encoder.estimate(mirror(maps)).cameras
    assert one.abs().min() > 1e-3
    assert torch.allclose(
        other, one * torch.tensor([-1.0, 1, 1, -1, 1]), atol=1e-5
    )  # yaw, and shift to the side


def test_a_camera_is_answered_in_its_units():
    encoder = MapEncoder(6).eval()
    torch.nn.init.ones_(encoder.output.bias)
    made = encoder(torch.zeros(1, 64, 64, dtype=torch.uint8))
    assert made.white.tolist() == [[1.0] * 6]
    assert made.cameras.tolist()[0] == pytest.approx(CAMERA_UNITS)
