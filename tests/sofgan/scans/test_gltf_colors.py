"""Colors of glTF: light or sRGB, fractions or bytes."""

import numpy as np
import pytest

from sofgan.images import to_linear
from sofgan.labels import PALETTE
from sofgan.scans.gltf_colors import factor_color, holds_light, vertex_colors

HALF = 188  # sRGB of half the light


@pytest.mark.parametrize(
    ("dtype", "largest", "half", "shown"),
    [
        ("f4", 1, 0.5, HALF),
        ("u2", 65535, 32768, HALF),
        ("u2", 255, 128, 128),  # bytes in wider numbers
        ("f4", 255, 128, 128),
        ("u1", 255, 128, 128),
    ],
)
def test_fractions_are_light_and_bytes_are_srgb(dtype, largest, half, shown):
    stored = np.array([[largest, 0, half, half]], dtype)
    found = vertex_colors(stored, light=True)
    assert found.dtype == np.uint8 and found.tolist() == [[255, 0, shown, 128]]  # alpha stays
    assert vertex_colors(stored[:, :3], light=True).tolist() == [[255, 0, shown]]
    assert vertex_colors(stored, light=False).tolist() == [[255, 0, 128, 128]]


def test_dark_fractions_of_16_bits_are_no_bytes():
    dark = np.full((2, 3), 197, "u2")
    assert vertex_colors(dark, light=True, normalized=True).tolist() == [[10] * 3] * 2
    assert vertex_colors(dark, light=True).tolist() == [[197] * 3] * 2


def test_one_number_that_is_none_changes_no_other():
    whole = np.array([[128, 128, 128], [250, np.nan, np.inf]], "f4")
    assert vertex_colors(whole, light=True).tolist() == [[128] * 3, [250, 0, 0]]
    light = np.array([[0.5, 0.5, 0.5], [np.inf, -np.inf, np.nan]], "f4")
    assert vertex_colors(light, light=True).tolist() == [[HALF] * 3, [0] * 3]
    assert vertex_colors(np.zeros((0, 3), "f4"), light=True).shape == (0, 3)


@pytest.mark.parametrize(("dtype", "largest"), [("f4", 1), ("u2", 65535)])
def test_a_palette_is_found_as_light_and_as_it_stands(dtype, largest):
    whole = PALETTE / 255
    for fractions in (whole, to_linear(whole)):
        stored = (np.round(fractions * largest) if largest > 1 else fractions).astype(dtype)
        np.testing.assert_array_equal(vertex_colors(stored, light=True), PALETTE)


def test_programs_that_write_srgb_are_known():
    assert holds_light({}) and holds_light({"asset": {"generator": "Khronos glTF Blender I/O v4.2.57"}})
    for name in ("https://github.com/mikedh/trimesh", "Open3D", "Open Asset Import Library (assimp v5.4)"):
        assert not holds_light({"asset": {"generator": name}})
    assert factor_color(np.array([0.0, 1.0, 0.5, 0.3]), light=True) == (0, 255, HALF)
    assert factor_color(np.array([0.0, 2.0, 0.2]), light=False) == (0, 255, 51)
