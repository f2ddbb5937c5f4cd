"""The floor of the warp error: texture that is fixed to heads whose colours are those of others."""

import numpy as np
import pytest
import torch

from sofgan.evaluation.avatar_orbits import (
    FACTORS,
    _head,
    _parts,
    class_colors,
    draw_orbit,
    measure_avatars,
    orbit_views,
    photograph,
    recolored,
)
from sofgan.labels import CLOTH, SKIN
from sofgan.seeds import numpy_generator

YAWS = (-20.0, -10.0, 0.0, 10.0, 20.0)


@pytest.fixture(scope="module")
def drawn():
    head = _head("test", numpy_generator(0, "test"))
    return head, *draw_orbit(head, YAWS, 28.0, 48)


def test_the_floor_is_low_and_the_same_again():
    first = measure_avatars(2, 2, YAWS, 28.0, 48, 0)
    assert first.shape == (2, 2, 2)
    moved, between = first.mean(0).T
    assert (between > 0.15).all() and (moved / between < 0.25).all() and moved[0] < moved[1]
    np.testing.assert_array_equal(measure_avatars(2, 2, YAWS, 28.0, 48, 0), first)


def test_light_and_exposure_stay_with_the_head(drawn):
    head, orbit, triangles, views = drawn
    first = photograph(head, triangles, views, numpy_generator(0, "light"))
    assert first.shape == (5, 3, 48, 48) and first.min() >= -1 and first.max() <= 1
    # One view alone is exposed as among all of them, if it is the frontal one.
    alone = photograph(head, triangles[2:3], views[2:3], numpy_generator(0, "light"))
    np.testing.assert_allclose(alone[0], first[2], atol=1e-6)
    assert np.abs(first - photograph(head, triangles, views, numpy_generator(1, "light"))).mean() > 0.02


def test_a_recolored_head_has_others_colors_and_its_own_pattern(drawn):
    head, *_ = drawn
    colors = class_colors(_parts("other", numpy_generator(1, "test")))
    found = recolored(head, colors)
    for label in (SKIN, CLOTH):
        of = np.unique(head.faces[head.face_labels == label])
        factor = colors[label] / head.albedo[of].mean(0)
        assert ((factor > FACTORS[0]) & (factor < FACTORS[1])).all()
        np.testing.assert_allclose(found.albedo[of].mean(0), colors[label], rtol=0.05)
    of = np.unique(head.faces[head.face_labels == SKIN])
    pattern, own = (albedo[of, 1] / albedo[of, 1].mean() for albedo in (found.albedo, head.albedo))
    assert np.corrcoef(pattern, own)[0, 1] > 0.9
    np.testing.assert_array_equal(recolored(head, {}).albedo, head.albedo)


def test_orbits_go_around_the_head_with_the_face_in_the_middle(drawn):
    head, orbit, *_ = drawn
    views = orbit_views(head, YAWS, 28.0, 48)
    distances = np.linalg.norm(views.cam2world[:, [0, 2], 3], axis=1)
    np.testing.assert_allclose(distances, distances[0])
    assert orbit.labels.shape == (5, 96, 96) and orbit.depth.shape == (5, 48, 48)
    rows, columns = np.nonzero(np.isin(orbit.labels[2], (3, 4, 5, 6)))
    assert abs(columns.mean() / 96 - 0.5) < 0.05 and 0.3 < rows.mean() / 96 < 0.7
    assert isinstance(orbit.depth, torch.Tensor) and (orbit.depth > 0).float().mean() > 0.3
