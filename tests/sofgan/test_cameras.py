import subprocess
import sys

import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.cameras import Camera

YAW, PITCH = np.array([0.0, 0.7, -1.2, 3.0]), np.array([0.0, 0.3, -0.5, 1.2])


def test_frontal_camera_sits_at_plus_z_with_opencv_axes():
    pose = cameras.orbit(np.array(0.0), np.array(0.0), 4.0)
    np.testing.assert_allclose(pose[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-12)
    np.testing.assert_allclose(pose[:3, 3], [0, 0, 4])


def test_look_at_is_a_rotation_whose_axis_hits_the_target():
    target = np.array([0.1, -0.2, 0.3])
    poses = cameras.orbit(YAW, PITCH, 2.5, target)
    rotation = poses[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1)
    np.testing.assert_allclose(
        poses[:, :3, 3] + 2.5 * rotation[:, :, 2], np.broadcast_to(target, (4, 3)), atol=1e-12
    )
    assert (rotation[:, 1, 1] < 0).all()  # Image down is world down.


def test_positive_yaw_and_pitch_move_the_camera_right_and_up():
    assert cameras.orbit(np.array(0.5), np.array(0.0), 1.0)[0, 3] > 0
    assert cameras.orbit(np.array(0.0), np.array(0.5), 1.0)[1, 3] > 0


def test_project_undoes_rays():
    poses = cameras.orbit(YAW, PITCH, 4.0)
    intrinsics = cameras.intrinsics_from_fov(28.0)
    around = Camera(poses, intrinsics, 6)
    origins, directions = cameras.rays(around)
    assert origins.shape == (4, 3) and directions.shape == (4, 6, 6, 3)
    depth = np.linspace(1, 6, 36).reshape(6, 6)
    points = origins[:, None, None] + depth[..., None] * directions
    image, z = cameras.project(points, around[:, None, None])
    np.testing.assert_allclose(z, np.broadcast_to(depth, z.shape))
    centres = cameras.pixel_centres(6, poses)
    np.testing.assert_allclose(image, np.broadcast_to(centres, image.shape), atol=1e-12)
    assert centres[0, 5].tolist() == pytest.approx([5.5 / 6, 0.5 / 6])  # x first


def test_pixel_centres_lie_at_half_integers_in_widths():
    centres = cameras.pixel_centres(4, np.zeros(1))
    np.testing.assert_allclose(centres[:2, 0], [[0.125, 0.125], [0.125, 0.375]])
    np.testing.assert_allclose(centres[1, :, 0], [0.125, 0.375, 0.625, 0.875])


def test_each_axis_has_its_own_focal_length_and_principal_point():
    intrinsics = np.array([[2.0, 0, 0.3], [0, 4.0, 0.6], [0, 0, 1]])
    np.testing.assert_allclose(cameras.unproject(np.array([0.5, 0.8]), intrinsics), [0.1, 0.05, 1])
    image, depth = cameras.project(np.array([0.3, 0.3, 3.0]), cameras.Camera(np.eye(4), intrinsics, 8))
    np.testing.assert_allclose(image, [0.5, 1.0])
    assert depth == 3


def test_field_of_view_spans_the_image():
    intrinsics = cameras.intrinsics_from_fov(60.0)
    edge = cameras.unproject(np.array([1.0, 0.5]), intrinsics)
    np.testing.assert_allclose(np.degrees(np.arctan2(edge[0], edge[2])), 30)
    with pytest.raises(ValueError, match="180"):
        cameras.intrinsics_from_fov(180)


def test_tensors_give_the_same_and_carry_gradients():
    yaw = torch.tensor(YAW, requires_grad=True)
    pitch = torch.tensor(PITCH, requires_grad=True)
    poses = cameras.orbit(yaw, pitch, torch.tensor(4.0, dtype=torch.float64))
    np.testing.assert_allclose(poses.detach().numpy(), cameras.orbit(YAW, PITCH, 4.0))
    _, directions = cameras.rays(Camera(poses, torch.tensor(cameras.intrinsics_from_fov(30.0)), 3))
    directions[..., 0].square().sum().backward()
    assert torch.isfinite(yaw.grad).all() and yaw.grad.abs().max() > 0


def test_degenerate_cameras_are_refused():
    with pytest.raises(ValueError, match="up"):
        cameras.look_at(np.array([0.0, 3.0, 0.0]))
    with pytest.raises(ValueError, match="target|up"):
        cameras.look_at(np.zeros(3))


def test_opengl_axes_are_flipped_columns():
    pose = cameras.orbit(np.array(0.4), np.array(0.2), 3.0)
    gl = cameras.to_opengl(pose)
    np.testing.assert_allclose(gl[:3, 0], pose[:3, 0])
    np.testing.assert_allclose(gl[:3, 1:3], -pose[:3, 1:3])
    np.testing.assert_allclose(gl[:, 3], pose[:, 3])


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_a_batch_is_its_cameras_one_by_one(kind):
    intrinsics = np.stack([cameras.intrinsics_from_fov(fov) for fov in (20.0, 30.0, 40.0, 50.0)])
    around = Camera(kind(cameras.orbit(YAW, PITCH, 4.0)), kind(intrinsics), 5)
    assert len(around) == 4 and not around.single
    origins, directions = cameras.rays(around)
    for index, camera in enumerate(around):
        assert camera.single and camera.size == 5
        own_origin, own_directions = cameras.rays(camera)
        np.testing.assert_array_equal(own_origin, origins[index])
        np.testing.assert_allclose(own_directions, directions[index], rtol=1e-12)
    some = around[1:3]
    np.testing.assert_array_equal(some.cam2world, around.cam2world[1:3])
    np.testing.assert_array_equal(some.intrinsics, intrinsics[1:3])
    with pytest.raises(IndexError):
        around[4]


def test_one_camera_becomes_a_batch_by_new_axes_alone():
    shared = cameras.intrinsics_from_fov(30.0)
    camera = Camera(cameras.orbit(0.3, 0.1, 4.0), shared, 5, orthographic=True)
    batch = camera[None, None]
    assert batch.cam2world.shape == (1, 1, 4, 4) and batch.intrinsics is shared and batch.orthographic
    for use in (len, iter, lambda one: one[0], lambda one: one[1:]):
        with pytest.raises(TypeError, match=r"camera\[None\]"):
            list(use(camera)) if use is iter else use(camera)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"cam2world": np.eye(3)}, r"cam2world has the shape \(\.\.\., 4, 4\), not \(3, 3\)"),
        ({"cam2world": [[1.0]]}, "not a list"),
        (
            {"intrinsics": np.eye(4)},
            r"intrinsics have the shape \(3, 3\) where cam2world has \(4, 4\), not \(4, 4\)",
        ),
        ({"cam2world": np.zeros((2, 4, 4)), "intrinsics": np.zeros((3, 3, 3))}, r"\(3, 3\) or \(2, 3, 3\)"),
        ({"size": 0}, "at least 1, not 0"),
        ({"size": 64.0}, "whole number of pixels"),
        ({"size": True}, "whole number of pixels"),
        ({"orthographic": 1}, "True or False"),
    ],
)
def test_what_is_no_camera_is_refused_in_a_sentence(changes, sentence):
    given = {"cam2world": np.eye(4), "intrinsics": np.eye(3), "size": 64, "orthographic": False} | changes
    with pytest.raises(ValueError, match=sentence):
        Camera(**given)


def test_cameras_need_no_torch():
    code = "import sys, sofgan.cameras; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
