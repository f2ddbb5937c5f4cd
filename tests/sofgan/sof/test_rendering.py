"""Views of any camera: an analytic sphere, normals, and the fast path against plain twins."""

import numpy as np
import pytest
import torch

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.model import field_instance, new_model
from sofgan.sof.occupancy import Occupancy, find_occupancy
from sofgan.sof.rays import Rays, ball_interval, camera_rays
from sofgan.sof.render import picture, project_coarse_to_fine, project_occupied, render_view
from sofgan.sof.surface import surface_depth
from tests import scenes

POSE = torch.from_numpy(cameras.orbit(0.4, 0.2, 4.0)).float()
PERSPECTIVE = torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float()
ORTHOGRAPHIC = torch.from_numpy(cameras.orthographic_intrinsics(2.1)).float()
KINDS = ["perspective", "orthographic"]


def seen_from(kind: str, size: int) -> Camera:
    """The camera of the tests, of either kind."""
    orthographic = kind == "orthographic"
    return Camera(POSE, ORTHOGRAPHIC if orthographic else PERSPECTIVE, size, orthographic)


def test_orthographic_rays_are_parallel_and_project_back():
    intrinsics = cameras.orthographic_intrinsics(2.1)
    pose = cameras.orbit(0.4, 0.2, 4.0)
    camera = Camera(pose, intrinsics, 8, orthographic=True)
    origins, directions = cameras.rays(camera)
    assert origins.shape == directions.shape == (8, 8, 3)
    assert np.allclose(directions, pose[:3, 2])
    image, depth = cameras.project(origins + 3.0 * directions, camera)
    assert np.allclose(image, cameras.pixel_centres(8, pose))
    assert np.allclose(depth, 3.0)
    assert origins[0, -1] @ pose[:3, 0] - origins[0, 0] @ pose[:3, 0] == pytest.approx(2.1 * 7 / 8)
    tensors = torch.from_numpy(pose)[None, None], torch.from_numpy(intrinsics)
    many = cameras.rays(Camera(*tensors, 8, True))
    assert np.allclose(many[0][0, 0].numpy(), origins)
    with pytest.raises(ValueError, match="above 0"):
        cameras.orthographic_intrinsics(0)


def test_what_lies_behind_the_camera_is_not_seen():
    forward = torch.tensor([0.0, 0.0, -2.0]).expand(1, 3, 3)  # Not of unit length.
    origins = torch.tensor([[[0.0, 0.0, 4.0], [0.0, 0.6, 0.0], [0.0, 0.0, -4.0]]])
    near, far, hit = ball_interval(Rays(origins, forward))
    assert hit.tolist() == [[True, True, False]]
    assert torch.allclose(near[0], torch.tensor([1.5, 0.0, -2.0]))
    assert torch.allclose(far[0], torch.tensor([2.5, 0.4, -2.0]))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_both_kinds_of_camera_see_an_analytic_sphere(sphere_model, kind, dense):
    size = 64
    camera = seen_from(kind, size)
    made = sphere_model.generate(sphere_model.codes)
    view = render_view(sphere_model, made, camera, probabilities=True, normals=True, dense=dense)
    rays = camera_rays(camera)
    hit, depth = scenes.sphere_truth(rays)
    hit, depth = hit.reshape(size, size), depth.reshape(size, size)
    found = view.labels == labels.SKIN
    assert (found != hit).float().mean() < 0.005
    assert view.labels.dtype == torch.uint8
    both = found & hit
    assert (view.depth - depth)[both].abs().mean() < 0.005
    assert (view.depth[~found] == 0).all()
    sphere = scenes.SphereField
    points = rays.at(depth.reshape(1, -1))[0].reshape(size, size, 3)
    truth = (points - torch.tensor(sphere.CENTRE)) / sphere.RADIUS
    assert ((view.normals * truth).sum(-1)[both] > 0.99).float().mean() > 0.98
    assert torch.allclose(view.normals.norm(dim=-1)[found], torch.ones(()), atol=1e-4)
    assert (view.normals[~found] == 0).all()
    assert torch.allclose(view.probabilities.sum(-1), torch.ones(()), atol=1e-3)
    assert torch.equal(view.probabilities.argmax(-1).to(torch.uint8), view.labels)


def test_surface_depth_is_where_half_of_a_ray_is_stopped():
    depths = torch.linspace(1.0, 2.0, 11).expand(2, 11)
    odds = 40 * (depths - 1.43)  # A surface at 1.43.
    log_empty = torch.nn.functional.logsigmoid(-odds)
    log_empty = torch.stack([log_empty[0], torch.zeros(11)])
    assert surface_depth(log_empty, depths).tolist() == pytest.approx([1.43, 0.0], abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_skipping_changes_nothing_that_is_seen(trained, kind):
    instance = field_instance(trained.model, trained.generate(trained.codes[0]))
    everything = Occupancy(torch.zeros(4, 4, 4))
    camera = seen_from(kind, 48)
    plain = project_occupied(instance, everything, camera)
    fast = project_occupied(instance, find_occupancy(instance), camera)
    ours, twin = picture(fast, 48).labels, picture(plain, 48).labels
    assert (twin > 0).float().mean() > 0.1
    assert (ours != twin).float().mean() < 0.02
    assert (fast.opacity - plain.opacity).abs().mean() < 0.02


def test_every_sample_of_a_ray_by_hand(trained):
    instance = field_instance(trained.model, trained.generate(trained.codes[1]))
    camera = seen_from("perspective", 9)
    got = project_occupied(instance, Occupancy(torch.zeros(4, 4, 4)), camera)
    rays = camera_rays(camera)
    near, _, hit = ball_interval(rays)
    length = rays.directions.norm(dim=-1)
    nearest = (near * length)[hit].min()
    for ray in range(0, 81, 7):
        light = 1.0
        for sample in range(64):
            depth = (nearest + (sample + 0.5) * 2 / 64) / length[0, ray]
            point = rays.origins[0, ray] + depth * rays.directions[0, ray]
            if point.norm() < 1 and light > 0.02:  # What is behind that isn't asked for.
                light *= instance.log_empty(point[None]).exp().item()
        seen = 1 - light if light < 0.99 else 0.0
        assert got.log_probabilities[0, ray, 1:].exp().sum().item() == pytest.approx(seen, abs=0.03)


def test_fast_views_score_like_dense_ones(trained):
    scores = {True: ConfusionMatrix(), False: ConfusionMatrix()}
    poses = cameras.orbit(np.array([-0.6, -0.1, 0.4, 0.9]), np.array([0.2, -0.1, 0.1, 0.0]), 4.0)
    for head in range(4):
        parts, made = scenes.head_parts(head), trained.generate(trained.codes[head])
        for pose in poses:
            truth, _ = scenes.picture(parts, Camera(pose, PERSPECTIVE.double().numpy(), 40))
            camera = Camera(torch.from_numpy(pose).float(), PERSPECTIVE, 40)
            for dense, confusion in scores.items():
                view = render_view(trained.model, made, camera, dense=dense)
                confusion.update(view.labels, torch.from_numpy(truth))
    # Mean IoU is a matter for the benchmark: this field's small parts are too vague.
    assert scores[False].accuracy() > scores[True].accuracy() - 0.005
    assert scores[False].miou() > scores[True].miou() - 0.05


def test_kept_occupancy_gives_the_same_views(trained):
    code = trained.codes[2]
    prepared = trained.prepare(code)
    camera = seen_from("perspective", 33)
    once = trained.render(code, camera, probabilities=True)
    kept = trained.render(prepared, camera, probabilities=True)
    assert torch.equal(once.labels, kept.labels)
    assert torch.equal(once.probabilities, kept.probabilities)
    closer = PERSPECTIVE * torch.tensor([1.5, 1.5, 1.0])[:, None]
    both = Camera(torch.stack([POSE, POSE]), torch.stack([PERSPECTIVE, closer]), 33)
    first, second = trained.render_views(prepared, both)
    assert torch.equal(first.labels, once.labels)
    assert not torch.equal(second.labels, once.labels)


def test_views_from_within_and_past_the_ball(sphere_sof):
    inside = torch.from_numpy(cameras.orbit(0.0, 0.0, 0.9)).float()
    view = sphere_sof.render(sphere_sof.codes[0], Camera(inside, PERSPECTIVE, 16))
    assert (view.labels > 0).any()
    assert view.depth.max() < 0.9
    away = inside.clone()
    away[2, 3] = -4.0  # Behind the head, looking away from it.
    camera = Camera(away, PERSPECTIVE, 16)
    view = sphere_sof.render(sphere_sof.codes[0], camera, probabilities=True, normals=True)
    assert (view.labels == 0).all()
    assert (view.depth == 0).all()
    assert (view.normals == 0).all()
    assert (view.probabilities[..., 0] == 1).all()


def test_a_learned_marcher_has_normals_and_orthographic_views():
    field = FieldConfig("hyper", code_size=4, phi_hidden=8, hyper_hidden=8)
    model = new_model(SofConfig(field, MarcherConfig("lstm", hidden=4, steps=3)), 1, 0.1, seed=0)
    with torch.no_grad():
        model.field.head[-1].bias[1] += 10  # Skin everywhere.
    view = render_view(model, model.generate(model.codes), seen_from("orthographic", 8), normals=True)
    assert (view.labels == labels.SKIN).all()
    assert view.normals.shape == (8, 8, 3)


def test_samples_outside_the_ball_show_nothing(sphere_model):
    sphere_model.field.RADIUS = 3.0  # Solid everywhere; only the ball's silhouette limits it.
    made = sphere_model.generate(sphere_model.codes)
    wide = Camera(POSE, torch.from_numpy(cameras.intrinsics_from_fov(40.0)).float(), 40)
    seen = project_coarse_to_fine(sphere_model, made, wide)
    _, _, hit = ball_interval(camera_rays(wide))
    found = picture(seen, 40).labels.flatten() > 0
    assert not found[~hit[0]].any()
    assert found.sum() > 0.97 * hit.sum()


def test_a_surface_is_where_half_of_a_ray_is_stopped_and_by_log_odds_between_samples():
    depths = torch.tensor([1.0, 2.0, 3.0, 4.0])
    passes = torch.tensor(
        [
            [1.0, 0.7, 0.7, 0.7],  # 0.7, then 0.49 of the ray are left
            [1.0, 0.9, 0.2, 0.0],  # 0.9, then 0.18: log odds go from -2.2 to 1.39
            [1.0, 0.9, 0.9, 0.9],  # 0.73 pass
        ]
    ).clamp(1e-6, 1 - 1e-6)
    found = surface_depth(passes.log(), depths.expand(3, 4))
    odds = torch.tensor([0.1 / 0.9, 0.8 / 0.2]).log()
    between = 2 + (-odds[0] / (odds[1] - odds[0])).item()
    assert found.tolist() == pytest.approx([3.0, between, 0.0], abs=1e-4)
