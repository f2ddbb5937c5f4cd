import numpy as np

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.labels import BACKGROUND, CLOTH, HAIR
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.shoulders import CENTER, RADII, USUAL, add_shoulders, fit_shoulders, shoulder_depth

FRAMING = Framing(40.0, -0.3, 4.0)


def test_shoulders_fill_background_below_the_head_alone():
    labels = np.full((64, 64), BACKGROUND, np.uint8)
    labels[:, 30:34] = HAIR
    found = add_shoulders(labels, FRAMING.camera(0.0, 0.0, 64))
    assert (found[:, 30:34] == HAIR).all() and (found[:40] != CLOTH).all()
    assert (found[-1, 10:30] == CLOTH).all() and (labels == CLOTH).sum() == 0
    np.testing.assert_array_equal(found[:, ::-1] == CLOTH, found == CLOTH)


def test_outline_is_the_ellipsoids_from_every_side():
    """A pixel is cloth where the nearest point of its ray, in the ellipsoid's own measure, lies inside."""
    labels = np.full((24, 24), BACKGROUND, np.uint8)
    for yaw, pitch in ((0.6, 0.2), (-0.4, -0.1)):
        camera = FRAMING.camera(yaw, pitch, 24)
        origin, directions = cameras.rays(camera)
        along = np.linspace(0, 8, 4001)
        points = origin + along[:, None] * directions[:, :, None]
        inside = ((((points - CENTER) / RADII) ** 2).sum(-1) < 1).any(-1)
        found = add_shoulders(labels, camera) == CLOTH
        assert found.any() and (found != inside).mean() < 0.01


def test_a_camera_that_looks_away_sees_none():
    pose = FRAMING.cam2world(0.0, 0.0).copy()
    pose[:3, 3] += 20 * pose[:3, 2]  # beyond the head, looking on
    away = Camera(pose, FRAMING.intrinsics, 8)
    assert (add_shoulders(np.zeros((8, 8), np.uint8), away) == BACKGROUND).all()


def test_depth_is_where_rays_enter_the_ellipsoid():
    camera = FRAMING.camera(0.5, 0.1, 32)
    origin, directions = cameras.rays(camera)
    depth = shoulder_depth(camera)
    hit = depth > 0
    assert 20 < hit.sum() < 32 * 32
    points = (origin + depth[..., None] * directions)[hit]
    np.testing.assert_allclose((((points - CENTER) / RADII) ** 2).sum(-1), 1, atol=1e-9)
    # The near side: a little less deep is outside.
    before = (origin + 0.99 * depth[..., None] * directions)[hit]
    assert ((((before - CENTER) / RADII) ** 2).sum(-1) > 1).all()


def test_shoulders_of_a_photo_are_found_again():
    camera = FRAMING.camera(0.3, 0.05, 64)
    head = np.full((64, 64), BACKGROUND, np.uint8)
    head[:30, 20:44] = HAIR
    for shape in ((0.1, 1.3, 0.8), (-0.2, 0.75, 1.2)):
        photo = add_shoulders(head, camera, shape)
        assert tuple(fit_shoulders(photo, head, camera)) == shape
    # No clothes to be seen: none are drawn.
    bare = fit_shoulders(head, head, camera)
    np.testing.assert_array_equal(add_shoulders(head, camera, bare), head)
    # Where the head has clothes itself, nothing is asked of the ellipsoid.
    dressed = add_shoulders(head, camera)
    np.testing.assert_array_equal(
        add_shoulders(dressed, camera, fit_shoulders(dressed, dressed, camera)), dressed
    )


def test_wider_lower_shoulders_show_lower_and_farther_out():
    empty = np.full((64, 64), BACKGROUND, np.uint8)
    camera = FRAMING.camera(0.0, 0.0, 64)
    usual, wide, low = (
        add_shoulders(empty, camera, shape) == CLOTH for shape in (USUAL, (0.0, 1.3, 1.0), (0.2, 1.0, 1.0))
    )
    np.testing.assert_array_equal(usual, add_shoulders(empty, camera) == CLOTH)
    assert wide.sum() > usual.sum() > low.sum() > 0 and (wide | usual).sum() == wide.sum()
