"""Projection: an analytic sphere, plain twins, and rays that miss."""

import math

import pytest
import torch

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.sof import volume_marcher
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.lstm_marcher import LstmMarcher
from sofgan.sof.model import new_model
from sofgan.sof.rays import Rays, ball_interval, camera_rays
from sofgan.sof.render import project_coarse_to_fine, project_dense, render_view
from tests import scenes

SKIN = 1


def frontal(size, yaw=0.3, pitch=0.1):
    pose = cameras.orbit(torch.tensor(yaw), torch.tensor(pitch), 4.0).float()
    return Camera(pose, torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float(), size)


@pytest.mark.parametrize("projector", [project_dense, project_coarse_to_fine])
def test_volume_rendering_finds_an_analytic_sphere(sphere_model, projector):
    camera = frontal(48)
    projection = projector(sphere_model, sphere_model.generate(sphere_model.codes), camera)
    hit, depth = scenes.sphere_truth(camera_rays(camera))
    found = projection.log_probabilities[0].argmax(-1) == SKIN
    assert found.sum().item() == pytest.approx(hit.sum().item(), rel=0.03)  # coverage
    both = found & hit
    assert both.sum() > 0.97 * hit.sum()
    error = (projection.depth[0] - depth)[both].abs()
    assert error.median() < 0.03
    assert error.mean() < 0.05
    probabilities = projection.log_probabilities.exp().sum(-1)
    assert torch.allclose(probabilities, torch.ones_like(probabilities), atol=1e-3)


def test_composite_equals_a_walk_along_the_ray():
    torch.manual_seed(0)
    # Mostly empty, so that a good part of each ray passes.
    logs = (torch.randn(1, 3, 6, 5) + torch.tensor([4.0, 0, 0, 0, 0])).log_softmax(-1)
    depths = torch.rand(1, 3, 6).sort(-1).values
    got = volume_marcher.composite(logs, depths)
    for ray in range(3):
        light, seen, depth = 1.0, torch.zeros(5), 0.0
        for sample in range(6):
            p = logs[0, ray, sample].exp()
            seen[1:] += light * p[1:]
            depth += light * (1 - p[0]) * depths[0, ray, sample]
            light *= p[0]
        seen[0] = light
        assert 0.2 < light < 0.9
        assert torch.allclose(got.log_probabilities[0, ray].exp(), seen, atol=1e-5)
        assert got.depth[0, ray].item() == pytest.approx((depth / (1 - light)).item(), rel=1e-4)
        assert got.opacity[0, ray].item() == pytest.approx(1 - light.item(), rel=1e-4)


def test_sure_samples_and_sure_mistakes_keep_gradients_finite():
    logits = (torch.randn(1, 4, 6, 17) * 200).requires_grad_()
    result = volume_marcher.composite(logits.log_softmax(-1), torch.rand(1, 4, 6))
    assert result.log_probabilities.isfinite().all()
    result.log_probabilities.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("marcher", ["volume", "lstm"])
def test_rays_that_miss_the_ball_give_background_and_finite_gradients(marcher):
    field = FieldConfig(
        code_size=4, channels=4, base_size=8, basis_size=4, basis=2, decoder_hidden=8, local_basis=0
    )
    model = new_model(SofConfig(field, MarcherConfig(marcher, hidden=4, steps=3)), 1, 0.1, seed=0)
    yaw = torch.tensor([0.2], requires_grad=True)
    cam2world = cameras.orbit(yaw, yaw * 0, 4.0)
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(70.0)).float()
    rays = camera_rays(Camera(cam2world[:, None], intrinsics, 16))
    near, far, hit = ball_interval(rays)
    assert 0 < hit.sum() < hit.numel()
    assert ((far - near)[~hit] == 0).all()
    projection = model.project(model.generate(model.codes), rays)
    (projection.log_probabilities.clamp_min(-5).sum() + projection.depth.sum()).backward()
    assert yaw.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    if marcher == "volume":
        assert (projection.log_probabilities.argmax(-1)[~hit] == 0).all()
        assert (projection.opacity[~hit] == 0).all()


def test_ball_interval_is_where_the_chord_begins_and_ends():
    rays = Rays(torch.tensor([[[0.0, 0.6, 4.0]]]), torch.tensor([[[0.0, 0.0, -2.0]]]))  # not of unit length
    near, far, hit = ball_interval(rays)
    assert hit.all()
    assert near.item() == pytest.approx((4 - 0.8) / 2, rel=1e-5)
    assert far.item() == pytest.approx((4 + 0.8) / 2, rel=1e-5)


def test_lstm_marcher_equals_a_walk_ray_by_ray():
    torch.manual_seed(0)
    field_config = FieldConfig("hyper", code_size=4, phi_hidden=8, hyper_hidden=8)
    marcher_config = MarcherConfig("lstm", steps=4, hidden=5, start="sphere")
    model = new_model(SofConfig(field_config, marcher_config), 2, 0.5, seed=0).eval()
    camera = frontal(3)
    pose = camera.cam2world
    rays = camera_rays(Camera(pose.expand(2, 1, 4, 4), camera.intrinsics, 3))
    made = model.generate(model.codes)
    with torch.no_grad():
        got = model.project(made, rays)
        lstm = model.marcher.lstm
        near = ball_interval(rays)[0]
        for instance in range(2):
            one = {name: value[instance : instance + 1] for name, value in made.items()}
            for ray in range(9):
                origin, direction = rays.origins[instance, ray], rays.directions[instance, ray]
                unit = direction / direction.norm()
                point = origin + near[instance, ray] * direction
                h = c = torch.zeros(5)
                for _ in range(4):
                    value = model.field.features(one, point[None, None])[0, 0]
                    gates = lstm.weight_ih @ value + lstm.bias_ih + lstm.weight_hh @ h + lstm.bias_hh
                    i, f, g, o = gates.chunk(4)
                    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                    h = o.sigmoid() * c.tanh()
                    point = point + model.marcher.step_length(h) * unit
                expected = model.field.logits(one, point[None, None])[0, 0].log_softmax(-1)
                assert torch.allclose(got.log_probabilities[instance, ray], expected, atol=1e-4)
                assert got.opacity[instance, ray].item() == pytest.approx(
                    1 - expected[0].exp().item(), abs=1e-4
                )
                depth = ((point - origin) * pose[:3, 2]).sum()  # camera z
                assert got.depth[instance, ray].item() == pytest.approx(depth.item(), abs=1e-4)


def test_lstm_marcher_starts_as_the_paper_says():
    torch.manual_seed(0)
    marcher = LstmMarcher(MarcherConfig("lstm", start="srn"), 256)
    for bias in (marcher.lstm.bias_ih, marcher.lstm.bias_hh):
        assert torch.equal(bias, torch.cat([torch.zeros(16), torch.ones(16), torch.zeros(32)]))
    gates = marcher.lstm.weight_hh
    assert torch.allclose(gates.T @ gates, torch.eye(16), atol=1e-5)
    rays = camera_rays(frontal(64))
    depth = marcher.start(rays, torch.Generator().manual_seed(0))
    assert depth.mean().item() == pytest.approx(0.05, abs=1e-4)
    assert depth.std().item() == pytest.approx(5e-4, rel=0.05)
    assert torch.equal(marcher.start(rays, None), torch.full((1, 64 * 64), 0.05))
    marcher = LstmMarcher(MarcherConfig("lstm", start="sphere"), 256)
    assert torch.equal(marcher.start(rays, None), ball_interval(rays)[0])


def test_coarse_to_fine_agrees_with_the_dense_twin(sphere_model):
    camera = frontal(64, yaw=-0.5)
    made = sphere_model.generate(sphere_model.codes)
    fast = render_view(sphere_model, made, camera)
    plain = render_view(sphere_model, made, camera, dense=True)
    assert (fast.labels == plain.labels).float().mean() > 0.99
    both = (fast.labels > 0) & (plain.labels > 0)
    assert (fast.depth - plain.depth)[both].abs().mean() < 0.05
    assert (fast.depth[fast.labels == 0] == 0).all()
    assert fast.labels.dtype == torch.uint8
    assert math.isclose(
        both.float().mean().item(), math.pi * 0.25 / (2 * 4 * math.tan(math.radians(14.5))) ** 2, rel_tol=0.1
    )


def test_samples_are_the_middles_of_equal_parts_or_drawn_in_each():
    near, far = torch.tensor([[2.0, 0.0]]), torch.tensor([[4.0, 1.0]])
    middles = torch.tensor([[[2.25, 2.75, 3.25, 3.75], [0.125, 0.375, 0.625, 0.875]]])
    assert torch.allclose(volume_marcher.stratified(near, far, 4, None), middles)
    drawn = volume_marcher.stratified(
        near.expand(300, 2), far.expand(300, 2), 4, torch.Generator().manual_seed(0)
    )
    offset = (drawn - middles) / (far - near)[..., None] * 4
    assert offset.abs().max() <= 0.5 and offset.std().item() == pytest.approx(12**-0.5, rel=0.1)


def test_more_samples_lie_on_both_sides_of_a_known_surface(monkeypatch):
    seen = []
    monkeypatch.setattr(volume_marcher, "shade", lambda field, made, rays, depths: seen.append(depths))
    monkeypatch.setattr(volume_marcher, "pass_missed", lambda projection, hit: projection)
    rays = Rays(torch.tensor([0.0, 0.0, 4.0]).expand(1, 3, 3), torch.tensor([0.0, 0.0, -1.0]).expand(1, 3, 3))
    config = MarcherConfig(samples=4, surface_samples=4, surface_width=0.2)
    hint = torch.tensor([[3.6, 0.0, 3.02]])  # known, unknown, and known but near the ball's border
    volume_marcher.VolumeMarcher(config)(None, None, rays, None, hint)
    (depths,) = seen
    assert torch.equal(depths, depths.sort(-1).values) and depths.min() >= 3 and depths.max() <= 5
    around = torch.tensor([3.525, 3.575, 3.625, 3.675])
    along = torch.tensor([3.25, 3.75, 4.25, 4.75])
    assert torch.allclose(depths[0, 0], torch.cat([along, around]).sort().values)
    assert torch.allclose(depths[0, 1], torch.cat([along, along]).sort().values)
    assert torch.allclose(depths[0, 2, :4], torch.tensor([3.0, 3.0, 3.045, 3.095]))


def test_gradients_of_the_walk_are_limited_at_each_step():
    """So a loss a thousand times as large, where all are at their limits, moves the walk no more."""
    torch.manual_seed(0)
    config = SofConfig(
        FieldConfig("hyper", code_size=4, phi_hidden=8, hyper_hidden=8),
        MarcherConfig("lstm", steps=3, hidden=5),
    )
    gradients = []
    for scale in (1e9, 1e12):
        model = new_model(config, 1, 0.5, seed=0)
        rays = camera_rays(frontal(3))
        projection = model.project(model.generate(model.codes.detach()), rays)
        (scale * projection.depth.sum()).backward()
        gradients.append(model.marcher.lstm.bias_ih.grad)
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-3 * float(gradients[0].abs().max()))
