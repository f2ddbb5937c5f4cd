"""Qualities that PIL wrote are read back, and sides that differ are told apart."""

import io

import numpy as np
import pytest
from PIL import Image

from sofgan.photos.compression import (
    PAINTED,
    Compression,
    Summary,
    compression,
    differences,
    jpeg_quality,
)
from sofgan.photos.decoding import PhotoError


def encoded(name: str, **how) -> bytes:
    pixels = np.random.default_rng(0).integers(256, size=(12, 20, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name, **how)
    return out.getvalue()


@pytest.mark.parametrize("quality", [1, 2, 10, 25, 49, 50, 51, 75, 80, 90, 95, 99, 100])
def test_the_quality_that_a_jpeg_was_written_with_is_read_back(quality):
    assert compression(encoded("JPEG", quality=quality)) == Compression(20, 12, "JPEG", quality)


def test_a_table_of_other_values_has_the_nearest_quality():
    table = np.asarray(Image.open(io.BytesIO(encoded("JPEG", quality=80))).quantization[0])
    table[5] += 1
    assert jpeg_quality(table) == 80


@pytest.mark.parametrize(
    ("name", "how", "told"),
    [
        ("PNG", {}, "PNG"),
        ("WEBP", {"quality": 80}, "WebP lossy"),
        ("WEBP", {"lossless": True}, "WebP lossless"),
        ("WEBP", {"quality": 80, "exif": Image.Exif().tobytes() + b"\0" * 3}, "WebP lossy"),
        ("WEBP", {"quality": 80, "save_all": True, "append_images": [Image.new("RGB", (20, 12))]}, "WebP lossy"),
    ],
)  # fmt: skip
def test_other_formats_have_no_quality(name, how, told):
    assert compression(encoded(name, **how)) == Compression(20, 12, told, None)


def test_what_is_no_picture_is_refused():
    with pytest.raises(PhotoError, match="not an image"):
        compression(b"GIF, or so it says")


def test_a_summary_is_in_words():
    jpegs = [Compression(8, 9, "JPEG", quality) for quality in (70, 90, 95)]
    assert Summary.of(jpegs).words == "JPEG of quality 70 to 95, median 90"
    mixed = Summary.of([*jpegs, Compression(64, 64, "PNG", None)])
    assert mixed.words == "75.0% JPEG of quality 70 to 95, median 90, 25.0% PNG"
    assert mixed.sizes == "8x9 to 64x64" and Summary.of(jpegs[:1]).sizes == "8x9"
    assert Summary.of(jpegs[:1]).words == "JPEG of quality 70"


def test_sides_are_told_apart_by_what_moves_scores():
    def side(quality, name="JPEG", size=64):
        return Summary.of([Compression(size, size, name, quality)] * 4)

    assert differences(side(90), side(90)) == differences(side(90), side(92)) == []
    assert differences(side(90), side(80)) == ["JPEG quality"]
    assert differences(side(90), side(None, "PNG")) == ["format"]
    assert differences(side(None, "PNG"), side(None, "PNG", 128)) == ["size"]
    assert differences(side(None, "PNG"), side(None, PAINTED)) == []  # neither changes pixels
    assert differences(side(None, "WebP lossy"), side(None, "GIF")) == ["format"]
