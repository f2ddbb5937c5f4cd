import numpy as np
import pytest
import torch

from sofgan import cameras

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
    origins, directions = cameras.rays(poses, intrinsics, 5, 7)
    assert origins.shape == (4, 3) and directions.shape == (4, 5, 7, 3)
    depth = np.linspace(1, 6, 35).reshape(5, 7)
    points = origins[:, None, None] + depth[..., None] * directions
    image, z = cameras.project(points, poses[:, None, None], intrinsics)
    np.testing.assert_allclose(z, np.broadcast_to(depth, z.shape))
    np.testing.assert_allclose(
        image, np.broadcast_to(cameras.pixel_centres(5, 7, poses), image.shape), atol=1e-12
    )


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
    _, directions = cameras.rays(poses, torch.tensor(cameras.intrinsics_from_fov(30.0)), 3, 3)
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
