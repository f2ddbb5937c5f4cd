"""Whether a photo's file can be used, decided before it is stored: what is wrong or unusual about it.

Decoders forgive much: a download that broke off and was filled with zeros, or a bit that flipped on a disk, gives
a picture with a grey or a torn half. Such files are told here by the marks that their formats carry.
"""

import dataclasses
import zlib

from PIL import Image

from sofgan.photos.decoding import PhotoError, is_transparent, open_image, orientation, srgb_transform, to_rgb

_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"}
_MAX_ASPECT = 8  # A damaged header promises such sizes, and the centred square of a strip shows nothing.
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# What files that are no photo begin with; the first that fits decides.
_OTHER_CONTENT = [
    ("version https://git-lfs", "a Git LFS pointer, not the file that it stands for"),
    ("<!doctype html", "an HTML page"),
    ("<html", "an HTML page"),
    ("<svg", "an SVG drawing"),
    ("<?xml", "XML, perhaps an SVG drawing"),
    ("%pdf", "a PDF document"),
    ("%!ps", "a PostScript document"),
    ("8bps", "a Photoshop document"),
    ("pk\x03\x04", "a ZIP archive"),
    ("\x1f\x8b", "a gzip archive"),
    ("{", "JSON or other text"),
]
# Containers of the ISO media format, by their brand at bytes 8 to 12.
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
}


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Findings of `inspect`.

    Attributes:
        image: the photo as RGB, as `sofgan.photos.decoding.decode` shows it.
        notes: what is unusual, and how decoding treats it.
    """

    image: Image.Image
    notes: tuple[str, ...]


def inspect(content: bytes, min_side_px: int = 1) -> Inspection:
    """Decode a photo wholly and say what is unusual about it.

    Raises:
        PhotoError: it is no photo, is damaged or incomplete, shows one colour only, is a strip, or its shorter side
            is below `min_side_px`.
    """
    try:
        stored = open_image(content)
    except PhotoError as error:
        if str(error).startswith("not an image"):
            raise PhotoError(f"{error}: {what_it_is(content)}") from error
        raise
    if stored.format == "PNG":
        _check_png(content)
    elif stored.format in ("JPEG", "MPO"):
        _check_jpeg(content)
    image = to_rgb(stored)
    notes = _notes(stored, content)
    if min(image.size) < min_side_px:
        raise PhotoError(f"too small: {image.width}x{image.height}, the shorter side is under {min_side_px}")
    if max(image.size) > _MAX_ASPECT * min(image.size):
        raise PhotoError(f"no photo's shape: {image.width}x{image.height}")
    # A few pixels tell nearly always; only where they are equal all are looked at.
    if _is_plain(image.resize((8, 8), Image.Resampling.NEAREST)) and _is_plain(image):
        raise PhotoError("one colour only: nothing is to be seen")
    return Inspection(image, tuple(notes))


def what_it_is(content: bytes) -> str:
    """A guess at a file that is no photo, by its first bytes."""
    if content[:8] == _PNG:
        return "a PNG with a damaged header"
    if content[:2] == _JPEG:
        return "a JPEG with a damaged header"
    if content[4:8] == b"ftyp":
        return f"{_BRANDS.get(content[8:12], 'a video or another ISO media file')} inside"
    if not content[:512].strip(b"\0"):
        return "zero bytes only"
    start = content[:256].decode("latin-1").lstrip("\xef\xbb\xbf \t\r\n").lower()
    for beginning, kind in _OTHER_CONTENT:
        if start.startswith(beginning):
            return kind
    if all(letter.isprintable() or letter.isspace() for letter in start):
        return "text"
    return "unknown content"


def _is_plain(image: Image.Image) -> bool:
    return all(low == high for low, high in image.getextrema())


def _notes(stored: Image.Image, content: bytes) -> list[str]:
    notes = []
    if stored.mode in _GREY_MODES:
        notes.append(f"greyscale ({stored.mode}): read as RGB")
    elif stored.mode == "CMYK":
        notes.append("CMYK: converted to RGB when read")
    if _is_16_bit(stored, content):
        notes.append("16-bit: read with 8 bits")
    if is_transparent(stored):
        notes.append("alpha: laid over white when read")
    if orientation(stored) != 1:
        notes.append("EXIF rotation: applied when read")
    if stored.info.get("icc_profile") and stored.mode in ("RGB", "RGBA", "P", "L", "CMYK"):
        mode = stored.mode if stored.mode in ("L", "CMYK") else "RGB"
        if srgb_transform(stored.info["icc_profile"], mode) is not None:
            notes.append("ICC profile: converted to sRGB when read")
    if _pictures(stored) > 1:
        notes.append("several pictures: the first is read")
    return notes


def _pictures(stored: Image.Image) -> int:
    try:
        return getattr(stored, "n_frames", 1)
    except Exception:  # Counting goes through all of them, and a damaged later one is of no concern.
        return 1


def _is_16_bit(stored: Image.Image, content: bytes) -> bool:
    if stored.format == "PNG":
        return content[24] == 16  # IHDR's bit depth: PIL drops the lower bytes of colours without a word.
    return stored.mode.startswith("I;16")


def _check_png(content: bytes) -> None:
    """Checksums of the chunks that the picture is made of, which PIL skips."""
    place = len(_PNG)
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        kind = content[place + 4 : place + 8]
        end = place + 8 + length
        critical = kind[:1].isupper()
        if critical and zlib.crc32(content[place + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise PhotoError(f"damaged: wrong checksum of the PNG's {kind.decode('latin-1')}")
        if kind == b"IEND":
            return
        place = end + 4
    raise PhotoError("truncated or damaged: the PNG has no end")


def _check_jpeg(content: bytes) -> None:
    """Whether the picture's end marker comes after its start of scan; within scans such a pair can't occur."""
    place = 2
    while content[place : place + 1] == b"\xff":
        kind = content[place + 1]
        if kind == 0xDA:
            if content.find(b"\xff\xd9", place) < 0:
                raise PhotoError("truncated or damaged: the JPEG has no end")
            return
        if kind == 0xFF:  # A fill byte.
            place += 1
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
