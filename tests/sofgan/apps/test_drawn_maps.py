"""Label maps of files that other programs wrote."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sofgan.apps.drawn_maps import SIDES, read_map, unpacked
from sofgan.errors import InputError
from sofgan.labels import HAIR, NUM_CLASSES, PALETTE, SKIN

IDS = np.zeros((32, 32), np.uint8)
IDS[4:28, 4:28], IDS[20:28, 8:24], IDS[:4] = SKIN, 7, HAIR


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def gray_palette(ids: np.ndarray) -> Image.Image:
    image = Image.fromarray(ids).convert("P")
    image.putdata(ids.flatten().tolist())
    image.putpalette([value for value in range(256) for _ in range(3)])
    return image


KINDS = {
    "gray": Image.fromarray,
    "gray of 16 bits": lambda ids: Image.fromarray(ids.astype(np.uint16)),
    "gray as RGB": lambda ids: Image.fromarray(np.stack([ids] * 3, -1)),
    "gray as RGBA": lambda ids: Image.fromarray(np.dstack([ids] * 3 + [np.full_like(ids, 255)])),
    "gray with alpha": lambda ids: Image.fromarray(np.dstack([ids, np.full_like(ids, 255)]), "LA"),
    "gray palette": gray_palette,
    "colors": lambda ids: Image.fromarray(PALETTE[ids].astype(np.uint8)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_read_from_whatever_holds_them(kind):
    assert (read_map(png(KINDS[kind](IDS)), 32) == IDS).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_map_is_background(kind):
    assert not read_map(png(KINDS[kind](np.zeros_like(IDS))), 32).any()


@pytest.mark.parametrize("kind", ["gray", "gray with alpha"])
def test_gray_that_is_no_class_is_refused(kind):
    with pytest.raises(InputError, match=f"class ids up to {NUM_CLASSES - 1}, this one 200"):
        read_map(png(KINDS[kind](np.full_like(IDS, 200))), 32)


def test_a_record_that_holds_too_large_a_map_says_so():
    wide = Image.new("L", (SIDES[1] + 1, 1))
    with pytest.raises(InputError, match=f"sides of {SIDES[1]} pixels at most"):
        unpacked(base64.b64encode(png(wide)).decode())
