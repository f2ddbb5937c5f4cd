"""Distances between styles of painters whose pictures are known."""

import numpy as np
import pytest
import torch

from sofgan.evaluation.diversity import color_distance, diversity, pair_distance
from sofgan.labels import BACKGROUND, HAIR, SKIN


class Painter:
    """Paints hair in its style's color, and all else in one gray."""

    resolution = 32
    device = torch.device("cpu")

    def sample_z(self, count, generator):
        return torch.rand((count, 3), generator=generator) * 2 - 1

    def map_styles(self, z):
        return z

    def paint(self, labels, w):
        hair = torch.from_numpy(labels == HAIR)[:, None]
        return torch.where(hair, w[:, :, None, None], 0.2)


class Blind(Painter):
    def map_styles(self, z):
        return torch.zeros_like(z)


def means(images):
    return images.mean((2, 3))


@pytest.fixture
def maps():
    maps = np.full((5, 32, 32), BACKGROUND, np.uint8)
    maps[:, 8:24, 8:24] = SKIN
    maps[:, :8] = HAIR
    maps[4][maps[4] == HAIR] = BACKGROUND
    return maps


def test_distances_are_means_over_pairs():
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])
    assert pair_distance(vectors) == pytest.approx((5 + 8 + 5) / 3)
    images = torch.zeros(3, 3, 2, 2)
    images[1, 0], images[2, 1, 0] = 1.0, 2.0
    top = torch.tensor([[True, True], [False, False]])
    assert color_distance(images, top) == pytest.approx((1 + 2 + np.sqrt(5)) / 3)
    assert color_distance(images, ~top) == pytest.approx((1 + 0 + 1) / 3)


def test_only_the_region_that_styles_change_is_diverse(maps):
    found = diversity(Painter(), maps, means, 30, 0, batch=4)
    for name in ("skin", "background"):
        assert found[f"color_distance_{name}"] == found[f"feature_distance_{name}"] == 0
    # Hair fills a quarter of four maps of five, so that means over pixels are a quarter of its own distance.
    hair = found["color_distance_hair"]
    assert hair == pytest.approx(1.323, abs=0.1)  # of two points in a cube of side 2
    assert found["feature_distance_hair"] == pytest.approx(hair / 4, rel=1e-5)
    assert found["color_distance"] == pytest.approx(hair / 4 * 4 / 5, rel=1e-5)
    assert found["color_distance_hair_low"] < hair < found["color_distance_hair_high"]
    assert found == diversity(Painter(), maps, means, 30, 0, batch=16)
    assert found != diversity(Painter(), maps, means, 30, 1)


def test_a_painter_that_heeds_no_style_has_no_diversity(maps):
    found = diversity(Blind(), maps, means, 3, 0)
    assert not any(found.values()) and "color_distance_cloth" not in found


@pytest.mark.parametrize(("count", "styles"), [(1, 3), (3, 1)])
def test_one_map_or_style_is_refused(maps, count, styles):
    with pytest.raises(ValueError, match="two maps and styles"):
        diversity(Painter(), maps[:count], means, styles, 0)
