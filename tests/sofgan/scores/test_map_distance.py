"""Distances of label maps see what changes in maps, grow with it, and are none between halves of one set."""

import numpy as np
import pytest

from sofgan.labels import BACKGROUND, EYE, HAIR, SKIN
from sofgan.scores.frechet import frechet_distance
from sofgan.scores.map_distance import map_differences, map_features


def heads(count, seed, hair=10, shift=0, eyes=True):
    """Square faces under so many rows of hair, a little apart from each other."""
    rng = np.random.default_rng(seed)
    maps = np.full((count, 64, 64), BACKGROUND, np.uint8)
    for one in maps:
        top, left = 12 + rng.integers(-3, 4), 16 + shift + rng.integers(-3, 4)
        one[top : top + 40, left : left + 32] = SKIN
        one[top : top + hair, left : left + 32] = HAIR
        if eyes:
            one[top + 16 : top + 19, [left + 8, left + 9, left + 22, left + 23]] = EYE
    return maps


def test_features_are_shares_of_cells_and_lengths_of_borders():
    maps = np.zeros((1, 64, 64), np.uint8)
    maps[0, :16, :32] = HAIR  # two cells of the first row
    features = map_features(maps)[0]
    cells = features[: 17 * 16].reshape(17, 4, 4)
    assert cells[HAIR, 0].tolist() == [1, 1, 0, 0] and (cells[HAIR, 1:] == 0).all()
    assert (cells.sum(0) == 1).all()
    # Its border is 16 pixels high and 32 wide, of 64; the background's is the same one.
    assert features[17 * 16 + HAIR] == features[17 * 16 + BACKGROUND] == pytest.approx(0.75)
    assert features[17 * 16 + SKIN] == 0
    np.testing.assert_array_equal(map_features(maps.repeat(2, 1).repeat(2, 2)), [features])


def test_a_distance_grows_with_what_is_changed_and_hardly_differs_between_halves():
    def distance(**changes):
        return frechet_distance(map_features(heads(200, 1, **changes)), map_features(heads(200, 0)))

    floor = distance()
    for change in ("hair", "shift"):
        near, far = (distance(**{change: amount}) for amount in ((12, 18) if change == "hair" else (2, 6)))
        assert floor < near / 3 < near < far / 2, change
    assert distance(eyes=False) > 3 * floor


def test_differences_can_be_read():
    first, second = heads(50, 0), heads(50, 0, shift=8)
    same = map_differences(first, first)
    assert same == {"shares": 0.0, "places": 0.0, "borders": pytest.approx(1.0)}
    moved = map_differences(second, first)
    assert moved["shares"] == pytest.approx(0, abs=1e-6)
    # Skin, hair and eyes by an eighth of the width; the background's middle the other way, by what they leave free.
    assert moved["places"] == pytest.approx((3 * 8 / 64 + 8 / 64 * 1280 / (4096 - 1280)) / 4, rel=1e-3)
    hairy = map_differences(heads(50, 0, hair=20), first)
    assert hairy["shares"] == pytest.approx((10 * 32 - 12) / 4096)  # all but the eyes
    bald = map_differences(heads(50, 0, eyes=False), first)
    assert bald["borders"] < 0.95
    assert map_differences(np.zeros((2, 8, 8), np.uint8), np.full((2, 8, 8), HAIR, np.uint8))["shares"] == 1
