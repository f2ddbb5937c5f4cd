"""Users' folders hold anything: of a hundred bad files each is listed with its reason, and every good one is kept."""

import csv
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from sofgan.photos import folder as photo_folder
from sofgan.photos.decoding import decode
from sofgan.photos.importing import Selection, import_photos
from sofgan.photos.layouts import find_source
from sofgan.photos.store import PhotoStore

SELECTION = Selection(16, 0.0)


def _pixels(seed, size=24):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size)))


def _bytes(image, form="PNG", **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    if form in ("JPEG", "MPO"):
        options = {"quality": 95, "subsampling": 0} | options
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _chunk(kind, content, wrong=0):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content) ^ wrong)
    )


def _png(width, height, depth=8, colour=2, data=b"", wrong=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(data), wrong) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


def _bad_kinds(seed):
    """Kind to a file's suffix, its content, and the reason that must be told."""
    pixels = _pixels(1000 + seed)
    png, jpeg = _bytes(pixels), _bytes(pixels, "JPEG")
    noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    tiff, webp = _bytes(pixels, "TIFF"), _bytes(noise, "WEBP")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    text = f"photo {seed} is not here".encode()
    # The reason says what a file is or how it is damaged; numbers in it depend on the decoder.
    return {
        "empty": (".jpg", b"", "empty file"),
        "zeros": (".jpg", bytes(400 + seed), "zero bytes only"),
        "html": (".jpg", b"<!DOCTYPE html><html>404 " + text, "an HTML page"),
        "bare html": (".png", b"\n  <html><body>403 " + text, "an HTML page"),
        "text": (".png", text, "text"),
        "json": (".jpg", b'{"error": "' + text + b'"}', "JSON"),
        "lfs pointer": (".png", b"version https://git-lfs.github.com/spec/v1\noid " + text, "a Git LFS pointer"),
        "svg": (".png", b"<svg xmlns='http://www.w3.org/2000/svg'>" + text, "an SVG drawing"),
        "pdf": (".jpg", b"%PDF-1.7 " + text, "a PDF document"),
        "postscript": (".jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n" + text, "a PostScript document"),
        "zip": (".jpg", b"PK\x03\x04" + text, "a ZIP archive"),
        "gzip": (".png", b"\x1f\x8b\x08\0" + text, "a gzip archive"),
        "photoshop": (".tif", b"8BPS\0\1" + bytes(9) + text, "a Photoshop document"),
        "heic inside": (".jpg", b"\0\0\0\x18ftypheic\0\0\0\0" + text, "HEIC inside"),
        "avif inside": (".jpg", b"\0\0\0\x18ftypavif\0\0\0\0" + text, "AVIF inside"),
        "video inside": (".jpg", b"\0\0\0\x18ftypisom\0\0\0\0" + text, "a video"),
        "random bytes": (".jpg", np.random.default_rng(seed).bytes(300), "not an image that can be read"),
        "cut jpeg": (".jpg", jpeg[: -len(jpeg) // 4], "truncated"),
        "jpeg header": (".jpg", jpeg[:24], "damaged"),
        "jpeg signature": (".jpg", jpeg[:3] + text, "damaged"),
        "jpeg filled with zeros": (".jpg", jpeg[: -len(jpeg) // 4].ljust(len(jpeg), b"\0"), "the JPEG has no end"),
        "cut png": (".png", png[: len(png) // 2], "truncated"),
        "png signature": (".png", png[:8] + bytes([seed]), "a PNG with a damaged header"),
        "png header": (".png", png[:33] + bytes([seed]), "damaged"),
        "png without end": (".png", png[:-12], "the PNG has no end"),
        "png of no width": (".png", _png(0, 24 + seed), "damaged header"),
        "png checksum": (".png", _png(24, 24, data=rows, wrong=1 + seed), "wrong checksum of the PNG's IDAT"),
        "png bit": (".png", _flipped(png, len(png) // 2 + seed), "damaged"),
        "bomb": (".png", _png(60000, 50000 + seed), "too many pixels"),
        "lesser bomb": (".png", _png(12000, 10001 + seed), "too many pixels to be a photo: 12000x100"),
        "cut tiff": (".tif", tiff[: len(tiff) // 3], "damaged"),
        "cut webp": (".webp", webp[: len(webp) // 2], "damaged"),
        "cut bmp": (".bmp", _bytes(pixels, "BMP")[:600], "truncated"),
        "too small": (".png", _bytes(_pixels(seed, 15)), "too small: 15x15"),
        "too narrow": (".jpg", _bytes(Image.fromarray(noise).crop((0, 0, 60, 9)), "JPEG"), "too small: 60x9"),
        "strip": (".png", _bytes(np.tile(_pixels(seed), (1, 9, 1))), "no photo's shape: 216x24"),
        "one colour": (".png", _bytes(np.full((24, 24, 3), 10 + seed, np.uint8)), "one colour only"),
        "wholly clear": (".png", _bytes(Image.new("RGBA", (24, 24), (seed, 9, 9, 0))), "one colour only"),
        "not a number": (".tif", _bytes(np.full((24, 24), np.nan, np.float32), "TIFF"), "beyond 0 to 65535"),
        "heic": (".HEIC", text, "HEIC is not read"),
        "avif": (".avif", text, "AVIF is not read"),
        "svg by name": (".svg", text, "SVG is not read"),
        "raw": (".cr2", text, "a camera's raw file"),
        "video": (".mov", text, "a video"),
        "other": (".txt", text, "not a photo by its suffix '.txt'"),
        "no suffix": ("", text, "not a photo by its suffix ''"),
    }  # fmt: skip


def _good_kinds():
    """Kind to a file's suffix, its content, and the pixels that must come out."""
    rgb = _pixels(0)
    alpha = Image.fromarray(_pixels(1)).convert("RGBA")
    alpha.putalpha(Image.fromarray(np.where(np.arange(24) < 12, 255, 0).astype(np.uint8)[None].repeat(24, 0)))
    over_white = np.where(np.arange(24)[None, :, None] < 12, _pixels(1), 255)
    palette = Image.fromarray(_pixels(2)).quantize(16)
    grey = np.asarray(Image.fromarray(_pixels(3)).convert("L"))
    deep = grey.astype(np.uint16) * 257
    turned = Image.Exif()
    turned[0x0112] = 6
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in _pixels(4).astype(np.uint16) * 257)
    jpeg = _bytes(_pixels(5), "JPEG")
    two = {"save_all": True, "append_images": [Image.fromarray(_pixels(99))]}
    clear = _bytes(palette, transparency=palette.getpixel((0, 0)))
    under = np.asarray(palette.convert("RGB")).copy()
    under[np.asarray(palette) == palette.getpixel((0, 0))] = 255
    return {
        "png": (".png", _bytes(rgb), rgb),
        "png named jpg": (".jpg", _bytes(_pixels(6)), _pixels(6)),
        "capitals": (".PNG", _bytes(_pixels(7)), _pixels(7)),
        "bmp": (".bmp", _bytes(_pixels(8), "BMP"), _pixels(8)),
        "tiff": (".tiff", _bytes(_pixels(9), "TIFF"), _pixels(9)),
        "webp": (".webp", _bytes(_pixels(10), "WEBP", lossless=True), _pixels(10)),
        "jpeg and more": (".jpg", jpeg + b"garbage" * 9, _pixels(5)),
        "progressive": (".jpg", _bytes(_pixels(11), "JPEG", progressive=True), _pixels(11)),
        "grey": (".png", _bytes(grey), grey[..., None].repeat(3, 2)),
        "16-bit grey": (".png", _bytes(deep), grey[..., None].repeat(3, 2)),
        "16-bit colour": (".png", _png(24, 24, depth=16, data=rows), _pixels(4)),
        "alpha": (".png", _bytes(alpha), over_white),
        "palette": (".png", clear, under),
        "turned": (".jpg", _bytes(np.rot90(_pixels(12)), "JPEG", exif=turned), _pixels(12)),
        "broken exif": (
            ".jpg",
            _bytes(_pixels(13), "JPEG", exif=b"Exif\0\0nonsense"),
            _pixels(13),
        ),
        "broken profile": (".png", _bytes(_pixels(14), icc_profile=b"nonsense" * 20), _pixels(14)),
        "unfit profile": (".png", _bytes(_pixels(15), icc_profile=wide), _pixels(15)),
        "pages": (".tif", _bytes(_pixels(16), "TIFF", **two), _pixels(16)),
        "animation": (".webp", _bytes(_pixels(17), "WEBP", lossless=True, **two), _pixels(17)),
        "two in one": (".jpg", _bytes(_pixels(18), "MPO", **two), _pixels(18)),
        "png and more": (".png", _bytes(_pixels(19)) + b"more", _pixels(19)),
    }


def _report(store):
    return {row["file"]: row for row in csv.DictReader((store / "report.csv").open(newline=""))}


@pytest.fixture
def mixed_folder(tmp_path, monkeypatch):
    """Good and bad files in turn, in folders of their own and together; the bad ones with their reasons."""
    folder = tmp_path / "photos"
    good, bad = {}, {}
    for i, (kind, (suffix, content, pixels)) in enumerate(_good_kinds().items()):
        place = folder / f"{i % 3}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{kind}{suffix}").write_bytes(content)
        good[f"{i % 3}/{kind}"] = pixels
    for i in range(3):
        for kind, (suffix, content, reason) in _bad_kinds(i).items():
            (folder / f"{i}" / f"bad {kind}{suffix}").write_bytes(content)
            bad[f"{i}/bad {kind}{suffix}"] = reason

    # What can't be made by writing bytes.
    (folder / "1" / "copy.png").write_bytes((folder / "0" / "png.png").read_bytes())
    bad["1/copy.png"] = "duplicate: the same bytes as 0/png.png"
    (folder / "folder.jpg").mkdir()
    bad["folder.jpg"] = "a folder with a photo's name"
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    bad["gone.jpg"] = "a link to nothing"
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    bad["circle.jpg"] = "can't be read"
    (folder / "2" / "back").symlink_to(folder)
    bad["2/back"] = "a link back to a folder"
    os.mkfifo(folder / "pipe.jpg")  # Whoever opens it waits for ever.
    bad["pipe.jpg"] = "not a plain file"
    with open(folder / "huge.png", "wb") as file:
        file.truncate(photo_folder.MAX_FILE_BYTES + 1)
    bad["huge.png"] = "1.0 GiB are too many for a photo"
    (folder / "locked.jpg").write_bytes(_bytes(_pixels(77), "JPEG"))
    bad["locked.jpg"] = "can't be read: Permission denied"
    (folder / "closed").mkdir()
    (folder / "closed" / "inside.png").write_bytes(_bytes(_pixels(78)))
    bad["closed"] = "folder can't be read: Permission denied"
    (folder / ".hidden.jpg").write_bytes(b"no part of the set")

    # Root may read everything, so the system's answer to others is put in.
    def denied(function):
        def wrapper(path, *arguments, **options):
            if str(path).endswith(("locked.jpg", "closed")):
                raise PermissionError(13, "Permission denied")
            return function(path, *arguments, **options)

        return wrapper

    monkeypatch.setattr(photo_folder.os, "stat", denied(os.stat))
    return folder, good, bad


def test_a_hundred_bad_files_among_good_ones(mixed_folder, tmp_path):
    folder, good, bad = mixed_folder
    assert len(bad) >= 100 and len(_bad_kinds(0)) >= 25 and len(good) >= 20
    source = find_source(folder)
    result = import_photos(source, tmp_path / "store", SELECTION, workers=3)
    store, report = PhotoStore(tmp_path / "store"), _report(tmp_path / "store")

    # Every good file, in the order of names, with its pixels.
    assert store.keys() == sorted(good, key=photo_folder.natural_key) and result.photos == len(good)
    for index, key in enumerate(store.keys()):
        assert store.image(index).shape == (24, 24, 3)
        difference = np.abs(store.image(index).astype(int) - good[key]).mean()
        assert difference < 3, key  # Of JPEGs; the others are exact but for 16 bits.
        if store[index].bytes[:2] != b"\xff\xd8" and "16-bit" not in key:
            assert difference == 0, key

    # Every bad one, once, with its reason.
    left_out = {name: row["reason"] for name, row in report.items() if row["status"] == "left out"}
    assert left_out.keys() == bad.keys() and result.left_out == len(bad)
    wrong = {name: reason for name, reason in left_out.items() if bad[name] not in reason}
    assert not wrong
    assert sum(result.reasons.values()) == len(bad)
    for key, note in [("grey", "greyscale"), ("16-bit colour", "16-bit"), ("alpha", "alpha"), ("turned", "EXIF"),
                      ("palette", "alpha"), ("pages", "the first is read"), ("two in one", "the first")]:  # fmt: skip
        name = next(name for name in report if name.split("/")[-1].split(".")[0] == key)
        assert note in report[name]["reason"] and report[name]["status"] == "imported", key

    # The same bytes with one worker.
    import_photos(source, tmp_path / "again", SELECTION, workers=1)
    for file in (tmp_path / "store").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_odd_names_are_kept_apart_and_can_be_printed(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [
        "a.jpg",
        "a.png",
        "a.png.png",
        "café.png",
        "caf\\xe9.png",
        "new\nline.png",
        "写真²3.png",
        "-rf.png",
    ]
    names += ['comma, "quote".png', "x" * 200 + ".png", " space .png", os.fsdecode(b"caf\xe9.png")]
    for i, name in enumerate(names):
        (folder / name).write_bytes(_bytes(_pixels(i)))
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes(b"?")
    result = import_photos(find_source(folder), tmp_path / "store", SELECTION, workers=2)
    store = PhotoStore(tmp_path / "store")
    keys = store.keys()
    assert result.photos == len(names) == len(set(keys)) and all(
        key.isprintable() or "\n" in key for key in keys
    )
    found = sorted(store.image(i).tobytes() for i in range(len(store)))
    assert found == sorted(_pixels(i).tobytes() for i in range(len(names)))
    assert {"a", "a.png", "caf\\xe9", "café", "写真²3"} <= set(keys)
    assert "not an image" in _report(tmp_path / "store")["bad\\xff.png"]["reason"]


def test_colours_of_a_profile_become_srgb():
    # A profile that calls its red what sRGB calls green: wide gamuts differ less, by the same mathematics.
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {}
    for i in range(int.from_bytes(profile[128:132], "big")):
        kind, offset, size = struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i])
        tags[kind] = slice(offset, offset + size)
    assert decode(_bytes(_pixels(0), icc_profile=bytes(profile))).tobytes() == _pixels(0).tobytes()
    red, green = bytes(profile[tags[b"rXYZ"]]), bytes(profile[tags[b"gXYZ"]])
    profile[tags[b"rXYZ"]], profile[tags[b"gXYZ"]] = green, red
    name = profile[tags[b"desc"]].replace(b"s\0R\0G\0B", b"o\0t\0h\0e").replace(b"sRGB", b"othe")
    profile[tags[b"desc"]] = name
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4], pixels[4:] = (255, 0, 0), (0, 0, 255)
    for form in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        shown = decode(_bytes(pixels, form, icc_profile=bytes(profile), **options))
        assert np.abs(shown[0, 0].astype(int) - (0, 255, 0)).max() <= 2, form
        assert np.abs(shown[7, 0].astype(int) - (0, 0, 255)).max() <= 2, form
