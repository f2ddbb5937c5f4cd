"""What photos are spoiled by, and what is said of scores that move with it."""

import numpy as np
import pytest

from benchmarks.inputs.spoiled import levels
from benchmarks.scores import SEEN_BY, movement


@pytest.fixture(scope="module")
def made():
    photos = np.random.default_rng(0).integers(60, 200, size=(40, 12, 12, 3), dtype=np.uint8)
    photos[:, 0, 0, 0] = np.arange(40)  # by which a photo is known again
    real, steps = levels(photos, 10, 0)
    return photos, real, steps


def test_sides_have_no_photo_in_common_and_all_steps_as_many(made):
    photos, real, steps = made
    assert steps.keys() >= SEEN_BY.keys()
    painted = steps["blur"]["none"]
    assert not set(real[:, 0, 0, 0]) & set(painted[:, 0, 0, 0])
    for one in steps.values():
        assert len(one) == 4 and all(pictures.shape == (10, 12, 12, 3) for pictures in one.values())
        np.testing.assert_array_equal(one["none"], painted)


@pytest.mark.parametrize("name", ["blur", "noise", "swapped middles"])
def test_pixels_are_further_from_the_photos_with_each_step(made, name):
    none, *spoiled = (pictures.astype(float) for pictures in made[2][name].values())
    changes = [np.abs(pictures - none).mean() for pictures in spoiled]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_sets_lose_photos_or_have_those_of_the_other_side(made):
    photos, real, steps = made
    assert [len(np.unique(one, axis=0)) for one in steps["repeated"].values()] == [10, 5, 2, 1]
    bright = [one.mean((1, 2, 3)).max() for one in steps["brightest dropped"].values()]
    assert bright[1] > bright[2] > bright[3]
    known = set(real[:, 0, 0, 0])
    copies = [sum(value in known for value in one[:, 0, 0, 0]) for one in steps["copies"].values()]
    assert copies == [0, 2, 5, 10]


def test_movement_is_told_by_the_scores_direction():
    assert movement("fd", [1, 1, 2]) == movement("recall", [1, 0.5, 0.5]) == "worse"
    assert movement("fd", [2, 1, 0]) == movement("recall", [0, 0.5, 1]) == "better"
    assert movement("fd", [1, 3, 2]) == movement("mind", [1, 1, 1]) == "neither"
