"""Sheets of pictures, and their colors as light."""

import numpy as np
import pytest

from sofgan.images import sheet, to_linear, to_srgb


@pytest.mark.parametrize("channels", [(), (3,)])
def test_pictures_of_a_sheet_lie_row_by_row_and_what_is_left_is_black(channels):
    pictures = np.random.default_rng(0).integers(1, 255, (5, 4, 6, *channels), dtype=np.uint8)
    made = sheet(pictures, 3)
    assert made.shape == (8, 18, *channels)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, 3)
        assert (made[4 * row : 4 * row + 4, 6 * column : 6 * column + 6] == picture).all()
    assert not made[4:, 12:].any()


def test_srgb_round_trip():
    values = np.linspace(0, 1, 256)
    np.testing.assert_allclose(to_srgb(to_linear(values)), values, atol=1e-9)
    assert to_linear(np.array(0.5)) == pytest.approx(0.2140, abs=1e-4)
