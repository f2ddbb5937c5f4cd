"""Quick views against those of the same baked grid in torch, the plain twin."""

import numpy as np
import pytest

from sofgan import cameras
from sofgan.apps.baked import bake
from sofgan.apps.quick_view import quick_head
from sofgan.cameras import Camera
from sofgan.labels import HAIR, SKIN
from sofgan.siw.shoulders import USUAL, add_shoulders


@pytest.mark.parametrize(("yaw", "pitch"), [(-0.3, 0.1), (0.9, -0.2)])
@pytest.mark.parametrize("field", ["sphere_sof", "trained"])
def test_a_quick_view_is_the_baked_one(request, field, yaw, pitch):
    sof = request.getfixturevalue(field)
    camera = Camera(cameras.orbit(yaw, pitch, 4.0), cameras.intrinsics_from_fov(25.0), 64)
    baked = bake(sof, sof.codes[0], 64)
    plain = baked.render(camera)
    labels, depth = quick_head(baked).view(camera, None)
    truth = plain.labels.numpy()
    assert {SKIN, HAIR} <= set(np.unique(truth)) and (labels == truth).mean() > 0.99
    both = (labels > 0) & (truth > 0)
    assert np.abs(depth - plain.depth.numpy())[both].mean() < 2e-3


@pytest.mark.parametrize("shape", [USUAL, (-0.2, 1.3, 0.8)])
def test_shoulders_are_those_of_exact_views(sphere_sof, shape):
    camera = Camera(cameras.orbit(0.4, 0.1, 4.0), cameras.intrinsics_from_fov(29.0), 48)
    head = quick_head(bake(sphere_sof, sphere_sof.codes[0], 32))
    bare = head.view(camera, None)[0]
    with_them = head.view(camera, shape)[0]
    assert (with_them != bare).any() and (with_them == add_shoulders(bare, camera, shape)).all()
