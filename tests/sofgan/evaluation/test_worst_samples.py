"""Pictures that were put far away are found, and shown in order."""

import numpy as np
import pytest

from sofgan.errors import InputError
from sofgan.evaluation.worst_samples import worst_samples, worst_sheet


def test_the_most_unlike_come_first_with_their_ranks_among_photos():
    stream = np.random.default_rng(0)
    photos, painted = stream.normal(size=(400, 5)), stream.normal(size=(50, 5))
    painted[7] = 9.0
    painted[30] = -6.0
    found = worst_samples(painted, photos, 4)
    assert found.rows[:2].tolist() == [7, 30] and len(found.rows) == 4
    assert (np.diff(found.distances) <= 0).all() and (np.diff(found.ranks) >= 0).all()
    assert found.ranks[0] == found.ranks[1] == 0 < found.ranks[3] < 0.5
    typical = worst_samples(photos[1:2] * 0, photos, 9)
    assert typical.ranks.tolist() == [1.0]  # nothing is nearer to the mean than the mean


def test_photos_of_a_person_are_not_on_both_sides():
    """Else photos of people that the reference doesn't hold lie further away than it is said of other photos."""
    stream = np.random.default_rng(2)
    people = stream.normal(size=(800, 80)).repeat(4, 0)  # four photos of each, one after another
    shots = people + 0.1 * stream.normal(size=people.shape)
    photos, unseen = shots[:2400], shots[2400:]
    assert worst_samples(unseen, photos, 1).unlike == pytest.approx(0.05, abs=0.03)


def test_the_sheet_shows_them_row_by_row():
    stream = np.random.default_rng(1)
    painted = np.arange(6.0)[:, None] * 50 + stream.normal(size=(6, 3))
    found = worst_samples(painted, stream.normal(size=(40, 3)), 3)
    asked = []

    def picture(row):
        asked.append(row)
        return np.full((2, 2, 3), row, np.uint8)

    shown = worst_sheet(found, picture, 2)
    assert shown.shape == (4, 4, 3) and asked == [5, 4, 3]
    assert shown[::2, ::2, 0].tolist() == [[5, 4], [3, 0]]


def test_too_few_photos_are_refused():
    with pytest.raises(InputError, match="3 photos are too few"):
        worst_samples(np.ones((4, 2)), np.ones((3, 2)), 2)
