import numpy as np
import pytest
import torch

from sofgan.cameras import Camera, rays
from sofgan.evaluation.view_consistency import render_orbit
from sofgan.labels import SKIN
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.warping import depth_of_pixels, find_warp, neighbours
from tests.sofgan.evaluation.conftest import ball_points

YAWS = (-20.0, -10.0, 0.0, 10.0, 20.0)


def texture(points):
    """Three smooth colours (..., 3) of a place on the head."""
    return np.sin(points * 3.0) * 0.8


def views_of(orbit):
    """Cameras of the orbit as arrays."""
    views = orbit.cameras
    return Camera(views.cam2world.double().numpy(), views.intrinsics.double().numpy(), views.size)


def test_a_texture_that_is_fixed_to_the_head_warps_onto_its_other_views(field, framing):
    orbit = render_orbit(field, torch.zeros(1), framing, YAWS, 64, 64)
    points, depth = map(np.stack, zip(*map(ball_points, views_of(orbit))))
    balls = torch.from_numpy((depth > 0) & np.isclose(depth, orbit.depth.numpy(), atol=1e-3))  # no shoulders
    images = torch.from_numpy(texture(points)).movedim(-1, 1).float()
    for gap in (10, 20):
        sources, targets = neighbours(YAWS, gap)
        warp = find_warp(orbit.depth, orbit.cameras, sources, targets)
        ball = balls[targets]
        share = (warp.seen & ball).sum() / ball.sum()
        assert 0.7 < share < 0.97  # What lies on one side of the ball is hidden from the other view.
        error = (warp.apply(images[sources]) - images[targets]).abs()
        still = (images[sources] - images[targets]).abs()
        seen = (warp.seen & ball)[:, None].expand_as(error)
        assert error[seen].mean() < 0.005 and still[seen].mean() > 0.06


def test_a_label_map_that_is_warped_is_the_map_rendered_there(field, framing):
    for label_size, size in ((64, 64), (128, 64), (192, 64)):
        orbit = render_orbit(field, torch.zeros(1), framing, YAWS, label_size, size)
        labels = render_orbit(field, torch.zeros(1), framing, YAWS, size, size).labels
        sources, targets = neighbours(YAWS, 20)
        warp = find_warp(orbit.depth, orbit.cameras, sources, targets)
        moved = warp.apply(torch.from_numpy(labels)[sources][:, None].float(), "nearest")[:, 0]
        seen = warp.seen.numpy()
        confusion = ConfusionMatrix()
        confusion.update(moved.numpy().astype(np.uint8)[seen][None], labels[targets][seen][None])
        assert confusion.miou() > 0.9


def test_what_one_view_hides_counts_in_neither(framing):
    """A wall, and before it a small plate: behind it the wall is hidden from each camera at another place."""
    views = framing.camera(np.radians([0.0, 10.0]), np.zeros(2), 64)
    plane = Camera(torch.from_numpy(views.cam2world), torch.from_numpy(views.intrinsics), 64)
    wall, plate = -0.5, 0.5  # z of both, head space
    depth, plates = [], []
    for view in views:
        origin, directions = rays(view)
        near = (plate - origin[2]) / directions[..., 2]
        far = (wall - origin[2]) / directions[..., 2]
        place = origin + near[..., None] * directions
        on_plate = (np.abs(place[..., :2]) < 0.25).all(-1)
        depth.append(np.where(on_plate, near, far))
        plates.append(on_plate)
    warp = find_warp(torch.from_numpy(np.stack(depth)), plane, [0, 1], [1, 0])
    shown = torch.from_numpy(np.stack(plates))[[0, 1]].float()[:, None]
    moved = warp.apply(shown)[:, 0]
    there = torch.from_numpy(np.stack(plates))[[1, 0]]
    # Nothing of the wall that counts gets a colour of the plate, and nothing of the plate one of the wall.
    assert moved[warp.seen & ~there].max() == 0 and moved[warp.seen & there].min() == 1
    hidden = ~warp.seen & ~there
    assert hidden[:, 20:44, 20:44].any((1, 2)).all()


def test_centres_of_larger_pixels_have_the_mean_depth_of_one_surface():
    intrinsics = torch.tensor([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])
    depth = torch.full((1, 8, 8), 4.0)
    depth[0, 0, 1], depth[0, 4, 4], depth[0, 7, 7] = 4.02, 2.0, 0.0
    found = depth_of_pixels(depth, intrinsics, 4)
    assert found[0, 0, 0] == pytest.approx(4.005) and found[0, 2, 2] == found[0, 3, 3] == 0
    assert (found == 4).sum() == 13
    assert torch.equal(depth_of_pixels(depth, intrinsics, 8), depth)
    thirds = torch.arange(81.0).view(1, 9, 9) + 100
    assert torch.equal(depth_of_pixels(thirds, intrinsics, 3), thirds[:, 1::3, 1::3])
    with pytest.raises(ValueError, match="centres"):
        depth_of_pixels(depth, intrinsics, 3)


def test_pairs_of_views_go_both_ways():
    assert neighbours((-10.0, 0.0, 10.0), 20) == ([0, 2], [2, 0])
    assert neighbours((-10.0, 0.0, 15.0), 20) == ([], [])
    assert len(neighbours(np.arange(-40, 41, 10), 10)[0]) == 16


def test_a_view_warps_onto_itself(field, framing):
    orbit = render_orbit(field, torch.zeros(1), framing, (0.0, 20.0), 32, 32)
    warp = find_warp(orbit.depth, orbit.cameras, [0], [0])
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = warp.seen[:, None].expand_as(images)
    assert torch.allclose(warp.apply(images)[seen], images[seen], atol=1e-3)
    assert (orbit.labels[0][warp.seen[0].numpy()] == SKIN).sum() > 100
