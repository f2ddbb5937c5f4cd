"""Axes of a face from its features, in any axes, place and unit."""

import numpy as np
import pytest

from sofgan import labels
from sofgan.scans.face_frame import (
    GLASSES_AHEAD,
    LEAN_DEGREES,
    FeaturePoints,
    NoFrame,
    axis_rotations,
    describe,
    frame_of_features,
    frame_of_labels,
    rotation_angle,
    snapped,
)

UNITS = (1e-9, 1e-3, 1.0, 1e3, 1e9)


def _turn(axis, degrees):
    """A rotation (3, 3) by Rodrigues' formula."""
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.cross(np.eye(3), -axis)
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _random_rotation(random):
    return _turn(random.normal(size=3), random.uniform(0, 180))


def _face():
    """Points on the features of an upright head that looks along +Z, leaning back as heads do; symmetric."""
    random = np.random.default_rng(0)
    lean = np.tan(np.radians(LEAN_DEGREES))

    def around(x, y, z, spread):
        offsets = random.uniform(-spread, spread, (40, 3)) * [1, 1, 0]
        offsets = np.concatenate([offsets, -offsets])  # Middles are exact.
        points = np.array([x, y, z]) + offsets
        return np.concatenate([points, points * [-1, 1, 1]])

    # The eyes lie as far back from the mouth as the line between them leans.
    eyes = around(0.5, 0, 1.0, 0.08)
    mouth = around(0.05, -1.0, 1.0 + lean, 0.04)
    nose = around(0.05, -0.6, 1.5, 0.05)
    return {"eyes": eyes, "nose": nose, "mouth": mouth}, np.array([0, 0, 0.0])


def _points(points):
    return FeaturePoints(points, np.ones(len(points)))


NOTHING = FeaturePoints(np.zeros((0, 3)), np.zeros(0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nose", [True, False])
def test_a_known_turn_is_found_exactly(seed, nose):
    random = np.random.default_rng(seed)
    features, middle = _face()
    turn, scale, shift = _random_rotation(random), UNITS[seed], random.normal(size=3)
    moved = {name: _points(scale * (points @ turn.T + shift)) for name, points in features.items()}
    if not nose:
        moved["nose"] = NOTHING
    frame = frame_of_features(**moved, head_middle=scale * (turn @ middle + shift))
    assert rotation_angle(frame.rotation @ turn) < 1e-3
    np.testing.assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame.rotation) == pytest.approx(1)
    np.testing.assert_allclose(frame.eyes / scale, turn @ [0, 0, 1.0] + shift, atol=1e-6)
    assert frame.eye_distance == pytest.approx(scale, rel=1e-6)
    assert frame.height == pytest.approx(scale / np.cos(np.radians(LEAN_DEGREES)), rel=1e-6)
    assert frame.portrait_side() == pytest.approx(4 * scale)


def test_glasses_tell_where_the_eyes_are_behind_them():
    features, middle = _face()
    ahead = GLASSES_AHEAD / np.cos(np.radians(LEAN_DEGREES))
    glasses = features["eyes"] + [0, 0, ahead]
    turn = _random_rotation(np.random.default_rng(3))
    frame = frame_of_features(
        _points(glasses @ turn.T),
        _points(features["nose"] @ turn.T),
        _points(features["mouth"] @ turn.T),
        middle,
        GLASSES_AHEAD,
    )
    assert rotation_angle(frame.rotation @ turn) < 4
    plain = frame_of_features(*(_points(features[name]) for name in ("eyes", "nose", "mouth")), middle)
    np.testing.assert_allclose(turn.T @ frame.eyes, plain.eyes, atol=0.06)


def test_one_eye_is_enough_where_there_is_a_nose():
    features, middle = _face()
    one = features["eyes"][features["eyes"][:, 0] > 0]
    frame = frame_of_features(_points(one), _points(features["nose"]), _points(features["mouth"]), middle)
    assert rotation_angle(frame.rotation) < 40  # An eye aside makes it lean, no more.
    assert frame.eye_distance == pytest.approx(0.9 * frame.height)


def test_features_that_tell_no_direction_are_refused():
    features, middle = _face()
    eyes, nose, mouth = (_points(features[name]) for name in ("eyes", "nose", "mouth"))
    for missing in ((NOTHING, nose, mouth), (eyes, nose, NOTHING)):
        with pytest.raises(NoFrame, match="not both there"):
            frame_of_features(*missing, middle)
    with pytest.raises(NoFrame, match="one place"):
        frame_of_features(_points(np.ones((5, 3))), nose, _points(np.ones((5, 3))), middle)
    line = [_points(np.array([[0.0, y, 0]] * 4)) for y in (1, 0.5, 0)]
    with pytest.raises(NoFrame, match="flat"):
        frame_of_features(*line, np.zeros(3))


def _mesh_of(features):
    """A small triangle at each feature point: vertices, faces, labels."""
    classes = {"eyes": labels.EYE, "nose": labels.L_NOSE, "mouth": labels.U_LIP, "glasses": labels.EYEGLASS}
    middles = np.concatenate(list(features.values()))
    triangle = 0.01 * np.array([[1, 0, 0], [-0.5, 0.8, 0], [-0.5, -0.8, 0]])
    vertices = (middles[:, None] + triangle).reshape(-1, 3)
    face_labels = np.concatenate([[classes[name]] * len(points) for name, points in features.items()])
    return vertices, np.arange(len(vertices)).reshape(-1, 3), face_labels.astype(np.uint8)


@pytest.mark.parametrize("unit", UNITS)
def test_labelled_meshes_of_any_unit_have_a_frame(unit):
    vertices, faces, face_labels = _mesh_of(_face()[0])
    turn = _random_rotation(np.random.default_rng(7))
    frame = frame_of_labels(unit * vertices @ turn.T, faces, face_labels)
    assert rotation_angle(frame.rotation @ turn) < 1e-3


def test_labelled_meshes_with_glasses_or_without_a_head():
    features, _ = _face()
    features["glasses"] = features.pop("eyes") + [0, 0, GLASSES_AHEAD]
    vertices, faces, face_labels = _mesh_of(features)
    assert rotation_angle(frame_of_labels(vertices, faces, face_labels).rotation) < 4
    with pytest.raises(NoFrame, match="no head"):
        frame_of_labels(vertices, faces, np.full(len(faces), labels.CLOTH, np.uint8))
    with pytest.raises(NoFrame, match="not both there"):
        frame_of_labels(vertices, faces, np.full(len(faces), labels.SKIN, np.uint8))


def test_axis_rotations_are_the_24_proper_ones():
    rotations = axis_rotations()
    assert len({tuple(rotation.ravel().astype(int)) for rotation in rotations}) == 24
    for rotation in rotations:
        assert np.linalg.det(rotation) == pytest.approx(1)
        np.testing.assert_array_equal(np.abs(rotation).sum(0), 1)
        np.testing.assert_array_equal(np.abs(rotation).sum(1), 1)


def test_snapping_takes_small_angles_and_leaves_large_ones():
    random = np.random.default_rng(0)
    for axes in axis_rotations():
        for _ in range(4):
            near = axes @ _turn(random.normal(size=3), random.uniform(0, 5))
            np.testing.assert_array_equal(snapped(near), axes)
            # Leaning as heads may: still upright.
            np.testing.assert_allclose(snapped(_turn([1, 0, 0], random.uniform(-17, 17)) @ axes), axes)
            # Looking aside: up is the file's, the front stays.
            aside = _turn([0, 1, 0], random.uniform(10, 40)) @ axes
            np.testing.assert_allclose(snapped(aside), aside, atol=1e-12)
            tilted = _turn([0, 0, 1], random.uniform(20, 40)) @ axes
            np.testing.assert_array_equal(snapped(tilted), tilted)


def test_snapping_twice_is_snapping_once():
    random = np.random.default_rng(1)
    for _ in range(100):
        once = snapped(_random_rotation(random))
        assert np.linalg.det(once) == pytest.approx(1)
        np.testing.assert_allclose(once @ once.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(snapped(once), once, atol=1e-12)


def test_axes_in_words():
    assert describe(np.eye(3)) == "+Y up, +Z front"
    blender = np.stack([np.cross([0, 0, 1], [0, -1, 0]), [0, 0, 1], [0, -1, 0]])
    assert describe(blender) == "+Z up, -Y front"
    assert describe(_turn([0, 1, 0], 30) @ np.eye(3)) == "+Y up, +Z front, turned by 30 degrees"
    assert len({describe(rotation) for rotation in axis_rotations()}) == 24


def test_angles_of_rotations():
    for degrees in (0, 1, 90, 179):
        assert rotation_angle(_turn([1, 2, 3], degrees)) == pytest.approx(degrees, abs=1e-4)
