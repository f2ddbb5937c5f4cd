"""Styles from a picture: that of a painter's own styles is found again, region by region."""

import numpy as np
import pytest
import torch

from sofgan import images
from sofgan.apps.engine import Engine
from sofgan.apps.looks import REGION_NAMES, Look
from sofgan.apps.style_fit import TRIED, TRIED_PSI, fit_look, look_up, region_colors
from sofgan.labels import CLOTH, EYE, HAIR, SKIN
from sofgan.seeds import torch_generator
from tests.small_models import small_siw, small_sof


@pytest.fixture(scope="module")
def siw():
    return small_siw()


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    labels = np.zeros((32, 32), np.uint8)
    labels[4:28, 6:26], labels[4:10, 6:26], labels[14:16, 10:13] = SKIN, HAIR, EYE
    return labels


def test_each_region_gets_the_tried_style_of_its_color(siw, labels):
    tried = siw.map_styles(siw.sample_z(TRIED, torch_generator(0, "apps", "styles tried")), TRIED_PSI)
    photo = siw.paint(labels[None], tried[7:8])
    found = look_up(siw, labels, photo)
    for name in ("background", "skin", "hair", "eye", "cloth"):  # no cloth is shown: the nearest of the whole
        assert torch.equal(found.w[REGION_NAMES.index(name)], tried[7]), name


def test_two_regions_get_styles_of_their_own(siw, labels):
    tried = siw.map_styles(siw.sample_z(TRIED, torch_generator(0, "apps", "styles tried")), TRIED_PSI)
    one, other = (siw.paint(labels[None], tried[k : k + 1]) for k in (7, 20))
    hair = torch.from_numpy(labels == HAIR)
    found = look_up(siw, labels, torch.where(hair, other, one))
    assert torch.equal(found.w[REGION_NAMES.index("hair")], tried[20])
    assert torch.equal(found.w[REGION_NAMES.index("skin")], tried[7])


def test_a_fit_comes_nearer_with_each_part_and_leaves_the_painter(siw, labels):
    look = Look(siw.map_styles(siw.sample_z(len(REGION_NAMES), torch.Generator().manual_seed(5))))
    photo = Engine(small_sof(), siw).paint(labels, look)
    before = {name: value.clone() for name, value in siw.generator.state_dict().items()}
    start = Look.of(siw.generator.w_average)
    found = fit_look(siw, labels, photo, start, (30, 15))
    assert found.distances["styles"] < 0.6 * found.distances["start"]
    assert found.distances["painter"] < found.distances["styles"]
    assert all(torch.equal(before[name], value) for name, value in siw.generator.state_dict().items())
    painted = Engine(small_sof(), found.siw).paint(labels, found.look)
    distance = np.abs(painted.astype(float) - photo).mean() / 127.5
    assert distance == pytest.approx(found.distances["painter"], abs=0.01)


def test_a_region_that_is_not_shown_keeps_its_style(siw, labels):
    photo = images.to_network_range(np.full((1, 32, 32, 3), 200, np.uint8))
    start = look_up(siw, labels, photo)
    found = fit_look(siw, labels, np.full((32, 32, 3), 200, np.uint8), start, (3, 0))
    changed = (found.look.w - start.w[:, None]).abs().amax((1, 2)) > 1e-6
    assert changed[REGION_NAMES.index("skin")] and not changed[REGION_NAMES.index("cloth")]


def test_region_colors_are_means_over_regions():
    labels = np.zeros((10, 10), np.uint8)
    labels[:5], labels[9] = HAIR, CLOTH
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:5, :5], picture[9] = 100, (10, 20, 30)
    found = region_colors(picture, labels)
    assert set(found) == {"background", "hair", "cloth"}
    assert found["hair"].tolist() == [50, 50, 50] and found["cloth"].tolist() == [10, 20, 30]
