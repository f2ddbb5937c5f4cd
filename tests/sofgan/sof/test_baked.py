"""Baked codes against the fields that they come from."""

import pytest
import torch

from sofgan import cameras, labels
from sofgan.apps.baked import bake
from sofgan.cameras import Camera
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.model import new_model
from sofgan.sof.sof import Sof


def seen_from(size: int) -> Camera:
    return Camera(cameras.orbit(-0.3, 0.1, 4.0), cameras.intrinsics_from_fov(29.0), size)


def test_a_baked_sphere_looks_like_the_sphere(sphere_sof):
    baked = bake(sphere_sof, sphere_sof.codes[0], 64)
    direct = sphere_sof.render(sphere_sof.codes[0], seen_from(64), probabilities=True, normals=True)
    view = baked.render(seen_from(64), probabilities=True, normals=True)
    assert (view.labels != direct.labels).float().mean() < 0.01
    assert {labels.SKIN, labels.HAIR} <= set(view.labels.unique().tolist())
    both = (view.labels > 0) & (direct.labels > 0)
    assert (view.depth - direct.depth)[both].abs().mean() < 0.01
    assert ((view.normals * direct.normals).sum(-1)[both] > 0.97).float().mean() > 0.95
    assert torch.allclose(view.probabilities.sum(-1), torch.ones(()), atol=1e-3)


def test_baked_scores_are_the_fields_at_nodes(sphere_sof):
    baked = bake(sphere_sof, sphere_sof.prepare(sphere_sof.codes[0]), 32)
    places = torch.nonzero(baked.index)[::7]
    points = ((places.flip(-1) + 0.5) * (2 / 32) - 1).float()
    logits = sphere_sof.model.field.logits(sphere_sof.generate(sphere_sof.codes[0]), points[None])[0]
    logs = logits.log_softmax(-1)
    assert torch.allclose(baked.log_empty(points).exp(), logs[:, 0].exp(), atol=1e-3)
    assert torch.equal(baked.log_classes(points).argmax(-1), logs[:, 1:].argmax(-1))


def test_a_baked_trained_field_agrees_with_direct_views(trained):
    confusion = ConfusionMatrix()
    for head in range(2):
        baked = bake(trained, trained.codes[head], 64)
        view = baked.render(seen_from(48))
        confusion.update(view.labels, trained.render(trained.codes[head], seen_from(48)).labels)
    assert confusion.accuracy() > 0.97
    assert confusion.miou() > 0.7


def test_fields_with_a_learned_marcher_are_refused():
    field = FieldConfig("hyper", code_size=4, phi_hidden=8, hyper_hidden=8)
    model = new_model(SofConfig(field, MarcherConfig("lstm", hidden=4, steps=3)), 1, 0.1, seed=0)
    sof = Sof(model, ["one"], [1], {}, torch.eye(4)[None], torch.eye(3))
    with pytest.raises(ValueError, match="learned marcher"):
        bake(sof, sof.codes[0])
