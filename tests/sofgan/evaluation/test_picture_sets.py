"""Pictures of folders, stores and painters: what is read, counted, left out, and by which digest."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.baselines.config import PairedConfig
from sofgan.baselines.painter import PairedPainter, save_painter
from sofgan.baselines.spade import SpadeGenerator
from sofgan.errors import InputError, MissingInput
from sofgan.evaluation.picture_sets import (
    BATCH,
    open_files,
    open_painter,
    repetitions,
    resized,
    square,
)
from sofgan.photos.folder import natural_key
from sofgan.photos.store import PhotoStoreWriter
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw, save_siw, to_uint8
from sofgan.siw.painted_sets import paint_all


def encoded(number: int, name: str = "PNG", size=(10, 8)) -> bytes:
    pixels = np.random.default_rng(number).integers(256, size=(*size[::-1], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve pictures in two subfolders, a note, an empty picture, and one that is cut off."""
    for number in range(12):
        place = tmp_path / "pictures" / ("many" if number < 10 else "more")
        place.mkdir(parents=True, exist_ok=True)
        name, ending = (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))[number % 3]
        (place / f"{number}.{ending}").write_bytes(encoded(number, name))
    (tmp_path / "pictures" / "note.txt").write_text("not a picture")
    (tmp_path / "pictures" / "empty.png").touch()
    (tmp_path / "pictures" / "many" / "cut.png").write_bytes(encoded(99)[:-40])
    return tmp_path / "pictures"


def test_pictures_of_subfolders_are_squares_and_what_is_none_is_named(folder):
    found = open_files(folder, None, 0)
    pictures, damaged = found.read(range(len(found)), np.array)
    assert [picture.shape for picture in pictures] == [(8, 8, 3)] * 12
    assert len(damaged) == 1 and damaged[0].startswith("many/cut.png: truncated")
    assert sorted(reason.split(":")[0] for reason in found.left_out) == ["empty.png", "note.txt"]
    assert found.summary.sizes == "10x8" and set(found.summary.formats) == {"JPEG", "PNG", "WebP lossy"}


def test_a_store_of_the_same_files_has_the_same_digest_and_pictures(tmp_path):
    (tmp_path / "folder").mkdir()
    with PhotoStoreWriter(tmp_path / "store") as writer:
        for number in (10, 1, 2):
            writer.add(f"{number}.png", encoded(number))
            (tmp_path / "folder" / f"{number}.png").write_bytes(encoded(number))
        writer.add("map", None, np.zeros((4, 4), np.uint8))
    one, other = (open_files(tmp_path / name, None, 0) for name in ("folder", "store"))
    assert one.digest == other.digest and other.left_out == ["map: a label map without a photo"]
    for ours, theirs in zip(one.read(range(3), np.array)[0], other.read(range(3), np.array)[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    (tmp_path / "folder" / "1.png").write_bytes(encoded(3))
    assert open_files(tmp_path / "folder", None, 0).digest != one.digest


def test_a_count_draws_by_the_seed_and_goes_on_past_what_is_no_picture(folder):
    some = open_files(folder, 12, 0)
    assert len(some) == 12 and len(open_files(folder, 13, 0)) == 13  # one of them is cut off
    sets = [open_files(folder, 5, seed) for seed in range(6)]
    assert len({one.digest for one in sets}) > 1 and open_files(folder, 5, 3).digest == sets[3].digest
    for one in sets:
        assert len(one) == 5 and list(one.files) == sorted(one.files, key=natural_key)


def test_what_holds_no_picture_is_told(folder, tmp_path):
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="bare holds no picture that can be read$"):
        open_files(tmp_path / "bare", None, 0)
    (tmp_path / "bare" / "a.png").write_text("text")
    with pytest.raises(InputError, match="a.png: not an image"):
        open_files(tmp_path / "bare", None, 0)
    with pytest.raises(MissingInput, match="there is no folder"):
        open_files(tmp_path / "nowhere", None, 0)
    with pytest.raises(InputError, match="note.txt is a file"):
        open_files(folder / "note.txt", None, 0)


def test_squares_are_cut_from_the_middle_and_resized():
    pixels = np.zeros((6, 10, 3), np.uint8)
    pixels[:, 2:8] = 200
    assert (square(pixels) == 200).all() and square(pixels).shape == (6, 6, 3)
    assert resized(square(pixels), 3).shape == (3, 3, 3) and (resized(square(pixels), 3) == 200).all()


@pytest.fixture(scope="module")
def painter(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution=16, label_size=16, start_size=4, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128,
        channel_max=8, encoder_channels=(6, 8), spade_sizes=(8, 16), spade_hidden=4, spade_max_size=8,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("painter")
    save_siw(folder / "siw.pt", Siw(Generator(config).requires_grad_(False), "cpu"))
    with PhotoStoreWriter(folder / "maps") as writer:
        for number in range(3):
            writer.add(str(number), None, np.full((32, 32), number, np.uint8))
    with PhotoStoreWriter(folder / "photos") as writer:
        writer.add("1", encoded(1))
    return folder


def test_a_painter_paints_maps_in_turn_the_same_whichever_are_read(painter):
    def opened(count, seed=0):
        return open_painter(painter / "siw.pt", painter / "maps", count, seed, "cpu")

    found = opened(BATCH + 4)
    pictures = found.read(range(BATCH + 4), np.array)[0]
    assert len(pictures) == BATCH + 4 and pictures[0].shape == (16, 16, 3)
    np.testing.assert_allclose(
        found.read(range(BATCH, BATCH + 4), np.array)[0][-1], pictures[-1].astype(int), atol=1
    )
    assert (pictures[0] != pictures[3]).any()  # the same map in another style
    assert len(opened(None)) == 3 and found.summary.words == "painted pixels"
    assert len({opened(4).digest, opened(4, 1).digest, opened(5).digest}) == 3
    with pytest.raises(InputError, match="without a label map"):
        open_painter(painter / "siw.pt", painter / "photos", None, 0, "cpu")


def test_a_competitor_paints_too(painter):
    config = PairedConfig(
        method="spade", resolution=16, label_size=16, channel_base=128, channel_max=8, z_dim=4, spade_hidden=4,
        style_dim=4, reference_photos=2, residual_blocks=1,
    )  # fmt: skip
    torch.manual_seed(0)
    paired = PairedPainter(SpadeGenerator(config).requires_grad_(False), "cpu")
    save_painter(painter / "spade.pt", paired)
    pictures = open_painter(painter / "spade.pt", painter / "maps", 4, 0, "cpu").read(range(4), np.array)[0]
    maps = np.stack([np.full((16, 16), number % 3, np.uint8) for number in range(4)])
    ((_, expected),) = paint_all(paired, maps, 0, "score", 4)
    np.testing.assert_array_equal(pictures, to_uint8(expected))


def test_shared_and_repeated_pictures_are_counted(tmp_path):
    for side, numbers in (("one", (1, 2, 3)), ("other", (3, 4, 4, 4, 5))):
        (tmp_path / side).mkdir()
        for place, number in enumerate(numbers):
            (tmp_path / side / f"{place}.png").write_bytes(encoded(number))
    one, other = (open_files(tmp_path / name, None, 0) for name in ("one", "other"))
    assert repetitions(one, one) == ["3 of A's 3 pictures are among B's, byte by byte"]
    assert repetitions(one, other) == [
        "1 of A's 3 pictures are among B's, byte by byte",
        "2 of B's 5 are there already",
    ]
    (tmp_path / "one" / "2.png").unlink()
    assert repetitions(open_files(tmp_path / "one", None, 0), open_files(tmp_path / "one", None, 0)) != []
    assert repetitions(open_files(tmp_path / "one", None, 0), other) == ["2 of B's 5 are there already"]
