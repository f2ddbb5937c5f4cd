"""One head or two, by labelled eyes alone."""

import numpy as np
import pytest
import trimesh

from sofgan import labels
from sofgan.scans.head_count import has_two_heads


def ball(center, radius, subdivisions):
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return mesh.vertices + np.asarray(center, float), mesh.faces


def joined(parts):
    """Vertices, faces and labels of (class, (vertices, faces)) parts."""
    vertices, faces, ids, offset = [], [], [], 0
    for label, (points, triangles) in parts:
        vertices.append(points)
        faces.append(triangles + offset)
        ids.append(np.full(len(triangles), label, np.uint8))
        offset += len(points)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(ids)


def head(at=(0.0, 0.0, 0.0), fineness=2):
    """A skull with sockets and two eyes and no other name."""
    at = np.asarray(at)
    parts = [(labels.SKIN, ball(at, 1.0, 3))]
    for side in (-1, 1):
        eye = at + [0.33 * side, 0.2, 0.85]
        parts += [(labels.SKIN, ball(eye, 0.22, 2)), (labels.EYE, ball(eye, 0.13, fineness))]
    return parts


@pytest.mark.parametrize("fineness", [0, 1, 2, 3])
def test_one_head_is_one_however_few_triangles_its_eyes_have(fineness):
    """Of few triangles one lies apart from the others, as an eye does from its neighbour."""
    assert not has_two_heads(*joined(head(fineness=fineness)))


@pytest.mark.parametrize("apart", [2.2, 3.0, 6.0])
@pytest.mark.parametrize("fineness", [1, 2, 3])
def test_two_pairs_of_eyes_each_in_a_skull_are_two_heads(apart, fineness):
    assert has_two_heads(*joined(head(fineness=fineness) + head((apart, 0.0, 0.0), fineness)))
