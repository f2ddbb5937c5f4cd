"""One step of fitting maps: cameras, rays, ranges and terms, each by hand."""

import dataclasses
import math

import pytest
import torch

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.sof import volume_marcher
from sofgan.sof.config import InvertMasks, SofConfig, SofLoss
from sofgan.sof.inversion import invert as inversion
from sofgan.sof.inversion.cameras import FramingCameras
from sofgan.sof.inversion.code_prior import fit_prior, open_prior
from sofgan.sof.inversion.fit import Fit, Recipe, project_within
from sofgan.sof.inversion.start import search_start
from sofgan.sof.model import new_model
from sofgan.sof.rays import Projection, Rays, pixel_rays
from sofgan.sof.render import COARSE_SIZE
from tests import scenes

INTRINSICS = torch.tensor([[2.0, 0, 0.5], [0, 3.0, 0.4], [0, 0, 1]])
CONFIG = InvertMasks(
    preset="fast", maps=3, parsed_maps=0, least_miou=0.0,
    new_heads=0, size=16, encoder_steps=0, starts=2, start_yaws=(0.0,), blend=1, steps=4,
    camera_only_share=0.5, rays_per_map=8, maps_per_step=3, autocast=False, adam_beta2=0.99, warmup_share=0.25,
    clip_gradient_norm=0.0, code_space="known", code_learning_rate=0.1, camera_learning_rate=0.1,
    code_weight=0.3, camera_weight=2.0, released_steps=0, rehearsal_instances=0, module_learning_rate=1e-3,
    released_code_learning_rate=1e-2, released_camera_learning_rate=1e-3, checkpoint_every_steps=20,
)  # fmt: skip


def numbers(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def training(tiny_training):
    return dataclasses.replace(
        tiny_training,
        loss=SofLoss(cross_entropy=2.0, negative_depth=5.0, points=0.5, code=1e-3, roughness=0.0),
    )


@pytest.fixture
def fit(training):
    """Three maps of noise, their codes and cameras off the start."""
    model = new_model(SofConfig(training.field, training.marcher), 5, 1.0, 0).requires_grad_(False)
    maps = torch.randint(0, 17, (3, 16, 16), generator=numbers()).to(torch.uint8)
    views = FramingCameras(torch.randn((3, 5), generator=numbers(1)) / 10, 4.0, INTRINSICS)
    made = Fit(model, maps, model.codes[:3], views, fit_prior(model.codes), Recipe(CONFIG, training))
    with torch.no_grad():
        made.white.add_(1.0)
        made.views.values.add_(torch.randn((3, 5), generator=numbers(2)))
    return made


def test_framing_cameras_are_orbits_with_another_zoom_and_principal_point():
    values = torch.tensor([[0.3, -0.2, math.log(1.5), 0.05, -0.02], [0.0, 9.0, 9.0, 0.0, 0.0]])
    framed = FramingCameras(values, 4.0, INTRINSICS)(torch.tensor([0, 1]), 16)
    poses, intrinsics = framed.cam2world, framed.intrinsics
    torch.testing.assert_close(poses[0], cameras.orbit(torch.tensor(0.3), torch.tensor(-0.2), 4.0))
    torch.testing.assert_close(intrinsics[0], torch.tensor([[3.0, 0, 0.55], [0, 4.5, 0.38], [0, 0, 1]]))
    # A fit that runs away stays finite.
    torch.testing.assert_close(poses[1], cameras.orbit(torch.tensor(0.0), torch.tensor(1.4), 4.0))
    assert intrinsics[1, 0, 0].item() == pytest.approx(2 * math.exp(4))


def test_rays_of_a_map_go_through_its_pixels_centres():
    poses = cameras.orbit(torch.tensor([0.3, -0.4]), torch.tensor([0.1, 0.2]), 4.0)
    intrinsics = torch.stack([INTRINSICS, INTRINSICS + torch.diag(torch.tensor([1.0, 2.0, 0.0]))])
    pixels = torch.tensor([[0, 7, 17], [255, 16, 33]])
    rays = pixel_rays(Camera(poses, intrinsics, 16), pixels)
    for one in range(2):
        origin, directions = cameras.rays(Camera(poses[one], intrinsics[one], 16))
        torch.testing.assert_close(rays.directions[one], directions.flatten(0, 1)[pixels[one]])
        torch.testing.assert_close(rays.origins[one], origin.expand(3, 3))


def test_the_loss_of_a_fit_is_the_sum_of_its_terms_by_their_weights(fit, monkeypatch):
    index, pixels = torch.tensor([2, 0]), torch.randint(0, 256, (2, 8), generator=numbers(3))
    classes = fit.maps[index].flatten(1).gather(1, pixels).long()
    weights = torch.rand((2, 8), generator=numbers(4))
    seen = Projection(
        torch.randn((2, 8, 17), generator=numbers(5)).log_softmax(-1),
        torch.randn((2, 8), generator=numbers(6)),
        None,
    )
    monkeypatch.setattr("sofgan.sof.inversion.fit.project_within", lambda *arguments: seen)
    loss, terms = fit.loss(index, pixels, classes, weights, numbers())
    expected = {
        "cross_entropy": -(weights * seen.log_probabilities.gather(-1, classes[..., None])[..., 0]).mean(),
        "code_distance": (fit.white[index] ** 2).mean(),
        "camera_distance": ((fit.views.values - fit.expected)[index] ** 2).mean(),
        "negative_depth": (torch.where(seen.depth < 0, seen.depth, 0.0) ** 2).mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    # Beside a cross-entropy of weight 1 the depth's weight is as in training, where that has 2.
    factors = (1.0, CONFIG.code_weight, CONFIG.camera_weight, 5.0 / 2.0)
    torch.testing.assert_close(loss, sum(f * value for f, value in zip(factors, expected.values())))


def test_a_pixels_range_is_that_of_its_coarse_cell(fit):
    cells = torch.arange(3 * 2 * COARSE_SIZE**2).float().reshape(3, 2, COARSE_SIZE, COARSE_SIZE)
    fit.ranges, fit.draws = cells, torch.zeros(3)
    index, pixels = torch.tensor([2, 1]), torch.tensor([[0, 5, 16, 255], [3, 18, 100, 200]])
    found = fit._ranges_at(index, pixels, fit.codes(index), fit.views(index, 16))
    scale = COARSE_SIZE // 16
    for i, which in enumerate(index.tolist()):
        for j, pixel in enumerate(pixels[i].tolist()):
            row, column = divmod(pixel, 16)
            assert torch.equal(found[i, j], cells[which, :, row * scale, column * scale])
    assert fit.draws.tolist() == [0, 1, 1]


def test_samples_lie_within_a_pixels_range_or_all_along_where_it_is_empty(fit, monkeypatch):
    rays = Rays(torch.tensor([0.0, 0.0, 4.0]).expand(1, 4, 3), torch.tensor([0.0, 0.0, -1.0]).expand(1, 4, 3))
    asked = []

    def stratified(low, high, samples, generator):
        asked.append(torch.stack([low, high], -1))
        return low[..., None].expand(*low.shape, samples)

    monkeypatch.setattr(volume_marcher, "stratified", stratified)
    ranges = torch.tensor([[[3.5, 4.5], [1.0, 9.0], [torch.inf, -torch.inf], [4.5, 3.5]]])
    project_within(fit.model, fit.model.generate(fit.codes()[:1]), rays, ranges, numbers())
    torch.testing.assert_close(asked[0], torch.tensor([[[3.5, 4.5], [3.0, 5.0], [3.0, 5.0], [3.0, 5.0]]]))


@pytest.mark.parametrize("step", [0, 3])
def test_codes_are_held_at_first_and_cameras_never(fit, training, monkeypatch, step):
    """`camera_only_share` of the steps: two of four."""
    rates, plain_step = [], torch.optim.Adam.step

    def recorded(optimizer, *rest):
        rates.append([group["lr"] for group in optimizer.param_groups])
        return plain_step(optimizer, *rest)

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    monkeypatch.setattr(inversion, "learn", lambda parameters, tasks, device: {"loss": torch.zeros(())})
    monkeypatch.setattr(inversion, "scored", lambda *arguments: None)
    values = fit.views.values.detach()
    views = FramingCameras(values, 4.0, INTRINSICS)
    monkeypatch.setattr(inversion, "_start", lambda *arguments: (fit.codes().detach(), views))

    class Field:
        device, model, codes = torch.device("cpu"), fit.model, fit.model.codes

    config = dataclasses.replace(CONFIG, code_learning_rate=0.5, camera_learning_rate=0.1)
    inversion.invert(Field, fit.maps, Recipe(config, training), 0)
    assert len(rates) == 4
    code, camera = rates[step]
    assert camera > 0 and (code == 0) == (step < 2)
    assert not code or code == pytest.approx(5 * camera)


def test_a_start_puts_a_head_off_the_middle_where_the_map_has_it(sphere_sof, monkeypatch):
    """Its zoom moves it away from the middle too."""
    monkeypatch.setattr(scenes.SphereField, "CENTRE", (0.4, 0.1, 0.0))
    monkeypatch.setattr(scenes.SphereField, "RADIUS", 0.25)
    values = torch.tensor([[0.0, 0.0, math.log(1.8), -0.2, 0.05]])
    (camera,) = FramingCameras(values, sphere_sof.radius, sphere_sof.intrinsics)(torch.tensor([0]), 96)
    seen = sphere_sof.render(sphere_sof.codes[0], camera).labels[None]
    _, found = search_start(sphere_sof, seen, CONFIG, 0)
    torch.testing.assert_close(found, values, rtol=0, atol=0.02)


def test_an_open_prior_is_as_wide_as_known_codes_are_in_all_directions():
    codes = torch.randn((400, 6), generator=numbers()) * torch.linspace(0.5, 2, 6) + 3
    prior = open_prior(codes)
    white = prior.white(codes)
    torch.testing.assert_close(prior.codes(white), codes)
    assert white.square().mean().item() == pytest.approx(1, rel=0.01) and prior.axes.shape == (6, 6)
