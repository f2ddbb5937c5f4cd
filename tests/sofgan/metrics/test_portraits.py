import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.faces.config import ParserConfig
from sofgan.faces.parser import FaceParser
from sofgan.labels import HAIR
from sofgan.metrics.features import NetworkFeatures, extract, to_network_range
from sofgan.metrics.portraits import (
    Control,
    distances,
    draw,
    floors,
    make_extractors,
    paint_all,
    real_features,
)
from sofgan.metrics.turntable import style_rows, turntable_gif, turntable_rows
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw


@pytest.fixture(scope="module")
def siw():
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution=16,
        label_size=16,
        start_size=8,
        z_dim=8,
        w_dim=8,
        mapping_layers=2,
        channel_base=128,
        channel_max=8,
        encoder_channels=(8,),
        spade_sizes=(16, 16),
        spade_hidden=4,
        spade_max_size=8,
    )
    return Siw(Generator(config).requires_grad_(False), "cpu")


def _maps(count, size=16):
    return np.random.default_rng(0).integers(0, 17, (count, size, size), dtype=np.uint8)


def test_painting_depends_on_seed_and_set_alone(siw):
    maps = _maps(5)
    one = torch.cat([images for _, images in paint_all(siw, maps, 0, "a", 5)])
    again = torch.cat([images for _, images in paint_all(siw, maps, 0, "a", 5)])
    other = torch.cat([images for _, images in paint_all(siw, maps, 0, "b", 5)])
    assert one.shape == (5, 3, 16, 16) and torch.equal(one, again) and not torch.equal(one, other)
    assert [len(labels) for labels, _ in paint_all(siw, maps, 0, "a", 2)] == [2, 2, 1]


def test_pictures_that_are_scored_have_noise_of_their_own(siw):
    """One map, one style: what differs is noise, and no picture's depends on those it is painted with."""
    network = copy.deepcopy(siw.generator)
    for block in network.blocks:
        block.conv.noise_strength.fill_(1.0)
    noisy = Siw(network, "cpu")
    noisy.map_styles = lambda z: torch.zeros(len(z), 8)
    maps = np.repeat(_maps(1), 4, 0)
    together = torch.cat([images for _, images in paint_all(noisy, maps, 0, "a", 4)])
    assert min((together[i] - together[j]).abs().mean() for i in range(4) for j in range(i)) > 0.01
    apart = torch.cat([images for _, images in paint_all(noisy, maps, 0, "a", 3)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
    rest = torch.cat([images for _, images in paint_all(noisy, maps[1:], 0, "a", 2, first=1, count=4)])
    torch.testing.assert_close(together[1:], rest, rtol=1e-4, atol=1e-5)


def test_draw_takes_each_once_and_is_stable():
    indices = draw(50, 20, 0, "x")
    assert len(set(indices.tolist())) == 20 and (np.diff(indices) > 0).all() and indices.max() < 50
    assert (indices == draw(50, 20, 0, "x")).all() and (indices != draw(50, 20, 1, "x")).any()
    assert draw(3, 20, 0, "x").tolist() == [0, 1, 2]


def test_distances_name_their_numbers():
    generator = np.random.default_rng(0)
    photos = generator.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    extractor = NetworkFeatures("fd_patch", lambda x: x.reshape(len(x), -1)[:, :6], 8)
    real = real_features(lambda i: photos[i], np.arange(40), [extractor], 16, "cpu")
    np.testing.assert_allclose(real["fd_patch"], extract([to_network_range(photos)], [extractor])["fd_patch"])
    values = distances({"fd_patch": real["fd_patch"][:30] + 1}, real, "_x", 10, generator)
    assert set(values) == {"fd_patch_x", "kd_patch_x", "n_generated_x", "n_real_x"}
    assert (values["n_generated_x"], values["n_real_x"]) == (30, 40) and values["fd_patch_x"] > 5
    floor = floors(real, 0)
    assert floor["n_floor"] == 20 and 0 <= floor["fd_patch_floor"] < values["fd_patch_x"]


def test_control_compares_at_the_pictures_size():
    class Echo:
        def parse(self, images):
            return (images[:, 0].numpy() * 16).round().astype(np.uint8)

    labels = np.zeros((2, 8, 8), np.uint8)
    labels[:, 4:] = HAIR
    small = labels[:, ::2, ::2].copy()
    control = Control(Echo())
    small[0, 0, 0] = HAIR
    control.update(labels, torch.from_numpy(small / 16.0).unsqueeze(1))
    scores = control.scores(0.01)
    assert scores["control_accuracy"] == pytest.approx(31 / 32)
    assert scores["control_iou_hair"] == pytest.approx(16 / 17)
    assert scores["control_miou"] == scores["control_miou_frequent"] == pytest.approx((16 / 17 + 15 / 16) / 2)


def test_extractors_by_name():
    parser = FaceParser(ParserConfig("unet", 32, 4)).eval()
    found = make_extractors(("parser", "lite2"), parser, "", "cpu")
    assert [extractor.name for extractor in found] == ["fd_parser", "fd_lite2"]
    features = extract([torch.zeros(2, 3, 16, 16)], found)
    assert features["fd_parser"].shape == (2, 32) and features["fd_lite2"].shape == (2, 1280)


def test_turntable_pictures(siw):
    w = style_rows(siw, 2, torch.Generator().manual_seed(0))
    labels = _maps(4, 32)
    sheet = turntable_rows(siw, labels, w)
    assert sheet.shape == (3 * 16, 4 * 16, 3) and sheet.dtype == np.uint8
    content = turntable_gif(siw, labels, w)
    assert content == turntable_gif(siw, labels, w)
    animation = Image.open(io.BytesIO(content))
    assert animation.n_frames == 6 and animation.size == (3 * 16, 16)
