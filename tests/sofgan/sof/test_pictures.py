"""Pictures for the documentation: they show what the field and its mesh are."""

from pathlib import Path

import numpy as np
import pytest
import torch._dynamo  # noqa: F401  Before OpenGL: triton, which it loads, crashes if Mesa's LLVM was there first.

from sofgan import cameras, labels
from sofgan.apps.mesh import extract_mesh
from sofgan.cameras import Camera
from sofgan.sof.view_set import read_views, view_files


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[3])
    from docs.pictures import field

    return field


def test_the_mesh_is_drawn_where_the_field_is_seen(pictures, sphere_sof):
    pose = cameras.orbit(0.4, 0.0, sphere_sof.radius)
    camera = Camera(pose, sphere_sof.intrinsics.numpy(), pictures.MESH_SIZE)
    view = sphere_sof.render(sphere_sof.codes[0], camera).labels.numpy()
    picture = pictures.mesh_picture(extract_mesh(sphere_sof, sphere_sof.codes[0]), camera)
    assert picture.shape == (pictures.MESH_SIZE, pictures.MESH_SIZE, 3)
    assert ((picture != 255).any(-1) == (view > 0)).mean() > 0.99
    # Each class in its colour: the shades differ by a factor only.
    hair = picture[view == labels.HAIR].astype(float).mean(0)
    colour = labels.PALETTE[labels.HAIR].astype(float)
    assert hair @ colour / np.linalg.norm(hair) / np.linalg.norm(colour) > 0.99


def test_truth_lies_above_the_field(pictures, trained, views_folder):
    picture = pictures.truth_picture(trained, views_folder)
    assert picture.shape == (2 * 32, 8 * 32, 3)
    views = read_views(view_files(views_folder, ["synthetic"]))
    truth = [labels.colorize(view) for view in views.labels[views.held_out].numpy()]
    assert np.array_equal(picture[:32], np.concatenate(truth, 1))
    assert (picture[32:] == picture[:32]).all(-1).mean() > 0.7
