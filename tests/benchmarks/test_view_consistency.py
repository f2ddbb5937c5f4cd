"""Parts of the generator that `benchmarks.view_consistency` changes."""

from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import view_consistency as benchmark
from benchmarks.inputs import identity
from sofgan.evaluation.equivariance import paint_without_noise, squared_differences
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw


@pytest.fixture(scope="module")
def siw():
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution=32, label_size=64, start_size=16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128,
        channel_max=8, encoder_channels=(4, 8), spade_sizes=(16, 32), spade_hidden=4, spade_max_size=16,
        to_rgb_start=1.0,
    )  # fmt: skip
    return Siw(Generator(config).requires_grad_(False), "cpu")


@pytest.fixture(scope="module")
def wide():
    blocks = np.random.default_rng(0).integers(0, 17, (16, 16), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8), np.uint8))


def test_without_borders_a_picture_moves_with_its_map_by_the_stride(siw, wide):
    w = siw.map_styles(torch.randn(1, 8, generator=torch.Generator().manual_seed(1)))
    canvas = benchmark.on_canvas(siw, 16)
    stride, between = squared_differences(
        partial(benchmark.paint_canvas, canvas), wide, w, (2, 3), 32, 8, border=16
    ).tolist()
    bordered, _ = squared_differences(partial(paint_without_noise, siw), wide, w, (2, 3), 32, 8).tolist()
    assert stride < 1e-9 < 1e-7 < min(between, bordered)
    # The generator itself is as it was.
    assert {module.size for module in siw.generator.modules() if isinstance(module, benchmark.Spade)} == {32}


def test_the_middle_of_a_canvas_is_the_picture_but_for_its_borders(siw, wide):
    """Where all around is as the borders are, empty: then both see the same."""
    inner = np.zeros((96, 96), np.uint8)
    inner[40:56, 40:56] = wide[:16, :16]
    w = siw.map_styles(torch.zeros(1, 8))
    middle = benchmark.paint_canvas(benchmark.on_canvas(siw, 16), inner[None], w)
    picture = paint_without_noise(siw, inner[None, 16:80, 16:80], w)
    assert middle.shape == picture.shape == (1, 3, 32, 32)
    assert torch.allclose(middle[..., 14:18, 14:18], picture[..., 14:18, 14:18], atol=0.05)


@pytest.mark.parametrize("part", benchmark.parts(), ids=lambda part: part.name)
def test_a_part_is_changed_for_a_while(siw, wide, part):
    w = siw.map_styles(torch.randn(1, 8, generator=torch.Generator().manual_seed(1)))
    labels = wide[None, 32:96, 32:96]
    before = paint_without_noise(siw, labels, w)
    with part.changed():
        changed = paint_without_noise(siw, labels, w)
    assert changed.shape == before.shape and (changed - before).abs().max() > 1e-4
    assert torch.equal(paint_without_noise(siw, labels, w), before)


def test_a_map_of_one_class_is_smoothed_to_itself(siw):
    """Averages of features over places of a map that is the same everywhere, which rolling does not change."""
    part = next(part for part in benchmark.parts() if "finer" in part.name)
    labels, w = np.full((1, 64, 64), 3, np.uint8), siw.map_styles(torch.zeros(1, 8))
    before = paint_without_noise(siw, labels, w)
    with part.changed():
        torch.testing.assert_close(paint_without_noise(siw, labels, w), before, atol=1e-5, rtol=1e-4)


def test_identity_is_left_out_in_a_line_where_the_judge_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(identity, "PACKAGES", ("torch", "no_such_package"))
    identity.describe({"heads": iter(())}, (0.0,))
    assert (
        capsys.readouterr().out
        == "no identity: no_such_package not installed (dlib-bin, face-recognition-models)\n"
    )


def test_identity_is_the_distance_to_the_frontal_view_in_each_style():
    found = np.zeros((3, 2, 128))
    found[0, :, 0], found[2, :, 0], found[1, 1, 5] = 0.2, (0.4, 0.6), 1.0
    found[:, 1, 5] = 1.0
    assert identity.turned(found, (-10.0, 0.0, 10.0)) == {10.0: pytest.approx(0.35)}
    found[2, 1] = np.nan  # no face
    assert identity.turned(found, (-10.0, 0.0, 10.0)) == {10.0: pytest.approx(0.8 / 3)}
