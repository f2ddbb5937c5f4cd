"""What a parser of bare shapes learns from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from sofgan import labels
from sofgan.avatars.parts import Part
from sofgan.config import ConfigError, from_mapping
from sofgan.scans.unlabelled.config import TrainShapeParser
from sofgan.scans.unlabelled.shape_data import (
    Surface,
    clustered,
    merge,
    picture_people,
    shape_views,
    smoothed,
)

_BLOCK = yaml.safe_load((Path(__file__).parents[4] / "params.yaml").read_text())["train_shape_parser"]


def _config(**changes) -> TrainShapeParser:
    return from_mapping(TrainShapeParser, _BLOCK | changes, "params.yaml: train_shape_parser")


def _grid(count=20):
    """A square of unit side of two triangles a cell, the left half of it lips."""
    x, y = np.meshgrid(np.linspace(0, 1, count + 1), np.linspace(0, 1, count + 1))
    index = np.arange((count + 1) ** 2).reshape(count + 1, -1)
    a, b, c, d = (one.reshape(-1) for one in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    vertices = np.stack([x.reshape(-1), y.reshape(-1), np.zeros(x.size)], 1)
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    left = vertices[faces].mean(1)[:, 0] < 0.5
    return vertices, faces, np.where(left, labels.U_LIP, labels.SKIN).astype(np.uint8)


def test_people_are_pictured_the_same_whoever_else_is():
    small = {"parser": _BLOCK["parser"] | {"size": 32}, "small_share": 0.0, "views_per_person": 3}
    config = _config(people=1, held_out_people=1, validation_people=1, **small)
    training, validation, held_out = picture_people(config, 5, 1)
    assert (len(training), len(validation), len(held_out)) == (3, 3, 3)
    pictures, maps = training.load([0, 2])
    assert pictures.shape == (2, 32, 32, 3) and maps.shape == (2, 32, 32) and pictures.dtype == np.uint8
    assert (training.labels(2) == maps[1]).all()
    shown = set(np.unique(training.maps))
    assert {labels.SKIN, labels.EYE, labels.R_NOSE, labels.L_NOSE, labels.U_LIP} <= shown
    covered = training.maps != labels.BACKGROUND
    # Where there is a surface the picture shows one (but for brows that are hidden and for edges).
    assert (training.pictures[covered] != 128).any(-1).mean() > 0.97
    assert (training.pictures[~covered] == 128).all(-1).mean() > 0.9
    alone = shape_views(1, 5, 3, 32)
    assert (alone[0] == held_out.pictures).all() and (alone[1] == held_out.maps).all()
    assert not (held_out.pictures == training.pictures).all()
    assert (validation.pictures == shape_views(2, 5, 3, 32)[0]).all()  # A third person's, of neither side.


def test_hidden_brows_stay_in_the_labels():
    vertices, faces, _ = _grid(2)
    parts = [
        Part(name, vertices.astype(np.float32) + shift, faces, np.full(len(faces), label, np.uint8), None)
        for name, label, shift in (("skin", labels.SKIN, 0), ("brow", labels.BROW, 2))
    ]
    made = [merge(parts, np.random.default_rng(number)) for number in range(30)]
    assert all((one.face_labels == labels.BROW).sum() == len(faces) for one in made)
    hidden = [one for one in made if not one.pictured.all()]
    assert 8 <= len(hidden) <= 28
    assert all((~one.pictured == (one.face_labels == labels.BROW)).all() for one in hidden)


def test_coarser_surfaces_keep_their_place_and_labels():
    vertices, faces, face_labels = _grid()
    coarse = clustered(Surface(vertices, faces, face_labels, np.ones(len(faces), bool)), 0.1)
    assert 0.15 * len(faces) < len(coarse.faces) < 0.5 * len(faces)
    middles = coarse.vertices[coarse.faces].mean(1)
    sure = np.abs(middles[:, 0] - 0.5) > 0.15
    assert ((coarse.face_labels == labels.U_LIP) == (middles[:, 0] < 0.5))[sure].all()
    assert np.ptp(coarse.vertices, 0)[:2] == pytest.approx([1, 1], abs=0.11)


def test_smoothing_flattens_noise_and_leaves_strays():
    vertices, faces, _ = _grid()
    rough = vertices + np.random.default_rng(0).normal(0, 0.01, vertices.shape)
    rough = np.append(rough, [[9.0, 9, 9]], 0)  # in no triangle
    even = smoothed(rough, faces, 6)
    assert even[:-1, 2].std() < 0.4 * rough[:-1, 2].std()
    assert (even[-1] == 9).all()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"people": -1}, "people is at least 0"),
        ({"views_per_person": 0}, "at least 1"),
        ({"augmentation": _BLOCK["augmentation"] | {"rotation_degrees": 5.0}}, "can't be turned"),
        ({"augmentation": _BLOCK["augmentation"] | {"colour": 0.2}}, "can't be turned or recoloured"),
        ({"parser": _BLOCK["parser"] | {"order": "bisenet"}}, "answers in the 17 classes"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes, what):
    with pytest.raises(ConfigError, match=what):
        _config(**changes)


def test_its_training_is_one_of_photos():
    training = _config(people=3).training()
    for field in dataclasses.fields(TrainShapeParser):
        if hasattr(training, field.name):
            assert getattr(training, field.name) == getattr(_config(people=3), field.name)
    assert training.pretrained.path == ""
