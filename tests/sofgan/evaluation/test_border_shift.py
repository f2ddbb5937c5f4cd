"""Borders that follow the map, follow half of the way, or stay: painters and a parser that are known."""

import numpy as np
import pytest
import torch

from sofgan.evaluation.border_shift import BORDERS, SHIFTS_PX, border_shifts, grown
from sofgan.labels import BACKGROUND, CLOTH, HAIR, SKIN, resize

SIZE = 64


class Painter:
    """Pictures whose red is the label map's class; a style says nothing."""

    resolution = SIZE
    device = torch.device("cpu")

    def sample_z(self, count, generator):
        return torch.randn((count, 2), generator=generator)

    def map_styles(self, z):
        return z

    def paint(self, labels, w):
        shown = resize(labels, SIZE)
        return torch.from_numpy(shown / 16.0).float()[:, None].repeat(1, 3, 1, 1)


class Half(Painter):
    """Moves the upper half alone."""

    def paint(self, labels, w):
        images = super().paint(labels, w)
        images[:, :, SIZE // 2 :] = super().paint(maps_of(1), w)[:, :, SIZE // 2 :]
        return images


class Still(Painter):
    def paint(self, labels, w):
        return super().paint(maps_of(1), w)


class Capped(Painter):
    """Lets no border go further than 4 pixels."""

    def paint(self, labels, w):
        images = super().paint(labels, w)
        images[..., 24:] = BACKGROUND / 16
        return images


def parse(images):
    return (images[:, 0].numpy() * 16).round().astype(np.uint8)


def biased(images):
    """A parser that sees all hair one pixel wider."""
    return np.stack([grown(one, (HAIR,), (BACKGROUND,), 1) for one in parse(images)])


def maps_of(count, size=SIZE):
    """Hair at the left, background at the right of it, straight borders."""
    maps = np.full((count, SIZE, SIZE), BACKGROUND, np.uint8)
    maps[:, :, :20] = HAIR
    return resize(maps, size)


def test_a_border_moves_along_its_normal_and_into_its_neighbor_alone():
    labels = np.full((SIZE, SIZE), BACKGROUND, np.uint8)
    rows, columns = np.mgrid[:SIZE, :SIZE] - 31.5
    labels[np.hypot(rows, columns) < 12] = HAIR
    labels[:8] = CLOTH
    moved = grown(labels, (HAIR,), (BACKGROUND,), 4)
    radius = np.sqrt((moved == HAIR).sum() / np.pi)
    assert radius == pytest.approx(16, abs=0.3)
    more = grown(labels, (HAIR,), (BACKGROUND,), 30)
    assert (more[:8] == CLOTH).all() and (labels[:8] == CLOTH).all()
    np.testing.assert_array_equal(grown(labels, (SKIN,), (BACKGROUND,), 4), labels)


@pytest.mark.parametrize("judge", [parse, biased])
@pytest.mark.parametrize(("painter", "share"), [(Painter, 1.0), (Half, 0.5), (Still, 0.0)])
def test_painted_borders_go_the_share_of_the_way_that_they_follow(painter, share, judge):
    found = border_shifts(painter(), maps_of(3), judge, 0)
    assert found["border_shift_hair_maps"] == 3
    for pixels in SHIFTS_PX:
        value = found[f"border_shift_hair_{pixels}"]
        assert value == pytest.approx(share * pixels, abs=0.2 if judge is biased else 1e-9)
        assert found[f"border_shift_hair_{pixels}_low"] <= value <= found[f"border_shift_hair_{pixels}_high"]
    assert not any("hairline" in name or "cloth" in name for name in found)


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_pixels_are_the_pictures_whatever_the_maps_have(size):
    found = border_shifts(Capped(), maps_of(2, size), parse, 0)
    assert [found[f"border_shift_hair_{pixels}"] for pixels in SHIFTS_PX] == pytest.approx([2, 4, 4])


def test_short_borders_do_not_count():
    maps = maps_of(3)
    maps[0] = BACKGROUND
    maps[1, 4:] = BACKGROUND
    maps[1, :, 4:] = BACKGROUND
    assert border_shifts(Painter(), maps, parse, 0) == {}


def test_regions_and_neighbors_are_apart():
    for classes, into in BORDERS.values():
        assert not set(classes) & set(into)
