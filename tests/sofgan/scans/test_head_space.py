"""From a scan's axes and unit to head space, by hand."""

import itertools

import numpy as np
import pytest
import trimesh

from sofgan import labels
from sofgan.scans.head_space import METRES, Orientation, likely_unit, to_head_space
from sofgan.scans.reading import ScanError
from tests import toyhead

AXES = {"X": (1, 0, 0), "Y": (0, 1, 0), "Z": (0, 0, 1)}

SIGNED = [sign + name for name in AXES for sign in "+-"]


def axis(name):
    return np.array(AXES[name[1]]) * (1 if name[0] == "+" else -1)


@pytest.mark.parametrize(
    ("up", "front"), [pair for pair in itertools.permutations(SIGNED, 2) if pair[0][1] != pair[1][1]]
)
def test_given_axes_are_turned_and_never_mirrored(up, front):
    rotation = Orientation(up, front).rotation
    np.testing.assert_array_equal(rotation @ axis(up), (0, 1, 0))
    np.testing.assert_array_equal(rotation @ axis(front), (0, 0, 1))
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3))


def head(*more):
    """The toy head, 0.2 m high, with further balls: class, centre and radius."""
    vertices, faces, face_labels = toyhead.merged(2)
    for label, centre, radius in more:
        ball = trimesh.creation.icosphere(subdivisions=2)
        faces = np.concatenate([faces, ball.faces + len(vertices)])
        vertices = np.concatenate([vertices, ball.vertices * radius + centre])
        face_labels = np.concatenate([face_labels, np.full(len(ball.faces), label, np.uint8)])
    return vertices, faces, face_labels


def placed(*more, unit=None, scale=1.0):
    vertices, faces, face_labels = head(*more)
    return to_head_space(vertices * scale, faces, face_labels, np.eye(3), unit, 0.7)


def test_points_of_the_head_file_are_the_raw_ones_by_its_transform():
    vertices, faces, face_labels = head()
    turned = Orientation("+Z", "-X").rotation
    points, pieces, _, raw_to_head = to_head_space(
        vertices @ turned * 3 + (4, -5, 6), faces, face_labels, turned, None, 0.7
    )
    moved = trimesh.transform_points(vertices @ turned * 3 + (4, -5, 6), raw_to_head)
    kept = moved[np.linalg.norm(moved, axis=1) < 0.99]
    distance = np.linalg.norm(kept[::50, None] - points[None], axis=-1).min(1)
    assert distance.max() < 1e-6
    assert np.linalg.norm(points, axis=1).max() <= 1 + 1e-9
    # The head itself, with its hair, is as large as is asked for.
    of_head = points[np.unique(pieces[:, 0])]
    assert np.linalg.norm(of_head[of_head[:, 1] > -0.4], axis=1).max() == pytest.approx(0.7, abs=1e-3)


def test_the_face_is_in_the_middle_whatever_the_hair_does():
    raw_to_head = placed((labels.HAIR, (0.12, 0.05, 0.0), 0.03))[3]
    middle = raw_to_head @ (0, 0, 0, 1)
    assert middle[0] == pytest.approx(0, abs=1e-9)  # of the eyes, nose and mouth
    assert raw_to_head[0, 0] < placed()[3][0, 0]  # but the larger head is made smaller


def test_what_hangs_below_the_chin_makes_no_head_larger():
    """From eyes to mouth are 0.07 m, so the chin is 0.14 m below the eyes, at -0.12."""
    plain = placed()[3]
    for label in (labels.HAIR, labels.SKIN):
        np.testing.assert_allclose(placed((label, (0.0, -0.19, -0.02), 0.03))[3], plain)
    assert placed((labels.HAIR, (0.0, -0.1, -0.02), 0.1))[3][0, 0] < plain[0, 0]


@pytest.mark.parametrize(
    ("unit", "in_metres"),
    [("m", 1), ("dm", 0.1), ("cm", 0.01), ("mm", 0.001), ("in", 0.0254), ("ft", 0.3048)],
)
def test_units_are_lengths_by_which_a_head_has_a_heads_size(unit, in_metres):
    assert set(METRES) == {"m", "dm", "cm", "mm", "in", "ft"}
    raw_to_head = placed(unit=unit, scale=1 / in_metres)[3]
    assert likely_unit(raw_to_head, 0.7) == unit
    for wrong in (8.0, 1 / 3):  # 1.6 m and 7 cm
        with pytest.raises(ScanError, match=f"if the unit is {unit}"):
            placed(unit=unit, scale=wrong / in_metres)


def test_halves_of_the_nose_are_the_subjects():
    points, pieces, found, _ = placed()
    middle = points[pieces].mean(1)[:, 0]  # the face looks along +z, so its right is at -x
    assert (middle[found == labels.R_NOSE] < 0).all() and (middle[found == labels.L_NOSE] > 0).all()
    assert {labels.R_NOSE, labels.L_NOSE} <= set(found)
