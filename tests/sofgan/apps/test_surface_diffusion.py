"""Values that flow along a surface to where they are not known."""

import numpy as np
import pytest
import trimesh

from sofgan.apps.surface_diffusion import diffused


@pytest.fixture(scope="module")
def ball():
    found = trimesh.creation.icosphere(subdivisions=4)
    return np.asarray(found.vertices), np.asarray(found.faces)


def steps(faces: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(3 F,) how much values differ along the edges."""
    return np.concatenate([np.abs(values[faces[:, k]] - values[faces[:, k - 1]]) for k in range(3)])


def test_two_sides_meet_without_a_seam(ball):
    vertices, faces = ball
    known = vertices[:, 2] > 0
    values = np.where(known & (vertices[:, 0] > 0), 1.0, 0.0)[:, None]
    found = diffused(vertices, faces, np.zeros(len(vertices)), values, known)[:, 0]
    assert (found[known] == values[known, 0]).all()
    behind = vertices[:, 2] < -0.4
    assert steps(faces[behind[faces].all(1)], found).max() < 0.05
    # By the reflection of the ball, all of its middle is half of either.
    assert found[behind & (np.abs(vertices[:, 0]) < 1e-9)] == pytest.approx(0.5, abs=1e-3)
    assert found.min() >= 0 and found.max() <= 1


def test_it_solves_the_dense_system():
    box = trimesh.creation.box()
    vertices, faces = np.asarray(box.vertices), np.asarray(box.faces)
    values = np.arange(24.0).reshape(8, 3)
    known = np.array([True, False, False, True, False, True, False, False])
    found = diffused(vertices, faces, np.zeros(8), values, known)
    edges = np.zeros((8, 8))
    for a, b, c in faces:
        for one, other in ((a, b), (b, c), (c, a)):
            edges[one, other] += 1
            edges[other, one] += 1
    laplacian = np.diag(edges.sum(1)) - edges
    assert laplacian[~known] @ found == pytest.approx(0, abs=1e-4)


def test_classes_keep_their_colors(ball):
    vertices, faces = ball
    known = vertices[:, 2] > 0
    classes = (vertices[:, 1] > 0).astype(int)
    values = np.where(known, classes, 0.5)[:, None].astype(float)
    found = diffused(vertices, faces, classes, values, known)[:, 0]
    assert np.abs(found - classes).max() < 0.05


def test_pieces_that_touch_nothing_known_take_what_is_nearest(ball):
    vertices, faces = ball
    far = vertices + (5.0, 0, 0)
    pair, both = np.concatenate([vertices, far]), np.concatenate([faces, faces + len(vertices)])
    known = np.arange(len(pair)) < len(vertices)
    values = np.where(known & (pair[:, 0] > 0), 7.0, 3.0)[:, None]
    found = diffused(pair, both, np.zeros(len(pair)), values, known)
    assert found[~known] == pytest.approx(7.0)
    whole = diffused(vertices, faces, np.zeros(len(vertices)), values[known], known[known])
    assert (whole == values[known]).all()
