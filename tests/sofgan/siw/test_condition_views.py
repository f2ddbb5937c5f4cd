"""Framing of a stand-in field: a ball of skin with eyes and a mouth, drawn by projecting points."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.labels import EYE, SKIN, U_LIP
from sofgan.progress import Progress
from sofgan.seeds import torch_generator
from sofgan.siw import condition_views
from sofgan.siw.condition_views import (
    HeadSampling,
    PortraitViews,
    draw_view,
    plan_views,
    portrait_framing,
    render_sof_maps,
    sample_heads,
    training_reference,
)
from sofgan.siw.config import FramingConfig
from sofgan.siw.portrait_camera import Framing, face_anchors
from sofgan.sof.config import FieldConfig, MarcherConfig, Sampling, SofConfig
from sofgan.sof.model import new_model
from sofgan.sof.sampling import combined_codes, sample_codes
from sofgan.sof.sof import Sof

ANGLES = FramingConfig(
    cameras="uniform",
    yaw_balance=0.0,
    views_per_head=1,
    yaw_degrees=25.0,
    pitch_degrees=8.0,
    reference_maps=200,
    reference_heads=8,
)
FRAMING = Framing(25.0, 0.05, 4.0)
VIEWS = PortraitViews(FRAMING, ANGLES, 32)
PARTS = ((EYE, (-0.2, 0.2, 0.7)), (EYE, (0.2, 0.2, 0.7)), (U_LIP, (0.0, -0.3, 0.75)))


class BallField:
    device = torch.device("cpu")
    codes = torch.zeros(1, 4)

    def __init__(self, radius, fov_degrees):
        self.radius = radius
        self.intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(fov_degrees)).float()

    def render(self, code, camera):
        size = camera.size
        origin, directions = cameras.rays(camera)
        along = -(directions * origin).sum(-1) / (directions**2).sum(-1)
        closest = origin + along[..., None] * directions
        labels = np.where((closest**2).sum(-1) < 0.8**2, SKIN, 0).astype(np.uint8)
        depth = np.where(labels > 0, along, 0.0)
        for label, point in PARTS:
            place, distance = cameras.project(np.array(point), camera)
            column, row = (place * size).astype(int)
            labels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = label
            depth[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = distance
        return SimpleNamespace(labels=torch.from_numpy(labels), depth=torch.from_numpy(depth))


@pytest.fixture(params=[(4.0, 29.0), (7.7, 15.0)])
def field(monkeypatch, request):
    monkeypatch.setattr(
        condition_views, "sample_codes", lambda sof, count, generator, sampling: torch.zeros(count, 4)
    )
    return BallField(*request.param)


def portraits():
    labels = np.zeros((3, 128, 128), np.uint8)
    labels[:, 56:60, 40:50] = EYE
    labels[:, 90:94, 60:70] = U_LIP
    return labels


def test_views_of_the_field_are_framed_as_the_portraits(field):
    framing = portrait_framing(field, HeadSampling(), portraits(), 2, 0)
    assert framing.distance == field.radius
    still = dataclasses.replace(ANGLES, yaw_degrees=0.0, pitch_degrees=0.0)
    maps = render_sof_maps(field, HeadSampling(), PortraitViews(framing, still, 128), 2, 0)
    assert maps.shape == (2, 128, 128) and maps.dtype == np.uint8
    np.testing.assert_allclose(face_anchors(maps), face_anchors(portraits()), atol=0.015)


def test_cameras_turn_evenly_within_their_ranges_to_both_sides():
    planned = plan_views(untrained([1] * 2), HeadSampling(), VIEWS, {"training": 400}, 0)
    poses = planned["training"].poses.cam2world
    away = poses[:, :3, 3] - (0.0, FRAMING.target_y, 0.0)
    np.testing.assert_allclose(np.linalg.norm(away, axis=1), FRAMING.distance)
    yaw = np.degrees(np.arctan2(away[:, 0], away[:, 2]))
    pitch = np.degrees(np.arcsin(away[:, 1] / FRAMING.distance))
    for angle, most in ((yaw, ANGLES.yaw_degrees), (pitch, ANGLES.pitch_degrees)):
        quarters, _ = np.histogram(angle, bins=4, range=(-most, most))
        assert quarters.sum() == 400 and quarters.min() > 70  # 100 are expected
    assert abs(np.corrcoef(yaw, pitch)[0, 1]) < 0.2


def test_views_of_other_seeds_and_purposes_are_others(field):
    framing = portrait_framing(field, HeadSampling(), portraits(), 1, 0)
    done = []

    class Counts(Progress):
        def items(self, count, total, unit="items", note=""):
            done.append(count)

    views = PortraitViews(framing, ANGLES, 32)
    maps = render_sof_maps(field, HeadSampling(), views, 6, 0, Counts())
    assert done == [1, 2, 3, 4, 5, 6]
    assert len({view.tobytes() for view in maps}) == 6
    np.testing.assert_array_equal(maps, render_sof_maps(field, HeadSampling(), views, 6, 0))
    assert not np.array_equal(maps, render_sof_maps(field, HeadSampling(), views, 6, 1))
    other = render_sof_maps(field, HeadSampling(), views, 6, 0, purpose="evaluation")
    assert not np.array_equal(maps, other)


def untrained(rounds):
    """A field that knows nothing, with a code for each of the rounds."""
    config = FieldConfig(
        code_size=8, channels=2, base_size=8, basis_size=4, basis=2, local_basis=0, decoder_hidden=8,
        background_bias=0.0,
    )  # fmt: skip
    model = new_model(SofConfig(config, MarcherConfig()), len(rounds), 1.0, 0).requires_grad_(False)
    poses = torch.from_numpy(cameras.orbit(np.zeros(1), np.zeros(1), 4.0)).float()
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(29.0)).float()
    return Sof(model, [str(i) for i in range(len(rounds))], rounds, {}, poses, intrinsics)


def generator():
    return torch.Generator().manual_seed(3)


class JudgeOfTwo:
    """Finds the second of the heads that it sees first implausible."""

    def __init__(self):
        self.asked = []

    def judge(self, maps):
        p_value = np.ones(len(maps))
        p_value[1:2] = bool(self.asked)
        self.asked.append(maps.shape)
        return SimpleNamespace(score=1 - p_value, p_value=p_value)


def test_implausible_heads_alone_are_drawn_again():
    sof = untrained([1] * 20)
    plain = sample_heads(sof, HeadSampling(), 4, generator())
    assert torch.equal(plain, sample_codes(sof, 4, generator()))
    judge = JudgeOfTwo()
    judged = sample_heads(sof, HeadSampling(reference=judge), 4, generator())
    assert judge.asked == [(4, 1, 64, 64), (1, 1, 64, 64)]
    assert (judged == plain).all(1).tolist() == [True, False, True, True]
    assert torch.equal(judged, sample_heads(sof, HeadSampling(reference=JudgeOfTwo()), 4, generator()))


def test_heads_are_judged_by_those_of_training_if_they_are_enough():
    reference = training_reference(untrained([1] * 20 + [2] * 4))
    assert len(reference.scores) == 20
    assert training_reference(untrained([1] * 19 + [2] * 9)) is None


def test_heads_drawn_for_several_purposes_are_those_of_each_alone():
    sof, judge = untrained([1] * 20), JudgeOfTwo()
    alone = sample_heads(
        sof, HeadSampling(reference=judge), 4, torch_generator(5, "siw", "sof codes", "training")
    )
    plan = plan_views(sof, HeadSampling(reference=JudgeOfTwo()), VIEWS, {"training": 4, "none": 0}, 5)
    np.testing.assert_array_equal(plan["training"].codes, alone.numpy())
    assert len(plan["none"]) == 0

    # Judged elsewhere, together: one head to train on is implausible, once.
    asked = []

    def judged(codes):
        asked.append(len(codes))
        p_values = np.ones(len(codes))
        p_values[1:2] = len(asked) > 1
        return 1 - p_values, p_values

    both = plan_views(
        sof, HeadSampling(reference=JudgeOfTwo()), VIEWS, {"training": 4, "evaluation": 3}, 5, judged
    )
    assert asked == [7, 1]
    np.testing.assert_array_equal(both["training"].codes, alone.numpy())
    np.testing.assert_array_equal(both["training"].poses.cam2world, plan["training"].poses.cam2world)
    plain = plan_views(sof, HeadSampling(), VIEWS, {"evaluation": 3}, 5)
    np.testing.assert_array_equal(both["evaluation"].codes, plain["evaluation"].codes)
    assert not np.array_equal(both["evaluation"].poses.cam2world, plan["training"].poses.cam2world[:3])


@pytest.mark.parametrize("count", [6, 7])
def test_heads_to_train_on_have_several_views_one_after_another(count):
    """Each head has a torso of its own and any cameras; heads to score by are all others."""
    sof, several = untrained([1] * 20), dataclasses.replace(ANGLES, cameras="people", views_per_head=3)
    known = plan_views(sof, HeadSampling(), VIEWS, {"training": 50}, 1)["training"].poses
    known = dataclasses.replace(known, shoulders=np.arange(50.0)[:, None] * np.ones(3))
    judged, views = HeadSampling(reference=JudgeOfTwo()), PortraitViews(FRAMING, several, 32, known)
    plan = plan_views(sof, judged, views, {"training": count, "evaluation": count}, 5)
    codes, poses = plan["training"].codes, plan["training"].poses
    assert len(codes) == len(poses) == count
    heads = np.unique(codes, axis=0)
    assert len(heads) == -(-count // 3) and (codes == codes[np.arange(count) // 3 * 3]).all()
    again = HeadSampling(reference=JudgeOfTwo())
    alone = sample_heads(sof, again, len(heads), torch_generator(5, "siw", "sof codes", "training"))
    np.testing.assert_array_equal(codes[::3], alone.numpy())
    np.testing.assert_array_equal(poses.shoulders, poses.shoulders[np.arange(count) // 3 * 3])
    assert len(np.unique(poses.shoulders[::3], axis=0)) == len(heads)
    assert len(np.unique(poses.cam2world[:3], axis=0)) == 3
    assert len(np.unique(plan["evaluation"].codes, axis=0)) == count
    assert len(np.unique(plan["evaluation"].poses.shoulders[:, 0])) > 3


def test_heads_are_sums_of_any_heads_where_that_is_the_method():
    sof = untrained([1] * 20)
    how = Sampling("random", bases=2, concentration=0.5)
    for count, purpose in ((4, "training"), (3, "evaluation")):
        stream = torch_generator(5, "siw", "sof codes", purpose)
        plan = plan_views(sof, HeadSampling(how), VIEWS, {purpose: count}, 5)[purpose]
        np.testing.assert_array_equal(plan.codes, combined_codes(sof.codes, count, 2, 0.5, stream).numpy())
    # Those too that are drawn again.
    stream = generator()
    drawn = combined_codes(sof.codes, 4, 2, 0.5, stream)
    drawn[1] = combined_codes(sof.codes, 1, 2, 0.5, stream)[0]
    assert torch.equal(sample_heads(sof, HeadSampling(how, JudgeOfTwo()), 4, generator()), drawn)


def test_depth_of_a_view_is_the_heads_and_the_shoulders():
    field, pose = BallField(4.0, 29.0), FRAMING.cam2world(0.2, 0.0)
    wide = Framing(40.0, -0.4, 4.0)
    camera = Camera(pose, wide.intrinsics, 48)
    labels, depth = draw_view(field, np.zeros(4), camera)
    seen = field.render(None, camera)
    head = seen.labels.numpy() > 0
    np.testing.assert_allclose(depth[head], seen.depth.numpy()[head], rtol=1e-6)
    assert ((depth > 0) == (labels > 0)).all() and ((labels > 0) & ~head).any()
