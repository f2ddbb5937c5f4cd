"""Where a labelled head looks, by what lies about its eyes; and that a file with two heads is none."""

import numpy as np
import pytest
import trimesh

from sofgan import labels
from sofgan.scans.face_cues import eye_pair
from sofgan.scans.face_frame import rotation_angle
from sofgan.scans.head_count import has_two_heads
from sofgan.scans.head_space import Orientation, to_head_space
from sofgan.scans.ingestion import ingest_scan
from sofgan.scans.orientation import ASSUMED, PARTS, SHAPE, UPRIGHT, VIEWS, Standing, standing_of_labels
from sofgan.scans.reading import ScanError
from tests import toyhead

FACE = (labels.BROW, labels.R_NOSE, labels.L_NOSE, labels.MOUTH, labels.U_LIP, labels.L_LIP, labels.EAR)


def _turn(seed):
    """A random rotation (3, 3)."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def _joined(*heads):
    vertices, faces, face_labels = zip(*heads)
    shifts = np.cumsum([0, *map(len, vertices)])[:-1]
    return (
        np.concatenate(vertices),
        np.concatenate([own + shift for own, shift in zip(faces, shifts)]),
        np.concatenate(face_labels),
    )


def _ball(label, centre, radii, subdivisions=3):
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    return ball.vertices * radii + centre, ball.faces, np.full(len(ball.faces), label, np.uint8)


def _unnamed(head, *classes):
    """The head with those parts called skin."""
    vertices, faces, face_labels = head
    return vertices, faces, np.where(np.isin(face_labels, classes), labels.SKIN, face_labels).astype(np.uint8)


_UNKNOWN = Orientation()


def _stands(head, turn, orientation=_UNKNOWN, **search):
    vertices, faces, face_labels = head
    return standing_of_labels(31 * vertices @ turn.T + [5, -2, 3], faces, face_labels, orientation, **search)


@pytest.fixture(scope="module")
def head():
    """0.2 high, without its shirt: its eyes, nose and lips on the front of the skin, hair above."""
    vertices, faces, face_labels = toyhead.merged(2)
    kept = face_labels != labels.CLOTH
    return vertices, faces[kept], face_labels[kept]


@pytest.fixture(scope="module")
def whole_body(head):
    """The head on a body that stands before it, with hair to the hips in front of the shoulders."""
    body = _ball(labels.SKIN, (0, -0.9, 0.12), (0.25, 0.75, 0.2))
    hair = _ball(labels.HAIR, (0, -0.45, 0.25), (0.12, 0.25, 0.05))
    return _joined(head, body, hair)


@pytest.mark.parametrize("seed", range(3))
def test_a_body_and_its_hair_say_nothing_about_where_the_face_looks(seed, whole_body):
    turn = _turn(seed)
    standing = _stands(_unnamed(whole_body, labels.R_NOSE), turn)
    assert standing.source == PARTS
    assert rotation_angle(standing.rotation @ turn) < 25


def test_a_body_is_cut_off_below_the_head(head, whole_body):
    for parts in (whole_body, _unnamed(whole_body, *FACE)):
        alone = _unnamed(head, *FACE) if parts is not whole_body else head
        *_, matrix = to_head_space(*parts, np.eye(3), None, 0.9)
        *_, matrix_alone = to_head_space(*alone, np.eye(3), None, 0.9)
        np.testing.assert_allclose(matrix[0, 0], matrix_alone[0, 0], rtol=0.15)


@pytest.mark.parametrize("body", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_two_eyes_skin_and_hair_are_enough(seed, body, head, whole_body):
    turn = _turn(10 + seed)
    standing = _stands(_unnamed(whole_body if body else head, *FACE), turn)
    assert standing.source == SHAPE
    assert rotation_angle(standing.rotation @ turn) < 20


def test_the_noses_ridge_tells_up_from_down(head):
    vertices, faces, face_labels = _unnamed(head, *FACE)
    bare = vertices, faces[face_labels != labels.HAIR], face_labels[face_labels != labels.HAIR]
    for seed in range(4):
        turn = _turn(20 + seed)
        standing = _stands(bare, turn)
        assert standing.source == SHAPE
        assert rotation_angle(standing.rotation @ turn) < 30


@pytest.mark.parametrize("up", ["+Y", "-X"])
def test_a_given_up_axis_is_kept(up, head):
    turn = Orientation(up, "+Z").rotation.T
    standing = _stands(_unnamed(head, *FACE), turn, Orientation(up))
    np.testing.assert_array_equal(standing.rotation[1], Orientation(up).up_axis)
    assert rotation_angle(standing.rotation @ turn) < 10


def test_parts_that_contradict_each_other_are_refused(head):
    vertices, faces, face_labels = head
    nose = np.isin(face_labels, (labels.R_NOSE, labels.L_NOSE))
    behind = vertices.copy()
    behind[np.unique(faces[nose])] *= [1, 1, -1]
    with pytest.raises(ScanError, match="don't agree on where it looks.*scan.yaml"):
        _stands((behind, faces, face_labels), np.eye(3))
    # A face painted on the back of the skull; its nose stands out of nothing.
    inward = _joined(
        _ball(labels.SKIN, (0, 0, 0.2), (0.08, 0.1, 0.09)),
        *(
            (vertices, faces[face_labels == one], face_labels[face_labels == one])
            for one in (labels.EYE, *FACE)
        ),
    )
    with pytest.raises(ScanError, match="skull"):
        _stands(inward, np.eye(3))


def test_a_smooth_head_shows_its_front_and_stands_as_files_do():
    smooth = _joined(
        _ball(labels.SKIN, (0, 0, -0.08), (0.08, 0.1, 0.09)),
        *(_ball(labels.EYE, (x, 0, 0), (0.012, 0.012, 0.012), 2) for x in (-0.03, 0.03)),
    )
    for axes in (Orientation("+Y", "+Z"), Orientation("+Y", "-X"), Orientation("+Z", "-Y")):
        standing = _stands(smooth, axes.rotation.T)
        assert standing.source == UPRIGHT
        np.testing.assert_allclose(standing.rotation, axes.rotation, atol=1e-9)


def test_eyes_about_which_nothing_lies_need_colours_or_scan_yaml():
    lone = _joined(
        _ball(labels.SKIN, (0, 0, 0), (0.08, 0.1, 0.09)),
        *(_ball(labels.EYE, (x, 0, 0), (0.012, 0.012, 0.012), 2) for x in (-0.03, 0.03)),
    )
    with pytest.raises(ScanError, match="nothing about them tells where it looks.*scan.yaml"):
        _stands(lone, np.eye(3))
    seen = Standing(np.eye(3), VIEWS)
    assert _stands(lone, np.eye(3), search=lambda: seen) is seen
    given = _stands(lone, np.eye(3), Orientation("+Y", "-Z"))
    np.testing.assert_array_equal(given.rotation, Orientation("+Y", "-Z").rotation)


def test_one_eye_is_no_pair(head):
    vertices, faces, face_labels = _unnamed(head, *FACE)
    left = (face_labels == labels.EYE) & (vertices[faces].mean(1)[:, 0] > 0)
    kept = left | (face_labels != labels.EYE)
    one = vertices, faces[kept], face_labels[kept]
    assert eye_pair(*one) is None
    assert _stands(one, np.eye(3)).source == ASSUMED


_PLACES = {
    "beside": (np.eye(3), (0.4, 0, 0)),
    "touching": (np.eye(3), (0.17, 0, 0)),
    "back to back": (np.diag([-1.0, 1, -1]), (0, 0, -0.3)),
    "face to face": (np.diag([-1.0, 1, -1]), (0, 0, 0.4)),
    "above": (np.eye(3), (0, 0.3, 0)),
    "a child": (0.4 * np.eye(3), (0.3, 0, 0)),
}


@pytest.mark.parametrize("named", ["all", "mouth", "eyes"])
@pytest.mark.parametrize("place", _PLACES)
def test_two_heads_are_told_from_one(place, named, head):
    turn, shift = _PLACES[place]
    lips = (labels.U_LIP, labels.L_LIP)
    named = {"all": (), "mouth": set(FACE) - set(lips), "eyes": FACE}[named]
    one = _unnamed(head, *named)
    vertices, faces, face_labels = one
    other = vertices @ turn.T + shift, faces, face_labels
    assert has_two_heads(*_joined(one, other))
    third = vertices + 2 * np.array(shift) + [0, 0.5, 0], faces, face_labels
    if named != FACE:
        assert has_two_heads(*_joined(one, other, third))


@pytest.mark.parametrize("named", [(), FACE])
def test_copies_at_one_place_are_one_head(named, head):
    one = _unnamed(head, *named)
    vertices, faces, face_labels = one
    assert not has_two_heads(*one)
    for copy in (
        one,
        (1.02 * vertices, faces, face_labels),
        (vertices * [-1, 1, 1], faces[:, ::-1], face_labels),
        (vertices + 0.004, faces[::3], face_labels[::3]),
    ):
        assert not has_two_heads(*_joined(one, copy))
    stray = _ball(labels.EYE, (0.5, -0.9, 0), (0.002, 0.002, 0.002), 0)
    assert not has_two_heads(*_joined(one, stray))
    no_eyes = face_labels != labels.EYE
    assert not has_two_heads(vertices, faces[no_eyes], face_labels[no_eyes])


@pytest.mark.parametrize("orientation", [Orientation(), Orientation("+Y", "+Z")])
def test_a_file_of_two_heads_is_refused_in_words(orientation, ingest_config, tmp_path):
    scene = trimesh.Scene()
    for person, shift in (("anna", 0.0), ("otto", 0.6)):
        for name, _, mesh in toyhead.parts(2):
            mesh.apply_translation((shift, 0, 0))
            scene.add_geometry(mesh, node_name=f"{person}_{name}", geom_name=f"{person}_{name}")
    (tmp_path / "two.glb").write_bytes(scene.export(file_type="glb"))
    with pytest.raises(ScanError, match="two heads or more.*each head as a file of its own"):
        ingest_scan(tmp_path / "two.glb", ingest_config, orientation)


def test_void_is_a_part_of_the_head(head):
    """A head whose skin and face are of unknown class stands and is scaled as if they were known."""
    vertices, faces, face_labels = _unnamed(head, *FACE)
    void = np.where(face_labels == labels.SKIN, labels.VOID, face_labels).astype(np.uint8)
    known, unknown = (standing_of_labels(vertices, faces, own, Orientation()) for own in (face_labels, void))
    np.testing.assert_array_equal(known.rotation, unknown.rotation)
    points, pieces, kept, matrix = to_head_space(vertices, faces, void, unknown.rotation, None, 0.9)
    *_, matrix_known = to_head_space(vertices, faces, face_labels, known.rotation, None, 0.9)
    np.testing.assert_array_equal(matrix, matrix_known)
    assert set(np.unique(kept)) == {labels.VOID, labels.EYE, labels.HAIR}
    assert np.linalg.norm(points[np.unique(pieces)], axis=1).max() <= 1
