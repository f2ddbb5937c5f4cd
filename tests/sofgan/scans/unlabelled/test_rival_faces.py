"""Where one face is seen, and others that contradict it: upside down in the same place, or on another head."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from sofgan import labels
from sofgan.rendering.process_renderer import process_renderer
from sofgan.scans.face_frame import FaceFrame, rotation_angle
from sofgan.scans.materials import Material
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.unlabelled.face_finding import Sight, _firmest, find_face, ways_to_stand
from sofgan.scans.unlabelled.face_in_view import FoundFace
from tests import toyhead

_UPRIGHT = np.eye(4)
_UPSIDE_DOWN = np.diag([-1.0, -1.0, 1.0, 1.0])


def _misled():
    """An oracle that is unsure of upright faces, and where one that is upside down looks straight at it sees another,
    which is upright."""
    oracle = toyhead.Oracle()

    def parse(photos):
        probabilities = oracle(photos)
        for number, one in enumerate(probabilities):
            parsed = one.argmax(0)
            eyes, lips = (
                np.argwhere(np.isin(parsed, c)) for c in ([labels.EYE], [labels.U_LIP, labels.L_LIP])
            )
            nose = np.argwhere(parsed == labels.R_NOSE)
            if not (len(eyes) and len(lips) and len(nose)):
                continue
            middle = (eyes.mean(0) + lips.mean(0)) / 2
            if eyes.mean(0)[0] <= lips.mean(0)[0]:
                probabilities[number] = 0.6 * one + 0.4 / len(one)
            elif abs(nose.mean(0)[1] - eyes.mean(0)[1]) < 0.7:
                # What is there, turned over between the eyes and the mouth.
                shift = int(np.rint(2 * middle[0])) - (one.shape[1] - 1)
                probabilities[number] = np.roll(one[:, ::-1], shift, 1)
        return probabilities

    return parse


def _scan(*meshes):
    mesh = trimesh.util.concatenate(meshes)
    return RawScan(
        np.asarray(mesh.vertices), np.asarray(mesh.faces), np.zeros(len(mesh.faces), int), ((),), None,
        np.asarray(mesh.visual.vertex_colors)[mesh.faces][..., :3], (Material(),),
    )  # fmt: skip


def _head(matrix):
    return toyhead.unlabelled(matrix, keep=lambda middles: middles[:, 1] > -0.13)


@pytest.mark.parametrize("matrix", [_UPRIGHT, _UPSIDE_DOWN])
def test_a_face_seen_in_one_that_is_upside_down_is_none(matrix):
    """Upside down it scores above the right one: in the view that is straight, not in those beside it."""
    scan = _scan(_head(matrix))
    found = find_face(scan, Sight(process_renderer(), _misled(), 64), ways_to_stand())
    assert rotation_angle(found.frame.rotation @ matrix[:3, :3]) < 12


def _face(rotation, score, eyes=(0.0, 0.0, 0.0)):
    frame = FaceFrame(rotation, np.array(eyes), eyes - 0.07 * rotation[1], 0.06)
    return FoundFace(frame, score, rotation)


@pytest.mark.parametrize(
    ("again", "eyes", "sentence"),
    [
        (
            (0.5, 0.5),
            (0, 0, 0),
            r"a face that looks two ways, .*: \+Y up, \+Z front, or -Y up, \+Z front; say `up`",
        ),
        ((0.5, 0.41), (0, 0.1, 0), "looks two ways"),
        ((0.5, 0.41), (0, 0.2, 0), "two faces or more"),
        ((0.5, 0.39), (0, 0, 0), None),
    ],
)
def test_faces_that_are_seen_again_as_well_either_way_up_are_not_trusted(again, eyes, sentence):
    right, wrong = _face(_UPRIGHT[:3, :3], 0.4), _face(_UPSIDE_DOWN[:3, :3], 0.6, eyes)
    neighbor = _face(_UPRIGHT[:3, :3], 0.3)

    def look(poses, unit):
        """All views show what they are made for: these are upright where the camera is."""
        is_right = -poses[0, 1, 1] > 0
        return [
            _face(_UPRIGHT[:3, :3] if is_right else _UPSIDE_DOWN[:3, :3], again[0 if is_right else 1])
        ] * len(poses)

    def decide():
        return _firmest([wrong, neighbor, right], look)

    if sentence is None:
        assert decide() is right
    else:
        with pytest.raises(ScanError, match=sentence):
            decide()
    # What scores too badly to be a rival changes nothing, nor does one that agrees.
    assert _firmest([wrong, _face(_UPRIGHT[:3, :3], 0.2), replace(wrong, score=0.5)], look) is wrong


def test_two_heads_that_are_small_in_every_view_are_two():
    """At half a head's width between them no view of both shows either well enough; a closer one does."""
    beside = np.eye(4)
    beside[0, 3] = 0.18 * 1.5
    scan = _scan(_head(_UPRIGHT), _head(beside))
    with pytest.raises(ScanError, match="two faces or more"):
        find_face(scan, Sight(process_renderer(), toyhead.Oracle(), 64), ways_to_stand())
