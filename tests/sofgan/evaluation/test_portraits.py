import io

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.evaluation.portraits import (
    SUBSETS,
    Control,
    compare,
    compare_all,
    draw,
    make_extractors,
)
from sofgan.evaluation.turntable import style_rows, turntable_gif, turntable_rows
from sofgan.labels import HAIR
from sofgan.parsing.config import ParserConfig
from sofgan.parsing.parser import FaceParser
from sofgan.scores.features import extract
from sofgan.scores.frechet import frechet_distance
from sofgan.scores.frechet_interval import frechet_estimate
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


def test_draw_takes_each_once_and_is_stable():
    candidates = np.arange(100, 200, 2)
    indices = draw(candidates, 20, 0, "x")
    assert (
        len(set(indices.tolist())) == 20 and (np.diff(indices) > 0).all() and set(indices) <= set(candidates)
    )
    assert (indices == draw(candidates, 20, 0, "x")).all() and (indices != draw(candidates, 20, 1, "x")).any()
    assert draw(candidates[:3], 20, 0, "x").tolist() == [100, 102, 104]


def _features(count, shift=0.0, seed=0):
    return {"fd_patch": np.random.default_rng(seed).normal(shift, 1, (count, 6)).astype(np.float32)}


def test_distance_and_floor_are_of_one_number_of_pictures():
    """Each by hand: sets of one size are compared as they are."""
    painted, perfect, photos = _features(30, 2.0, 1), _features(30, 0.0, 2), _features(30, 0.0, 3)
    values = compare(painted, perfect, photos, "_x", 10, 0)
    ends = {f"fd_patch_x{floor}{end}" for floor in ("", "_floor") for end in ("", "_low", "_high")}
    assert set(values) == {"n_a_side_x", "kd_patch_x", "kd_patch_x_floor"} | ends
    for name in ("fd_patch_x", "fd_patch_x_floor"):
        assert 0 <= values[f"{name}_low"] < values[name] < values[f"{name}_high"]
    estimate = frechet_estimate(painted["fd_patch"], photos["fd_patch"])
    assert values["fd_patch_x_low"] == pytest.approx(estimate.low)
    assert values["fd_patch_x_floor_high"] < values["fd_patch_x_low"]
    one, two, three = (features["fd_patch"] for features in (painted, perfect, photos))
    assert values["n_a_side_x"] == 30
    assert values["fd_patch_x"] == pytest.approx(frechet_distance(one, three))
    assert values["fd_patch_x_floor"] == pytest.approx(frechet_distance(two, three))
    assert values["kd_patch_x_floor"] < values["kd_patch_x"]


def test_a_perfect_painter_scores_the_floor_whatever_it_paints():
    """Of as many pictures as the smallest set has: with all of each the distance of 400 would lie far below the floor
    of 40."""
    photos = _features(400, 0.0, 4)
    values = compare(_features(400, 0.0, 5), _features(40, 0.0, 6), photos, "", 20, 0)
    assert values["n_a_side"] == 40
    alone = frechet_distance(_features(400, 0.0, 5)["fd_patch"], photos["fd_patch"])
    assert values["fd_patch"] > 3 * alone
    assert values["fd_patch"] == pytest.approx(values["fd_patch_floor"], rel=0.5)
    # Of larger sets the mean over random subsets counts.
    rng = np.random.default_rng(0)
    painted = _features(400, 0.0, 5)["fd_patch"]
    single = [
        frechet_distance(painted[rng.choice(400, 40, False)], photos["fd_patch"][rng.choice(400, 40, False)])
        for _ in range(50)
    ]
    assert abs(values["fd_patch"] - np.mean(single)) < 3 * np.std(single) / np.sqrt(SUBSETS)
    assert compare(_features(400, 0.0, 5), _features(40, 0.0, 6), photos, "", 20, 0) == values


def test_without_a_floor_all_are_compared():
    values = compare_all(_features(50, 1.0, 1), _features(80, 0.0, 2), "_repeated")
    expected = frechet_distance(_features(50, 1.0, 1)["fd_patch"], _features(80, 0.0, 2)["fd_patch"][:50])
    assert set(values) == {"n_a_side_repeated"} | {f"fd_patch_repeated{end}" for end in ("", "_low", "_high")}
    assert values["n_a_side_repeated"] == 50 and values["fd_patch_repeated"] == pytest.approx(expected)
    assert values["fd_patch_repeated_low"] < expected < values["fd_patch_repeated_high"]


def test_intervals_end_at_0():
    """Sets so alike that the distance's error is as large as itself."""
    values = compare_all(_features(4, 0.0, 1), _features(4, 0.0, 1), "")
    assert values["fd_patch_low"] == 0 <= values["fd_patch"] <= values["fd_patch_high"]


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


def test_control_counts_what_maps_became_at_pixels_centres():
    """Rows are the maps. Of one that is three times as large the middle of three pixels counts."""

    class Bald:
        def parse(self, images):
            return np.zeros((len(images), 4, 4), np.uint8)

    labels = np.full((1, 12, 12), HAIR, np.uint8)
    labels[:, 1::3, 1::3] = 3
    labels[:, 1, 1] = 0
    control = Control(Bald())
    control.update(labels, torch.zeros(1, 3, 4, 4))
    assert control.confusion.counts[0, 0] == 1 and control.confusion.counts[3, 0] == 15
    assert control.confusion.counts.sum() == 16
