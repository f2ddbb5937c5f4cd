"""The paper's marcher starts at the camera and has learned how far heads are: conditions are seen from there."""

import dataclasses

import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.labels import BACKGROUND, EYE, SKIN, U_LIP
from sofgan.siw.condition_views import (
    HeadSampling,
    PortraitViews,
    plan_views,
    portrait_framing,
    render_sof_maps,
)
from sofgan.siw.config import FramingConfig
from sofgan.siw.portrait_camera import Framing, face_anchors, training_views
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig, SofLoss
from sofgan.sof.field import Field
from sofgan.sof.model import new_model
from sofgan.sof.sof import Sof
from sofgan.sof.train import train_sof
from sofgan.sof.view_set import read_views, view_files
from tests import scenes

RADIUS, FOV_DEGREES = 7.7, 15.0  # of profiles/paper.yaml
PAPER = {"field": FieldConfig("hyper", code_size=8, phi_layers=2, phi_hidden=16, hyper_hidden=16),
         "marcher": MarcherConfig("lstm", steps=3, hidden=4, start="srn")}  # fmt: skip
STILL = FramingConfig(
    cameras="uniform",
    yaw_balance=0.0,
    views_per_head=1,
    yaw_degrees=0.0,
    pitch_degrees=0.0,
    reference_maps=1,
    reference_heads=2,
)


def walk(model) -> None:
    """Steps that lead to the head from the beginning, which takes long to learn."""
    marcher = model.marcher
    with torch.no_grad():
        marcher.step_length.weight.zero_()
        marcher.step_length.bias.fill_((RADIUS - 0.05) / marcher.config.steps)


class Face(Field):
    """A ball of skin with eyes and a mouth, whatever the depth."""

    feature_size = 3
    PARTS = ((EYE, -0.2, 0.2), (EYE, 0.2, 0.2), (U_LIP, 0.0, -0.3))

    def generate(self, codes):
        return {"codes": codes}

    def features(self, representation, points):
        return points

    def classify(self, features):
        logits = torch.zeros((*features.shape[:-1], 17))
        logits[..., SKIN] = torch.where(features.norm(dim=-1) < 0.8, 10.0, -10.0)
        for part, x, y in self.PARTS:
            near = (features[..., :2] - torch.tensor([x, y])).norm(dim=-1) < 0.05
            logits[..., part] = torch.where(near & (logits[..., SKIN] > 0), 20.0, -10.0)
        return logits


@pytest.fixture
def face():
    """A field with the paper's marcher that was seen from afar."""
    model = new_model(SofConfig(**PAPER), 3, 0.1, 0)
    model.field = Face()
    model.marcher.lstm = torch.nn.LSTMCell(3, PAPER["marcher"].hidden)
    walk(model)
    poses = torch.from_numpy(cameras.orbit(np.zeros(1), np.zeros(1), RADIUS)).float()
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(FOV_DEGREES)).float()
    return Sof(model.eval().requires_grad_(False), list("abc"), [1] * 3, {}, poses, intrinsics)


def test_a_face_is_framed_and_whole_from_where_the_marcher_starts(face):
    photos = np.zeros((1, 128, 128), np.uint8)
    photos[:, 54:58, 40:50], photos[:, 92:96, 60:70] = EYE, U_LIP
    framing = portrait_framing(face, HeadSampling(), photos, 2, 0)
    assert framing.distance == pytest.approx(RADIUS)
    maps = render_sof_maps(face, HeadSampling(), PortraitViews(framing, STILL, 128), 1, 0)
    np.testing.assert_allclose(face_anchors(maps), face_anchors(photos), atol=0.01)
    # No holes: all of the disc of radius 0.8 is there.
    focal = framing.intrinsics[0, 0] / RADIUS * 128
    inside = np.pi * (0.8 * focal) ** 2
    assert (maps[0, :110] > 0).sum() > 0.8 * min(inside, 110 * 128)


def test_a_trained_field_shows_its_heads_in_conditions_as_in_its_views(tmp_path, tiny_training, monkeypatch):
    monkeypatch.setattr(scenes, "RADIUS", RADIUS)
    monkeypatch.setattr(scenes, "FOV_DEGREES", FOV_DEGREES)
    scenes.make_views(tmp_path / "far", heads=1, views=3, held_out=1, size=16)
    views = read_views(view_files(tmp_path, ["far"]))
    config = dataclasses.replace(
        tiny_training, **PAPER,
        loss=SofLoss(cross_entropy=1.0, points=0.0, code=0.0, negative_depth=0.0, roughness=0.0), steps=60,
        warmup_steps=1,
        validate_every_steps=60, learning_rate=3e-2, code_learning_rate=0.0, instances_per_step=1,
        views_per_instance=3, rays_per_view=128, clip_gradient_norm=0.0,
    )  # fmt: skip

    def start():
        model = new_model(SofConfig(**PAPER), 1, 1.0, 0)
        walk(model)
        return model

    model, _ = train_sof(views, config, 0, "cpu", start=start)
    poses, intrinsics = views.cam2world[~views.held_out], views.intrinsics.mean(0)
    sof = Sof(model.eval().requires_grad_(False), views.names, [1], {}, poses, intrinsics)
    own = training_views(sof.intrinsics.numpy(), sof.radius)
    assert (own.distance, own.fov_degrees) == pytest.approx((RADIUS, FOV_DEGREES), abs=1e-4)

    def overlap(framing) -> float:
        """Of the head in a view of the field and in truth, from a camera of the conditions."""
        views = PortraitViews(framing, STILL, 16)
        planned = plan_views(sof, HeadSampling(), views, {"training": 1}, 0)
        pose = planned["training"].poses.cam2world[0]
        camera = Camera(pose, framing.intrinsics, 16)
        seen = sof.render(sof.codes[0], camera).labels.numpy() != BACKGROUND
        truth = scenes.picture(scenes.head_parts(0), camera)[0] != BACKGROUND
        return (seen & truth).sum() / (seen | truth).sum()

    assert overlap(own) > 0.75
    assert overlap(Framing(29.0, 0.0, 4.0)) < 0.2  # What this test is for.
