from unittest import mock

import numpy as np
import pytest
import torch

from sofgan.evaluation.restyling import leakage, region_colors, scores, spread, style_spread, within_reach
from sofgan.labels import BACKGROUND, HAIR, SKIN
from sofgan.siw.sheets import REGIONS


class Painter:
    """Paints hair in its style's colour, and all else by `spill` of it."""

    resolution = 32
    device = torch.device("cpu")

    def __init__(self, spill=0.0):
        self.spill = spill

    def sample_z(self, count, generator):
        return torch.rand((count, 3), generator=generator) * 2 - 1

    def map_styles(self, z):
        return z

    def paint(self, labels, w):
        labels = torch.from_numpy(labels)[:, None]
        share = torch.where(labels == HAIR, 1.0, self.spill)
        return w.expand(len(labels), -1)[:, :, None, None] * share

    def restyle(self, labels, w, w_new, classes):
        assert tuple(classes) == (HAIR,)
        return self.paint(labels, w_new)


@pytest.fixture
def maps():
    maps = np.full((4, 32, 32), BACKGROUND, np.uint8)
    maps[:, 8:24, 8:24] = SKIN
    maps[:, :8] = HAIR
    return maps


def test_region_colors_are_means_over_large_regions(maps):
    maps[0][maps[0] == HAIR] = SKIN  # The first picture shows none.
    images = torch.zeros(4, 3, 32, 32)
    images[:, :, :4], images[:, :, 4:8] = 1.0, 0.5
    np.testing.assert_allclose(region_colors(images, maps, (HAIR,)), np.full((3, 3), 0.75))


def test_spread_is_the_deviation_over_styles_of_each_map(maps):
    w = Painter().sample_z(50, torch.Generator().manual_seed(0)).double().numpy()
    assert spread(w) == pytest.approx(np.sqrt(w.var(0).sum()))
    found = style_spread(Painter(), maps, 400, 0)
    assert found["hair"] == pytest.approx(1.0, abs=0.06)  # sqrt(3 / 3): three uniform channels in [-1, 1]
    assert found["skin"] == found["background"] == 0.0 and "cloth" not in found


def test_what_lies_within_reach_is_a_square_around_each_pixel_and_costs_two_strips():
    inside = torch.rand((2, 9, 11), generator=torch.Generator().manual_seed(0)) > 0.95
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(11), indexing="ij")
    for reach in (1, 2, 5):
        slow = torch.zeros_like(inside)
        for picture, row, column in inside.nonzero().tolist():
            slow[picture] |= ((rows - row).abs() <= reach) & ((columns - column).abs() <= reach)
        assert torch.equal(within_reach(inside, reach), slow) and 0 < slow.sum() < slow.numel()
    looked_at = []

    def pool(x, window, *_):
        looked_at.append(window[0] * window[1])
        return x

    with mock.patch("torch.nn.functional.max_pool2d", pool):
        within_reach(inside, 64)
    assert sum(looked_at) == 2 * 129


def test_leakage_is_the_change_far_from_a_region_by_that_inside(maps):
    assert leakage(Painter(0.0), maps, 0) == 0.0
    assert leakage(Painter(0.1), maps, 0) == pytest.approx(0.1, abs=0.01)
    assert leakage(Painter(), np.full((2, 32, 32), SKIN, np.uint8), 0) is None


def test_pictures_are_painted_in_batches(maps):
    class Counting(Painter):
        most = 0

        def paint(self, labels, w):
            self.most = max(self.most, len(labels))
            return super().paint(labels, w)

    for batch, most in ((None, 7), (3, 3)):
        painter = Counting(0.2)
        assert style_spread(painter, maps, 7, 0, batch) == pytest.approx(
            style_spread(Painter(0.2), maps, 7, 0)
        )
        assert leakage(painter, maps, 0, batch=batch) == pytest.approx(leakage(Painter(0.2), maps, 0))
        assert painter.most == most


def test_scores_are_by_the_photos_spread(maps):
    photos = torch.where(torch.arange(4)[:, None, None, None] < 2, 0.5, -0.5).expand(4, 3, 32, 32)
    colors = {name: region_colors(photos, maps, classes) for name, classes in REGIONS.items()}
    found = scores(Painter(0.1), maps[:2], colors, 5, 0)
    own = style_spread(Painter(0.1), maps[:2], 32, 0)
    assert found["style_spread_hair"] == pytest.approx(own["hair"] / (0.5 * 3**0.5))
    assert found["leakage_hair"] == pytest.approx(0.1, abs=0.01) and "style_spread_cloth" not in found


@pytest.mark.parametrize(("rows", "leaks"), [(8, False), (10, False), (11, True)])
def test_change_as_near_as_a_band_is_no_leakage(maps, rows, leaks):
    """Hair is the first 8 rows; a sixteenth of 32 pixels are two more."""

    class Halo(Painter):
        def paint(self, labels, w):
            images = w.expand(len(labels), -1)[:, :, None, None].repeat(1, 1, 32, 32)
            images[:, :, rows:] = 0.0
            return images

    assert (leakage(Halo(), maps, 0) > 0) == leaks
