"""Inversion: a known camera is found again, modules stay frozen until released, resumes to the same result."""

import dataclasses

import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.sof.config import InvertMasks
from sofgan.sof.inversion_cameras import FramingCameras, PositionCameras
from sofgan.sof.inversion_start import batch_miou, face_moments, reframe, search_start
from sofgan.sof.invert import extend, invert, resize_maps
from sofgan.sof.model import load_sof, save_sof
from sofgan.training import Checkpoints

CONFIG = InvertMasks(
    preset="fast",
    maps=2,
    size=32,
    starts=4,
    start_yaws=(-0.5, 0.0, 0.5),
    blend=2,
    steps=60,
    camera_only_share=0.3,
    release_after_steps=60,
    rays_per_map=96,
    maps_per_step=4,
    code_learning_rate=2e-2,
    camera_learning_rate=2e-2,
    module_learning_rate=1e-3,
    checkpoint_every_steps=20,
    code_weight=0.001,
)
YAW, PITCH, ZOOM, SHIFT = (-0.35, 0.3), (0.1, -0.1), (1.25, 0.9), ((0.05, 0.02), (0.0, -0.04))


@pytest.fixture(scope="module")
def maps(trained):
    """Two of the field's own views from known cameras, cropped like portraits."""
    values = torch.tensor([[y, p, np.log(z), *s] for y, p, z, s in zip(YAW, PITCH, ZOOM, SHIFT)]).float()
    views = FramingCameras(values, trained.radius, trained.intrinsics)
    poses, intrinsics = views(torch.arange(2))
    rendered = [
        trained.render(trained.codes[i + 1], poses[i].detach(), intrinsics[i].detach(), 32) for i in range(2)
    ]
    return torch.stack([view.labels for view in rendered])


def test_known_cameras_are_found_again(trained, maps):
    found = invert(trained, maps, CONFIG, seed=0)
    assert found.camera_names == ("yaw", "pitch", "log_zoom", "shift_x", "shift_y")
    yaw, pitch, log_zoom, *shift = found.cameras.T
    assert torch.allclose(yaw, torch.tensor(YAW), atol=0.15)
    assert torch.allclose(pitch, torch.tensor(PITCH), atol=0.2)
    assert torch.allclose(log_zoom.exp(), torch.tensor(ZOOM), atol=0.15)
    assert torch.allclose(torch.stack(shift, 1), torch.tensor(SHIFT), atol=0.05)
    assert found.miou.min() > 0.5
    assert found.fitted.shape == (2, 32, 32)
    before = trained.model.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in found.model.state_dict().items())


def test_modules_change_only_once_released_and_the_known_field_never(trained, maps):
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    config = dataclasses.replace(CONFIG, steps=6, release_after_steps=3)
    found = invert(trained, maps, config, seed=0)
    changed = [n for n, v in found.model.state_dict().items() if not torch.equal(v, before[n])]
    assert "field.base" in changed
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())


def test_killed_and_resumed_inversion_finds_the_same(trained, maps, tmp_path):
    config = dataclasses.replace(
        CONFIG, steps=8, maps_per_step=1, release_after_steps=5, starts=1, start_yaws=(0.0,), rays_per_map=32
    )
    whole = invert(trained, maps, config, seed=0)
    for kill_at in (3, 14):
        seen = []

        def status(text, kill_at=kill_at, seen=seen):
            seen.append(text)

        class Kill(Checkpoints):
            def save(self, step, state, kill_at=kill_at):
                super().save(step, state)
                if step >= kill_at:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            invert(trained, maps, config, 0, Kill(tmp_path, ["x"]), checkpoint_every_steps=3, status=status)
    again = invert(trained, maps, config, 0, Checkpoints(tmp_path, ["x"]), checkpoint_every_steps=3)
    assert torch.equal(whole.codes, again.codes)
    assert torch.equal(whole.cameras, again.cameras)
    first, second = whole.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_papers_preset_moves_positions(trained, maps):
    config = dataclasses.replace(CONFIG, preset="paper", steps=4, release_after_steps=2, maps_per_step=1)
    found = invert(trained, maps, config, seed=0)
    assert found.camera_names == ("x", "y", "z")
    start = torch.tensor([0.0, 0.0, trained.radius])
    assert (found.cameras - start).abs().amax() > 1e-3
    assert found.cameras.isfinite().all()


def test_inverted_codes_are_appended_and_marked(trained, maps, tmp_path):
    found = invert(trained, maps, dataclasses.replace(CONFIG, steps=2), seed=0)
    save_sof(tmp_path / "x.pt", extend(trained, found, ["a", "b"]))
    loaded = load_sof(tmp_path / "x.pt")
    assert loaded.instance_names == [*trained.instance_names, "a", "b"]
    assert loaded.rounds == [1, 1, 1, 1, 2, 2]
    assert torch.equal(loaded.codes[:4], trained.codes)
    assert torch.equal(loaded.codes[4:], found.codes)


def test_position_cameras_look_at_the_head_with_finite_gradients():
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float()
    views = PositionCameras(torch.tensor([[0.3, 0.1, 4.0]]), (0.0, 0.0, 0.0), intrinsics)
    pose, _ = views(torch.tensor([0]))
    ahead = pose[0, :3, 3] + pose[0, :3, 2] * views.values[0].norm()
    assert torch.allclose(ahead, torch.zeros(3), atol=1e-5)
    assert torch.allclose(pose[0, :3, :3].T @ pose[0, :3, :3], torch.eye(3), atol=1e-5)
    pose.sum().backward()
    assert views.values.grad.isfinite().all()


def test_start_finds_code_and_framing_of_a_map(trained, maps):
    codes, values = search_start(
        trained.model, trained.codes, maps, trained.radius, trained.intrinsics, CONFIG, seed=0
    )
    assert codes.shape == (2, 8)
    assert torch.allclose(values[:, 2].exp(), torch.tensor(ZOOM), atol=0.2)
    assert (values[0, 0] < 0) and (values[1, 0] > 0)


def test_reframing_and_scores_are_exact():
    maps = torch.zeros(1, 8, 8, dtype=torch.uint8)
    maps[0, 2:4, 2:6] = 1
    same = reframe(maps, torch.ones(1), torch.zeros(1, 2), 8)
    assert torch.equal(same, maps)
    moved = reframe(maps, torch.ones(1), torch.tensor([[0.25, 0.125]]), 8)
    expected = torch.zeros_like(maps)
    expected[0, 3:5, 4:8] = 1
    assert torch.equal(moved, expected)
    centre, extent = face_moments(maps)
    assert torch.allclose(centre, torch.tensor([[0.5, 0.375]]))
    assert extent.item() == pytest.approx((8 / 64) ** 0.5)
    zoomed = reframe(maps, torch.tensor([2.0]), torch.zeros(1, 2), 8)
    assert face_moments(zoomed)[1].item() == pytest.approx(2 * extent.item())
    assert batch_miou(maps, maps[0]).item() == pytest.approx(1.0)
    half = maps.clone()
    half[0, 2, 2:6] = 0  # 4 of 8 left; background 56 of 60
    assert batch_miou(half, maps[0]).item() == pytest.approx((4 / 8 + 56 / 60) / 2)
    assert resize_maps(maps.numpy(), 4).shape == (1, 4, 4)
