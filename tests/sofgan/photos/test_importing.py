import csv
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from sofgan.photos.checks import inspect
from sofgan.photos.decoding import PhotoError, decode, decode_square
from sofgan.photos.folder import natural_key
from sofgan.photos.importing import Selection, import_photos
from sofgan.photos.layouts import SourceError, find_source
from sofgan.photos.store import PhotoStore

SELECTION = Selection(16, 0.3)


def _photo(seed, size=(24, 24)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


def _bytes(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _canonical_map(seed, size=24):
    return (
        np.random.default_rng(seed)
        .integers(0, 19, (size // 3, size // 3), dtype=np.uint8)
        .repeat(3, 0)
        .repeat(3, 1)
    )


def _report(path):
    return {row["file"]: row for row in csv.DictReader((path / "report.csv").open())}


def _merged(folder, count=5):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        (folder / "images" / f"{i}.jpg").write_bytes(_bytes(_photo(i), "JPEG"))
        mask = Image.fromarray(_canonical_map(i))
        mask.putpalette(np.arange(57, dtype=np.uint8).tobytes())
        mask.save(folder / "masks" / f"{i}.png")
    return folder


def test_bad_files_among_good_ones_are_each_listed(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    good = _bytes(_photo(0))
    (folder / "10.png").write_bytes(_bytes(_photo(1)))
    (folder / "2.png").write_bytes(good)
    (folder / "deep" / "er" / "a.webp").write_bytes(_bytes(_photo(2), "WEBP"))
    (folder / "wide.jpg").write_bytes(_bytes(_photo(3, (40, 24)), "JPEG"))
    (folder / "grey.png").write_bytes(_bytes(_photo(4).convert("L")))
    (folder / "cmyk.jpg").write_bytes(_bytes(_photo(5).convert("CMYK"), "JPEG"))
    alpha = _photo(6).convert("RGBA")
    alpha.putalpha(100)
    (folder / "alpha.png").write_bytes(_bytes(alpha))
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "turned.jpg").write_bytes(_bytes(_photo(7), "JPEG", exif=exif))
    bad = {
        "copy.png": (good, "duplicate"),
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"not a photo at all", "not an image"),
        "cut.png": (good[: len(good) // 2], "truncated"),
        "cut.jpg": (_bytes(_photo(8), "JPEG")[:-200], "truncated"),
        "tiny.png": (_bytes(_photo(9, (12, 40))), "too small"),
        "notes.txt": (b"hello", "suffix"),
    }
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    (folder / "folder.png").mkdir()
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    source = find_source(folder)
    result = import_photos(source, tmp_path / "store", SELECTION, workers=3)
    import_photos(source, tmp_path / "again", SELECTION, workers=1)
    store, report = PhotoStore(tmp_path / "store"), _report(tmp_path / "store")

    expected = ["2", "10", "alpha", "cmyk", "deep/er/a", "grey", "turned", "wide"]
    assert store.keys() == expected and result.photos == 8 and store[0].bytes == good
    for name, (_, reason) in bad.items():
        assert report[name]["status"] == "left out" and reason in report[name]["reason"], name
    assert "a folder" in report["folder.png"]["reason"] and "can't be read" in report["gone.jpg"]["reason"]
    for name, note in [("grey.png", "greyscale"), ("cmyk.jpg", "CMYK"), ("alpha.png", "alpha")]:
        assert report[name]["status"] == "imported" and note in report[name]["reason"]
    assert "EXIF" in report["turned.jpg"]["reason"] and "not square" in report["wide.jpg"]["reason"]
    assert len(report) == result.left_out + result.noted == 9 + 5
    for i in range(8):
        assert store.image(i, 20).shape == (20, 20, 3) and store.image(i).dtype == np.uint8
    for file in (tmp_path / "store").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_bad_masks_are_left_out_with_their_reason(tmp_path):
    folder = _merged(tmp_path / "m", 6)
    (folder / "masks" / "1.png").unlink()
    Image.fromarray(np.full((24, 24), 77, np.uint8)).save(folder / "masks" / "2.png")
    (folder / "masks" / "3.png").write_bytes(b"broken")
    _photo(0).save(folder / "masks" / "4.png")
    import_photos(find_source(folder), tmp_path / "store", SELECTION)
    report = _report(tmp_path / "store")
    assert PhotoStore(tmp_path / "store").keys() == ["0", "5"]
    for name, reason in [("1", "no mask"), ("2", "77"), ("3", "mask 3.png"), ("4", "RGB")]:
        assert reason in report[f"images/{name}.jpg"]["reason"]


def test_sources_that_are_none_say_so(tmp_path):
    with pytest.raises(SourceError, match="no folder"):
        find_source(tmp_path / "none")
    with pytest.raises(SourceError, match="holds no files"):
        find_source(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match="none of 1 files can be used: not an image"):
        import_photos(find_source(tmp_path), tmp_path / "store", SELECTION)
    assert not (tmp_path / "store").exists()
    (tmp_path / "CelebA-HQ-img").mkdir()
    with pytest.raises(SourceError, match="mask-anno"):
        find_source(tmp_path)


def test_limit_and_clashing_names(tmp_path):
    for i, name in enumerate(["a.png", "a.jpg", "b.png", "c.png"]):
        (tmp_path / name).write_bytes(_bytes(_photo(i), name[-3:].replace("jpg", "jpeg")))
    import_photos(
        find_source(tmp_path), tmp_path / "store", dataclasses.replace(SELECTION, limit=3), workers=2
    )
    assert PhotoStore(tmp_path / "store").keys() == ["a", "a.png", "b"]
    assert sorted(["10", "9", "a2", "a10"], key=natural_key) == ["9", "10", "a2", "a10"]


def test_decoding_shows_photos_as_meant():
    red = Image.new("RGB", (8, 4), (255, 0, 0))
    red.putpixel((0, 0), (0, 255, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(_bytes(red, "PNG", exif=exif))
    assert turned.shape == (8, 4, 3) and turned[0, -1].tolist() == [0, 255, 0]
    clear = red.convert("RGBA")
    clear.putalpha(0)
    assert (decode(_bytes(clear)) == 255).all()
    deep = np.full((4, 4), 65535 // 2, np.uint16)
    assert (decode(_bytes(Image.fromarray(deep))) == 127).all()
    deep[0, 0] = 0
    assert "greyscale" in inspect(_bytes(Image.fromarray(deep))).notes[0]
    floats = Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4))
    assert decode(_bytes(floats, "TIFF"))[..., 0].ravel().tolist() == [17 * i for i in range(16)]
    assert decode_square(_bytes(_photo(1, (64, 40)), "JPEG"), 8).shape == (8, 8, 3)
    square = _photo(2)
    assert (decode_square(_bytes(square), 24) == np.asarray(square)).all()
    with pytest.raises(PhotoError, match="empty"):
        decode(b"")
