import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sofgan.evaluation.equivariance import (
    crop,
    equivariance,
    measure_shifts,
    paint_without_noise,
    shifts,
    squared_differences,
    wide_maps,
)
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw

SIZE = 32


@pytest.fixture
def wide():
    return np.kron(
        np.random.default_rng(0).integers(0, 17, (16, 16), dtype=np.uint8), np.ones((8, 8), np.uint8)
    )


@pytest.fixture
def siw():
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution=32, label_size=64, start_size=8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128,
        channel_max=8, encoder_channels=(4, 4, 8), spade_sizes=(16, 32), spade_hidden=4, spade_max_size=32,
    )  # fmt: skip
    generator = Generator(config).requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if "noise_strength" in name:
            parameter.fill_(0.5)
    return Siw(generator, "cpu")


def pointwise(labels, w):
    """Colours of classes alone, averaged to the picture's pixels."""
    images = torch.from_numpy(labels[:, None].astype(np.float32) / 8.5 - 1).expand(-1, 3, -1, -1)
    return F.avg_pool2d(images, labels.shape[-1] // SIZE) * w[:, :3, None, None]


def test_what_a_crop_shows_moves_by_as_many_pixels(wide):
    still = crop(wide, 0, 0)
    assert still.shape == (64, 64) and np.array_equal(still, wide[32:96, 32:96])
    np.testing.assert_array_equal(crop(wide, 5, 3)[5:, 3:], still[:-5, :-3])


def test_a_picture_of_classes_alone_moves_with_its_map(wide):
    assert squared_differences(pointwise, wide, torch.ones(2, 3), (1, 3, 8), SIZE, 4).max() < 1e-12


def test_a_pattern_of_the_screen_does_not(wide):
    pattern = torch.randn((1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0)) * 0.1

    def paint(labels, w):
        return pointwise(labels, w) + pattern

    found = squared_differences(paint, wide, torch.ones(2, 3), (1, 3), SIZE, 4)
    assert torch.allclose(found, torch.full((2,), 2 * 0.1**2), rtol=0.15)


def test_shifts_that_are_no_pixels_or_too_long_are_refused(wide):
    with pytest.raises(ValueError, match="too little"):
        squared_differences(pointwise, wide, torch.ones(1, 3), (9,), SIZE, 4)
    with pytest.raises(ValueError, match="can't be shifted"):
        squared_differences(pointwise, wide, torch.ones(1, 3), (1,), 48, 4)


def test_shifts_are_by_the_stride_of_the_encoder_and_between(siw):
    assert shifts(siw) == {"stride": (4, 8), "between": (2, 3, 5, 6, 7)}


def test_noise_is_what_does_not_move(siw, wide):
    """Away from the borders, by multiples of its stride, a convolution moves with its input."""
    assert torch.equal(
        paint_without_noise(siw, wide[None, :64, :64], torch.ones(1, 8)),
        paint_without_noise(siw, wide[None, :64, :64], torch.ones(1, 8)),
    )

    def quiet(labels, w):
        return paint_without_noise(siw, labels, w)

    loud = measure_shifts(np.stack([wide, wide]), siw, 2, 0, 8)
    still = measure_shifts(np.stack([wide, wide]), siw, 2, 0, 8, quiet)
    assert loud.shape == (2, 7) and (still < loud / 3).all()
    figures = equivariance(loud, siw) | equivariance(still, siw, "_no_noise")
    assert figures["shift_db_stride_no_noise"] > figures["shift_db_stride"] + 5
    assert figures["shift_db_between"] == pytest.approx(10 * np.log10(4 / loud[:, 2:].mean()))


def test_a_wide_view_has_the_portraits_map_in_its_middle(field, framing):
    wide = wide_maps(field, torch.zeros(2, 4), framing, 32)
    assert wide.shape == (2, 64, 64)
    narrow = field.render(None, framing.camera(0.0, 0.0, 32)).labels.numpy()
    head = narrow > 0
    np.testing.assert_array_equal(crop(wide[0], 0, 0)[head], narrow[head])
