"""Photos as bytes: decoding to RGB the one way, and saying what is unusual about a file.

Every reader of photos decodes here, so that a greyscale, CMYK, transparent or rotated file looks the same to
all of them. Stored bytes stay the original ones.
"""

import dataclasses
import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sofgan.labels import PALETTE

_ORIENTATION_TAG = 0x0112
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "F"}


class PhotoError(ValueError):
    """A photo can't be used; the message is the reason, fit for a report."""


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What `inspect` found: the size as displayed, and how decoding will treat anything unusual."""

    width: int
    height: int
    notes: tuple[str, ...]


def decode(content: bytes) -> np.ndarray:
    """RGB pixels of a photo as it is meant to be seen, (H, W, 3) uint8.

    EXIF rotation is applied, transparency is laid over white, CMYK, greyscale and palettes become RGB, of an
    animation the first frame counts.

    Raises:
        PhotoError: not an image, truncated, or damaged.
    """
    return np.asarray(_to_rgb(_open(content)))


def decode_square(content: bytes, size: int) -> np.ndarray:
    """The centred square of a photo, resized with antialiasing: (size, size, 3) uint8."""
    image = _open(content, draft=size)
    image = _to_rgb(image)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if image.size == (size, size):
        return np.asarray(image)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def inspect(content: bytes, min_side_px: int = 1) -> Inspection:
    """Decode a photo wholly and say what is unusual about it.

    Raises:
        PhotoError: it can't be decoded, or its shorter side is below `min_side_px`.
    """
    image = _open(content)
    notes = []
    if image.mode in _GREY_MODES:
        notes.append(f"greyscale ({image.mode}): read as RGB")
    elif image.mode == "CMYK":
        notes.append("CMYK: converted to RGB when read")
    if _is_transparent(image):
        notes.append("alpha: laid over white when read")
    if image.getexif().get(_ORIENTATION_TAG, 1) not in (0, 1):
        notes.append("EXIF rotation: applied when read")
    if getattr(image, "n_frames", 1) > 1:
        notes.append("animation: its first frame is read")
    image = _to_rgb(image)
    if min(image.size) < min_side_px:
        raise PhotoError(f"too small: {image.width}x{image.height}, the shorter side is under {min_side_px}")
    if image.width != image.height:
        notes.append(f"not square ({image.width}x{image.height}): its centred square is used")
    return Inspection(image.width, image.height, tuple(notes))


def encode_labels(labels: np.ndarray) -> bytes:
    """A 17-class map (H, W) as an 8-bit palette PNG whose values are the ids; equal maps are equal bytes."""
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint8))
    image.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def decode_labels(content: bytes) -> np.ndarray:
    """Ids of an 8-bit PNG label map, greyscale or palette: (H, W) uint8.

    Raises:
        PhotoError: it can't be decoded, or has several channels.
    """
    image = _open(content)
    if image.mode not in ("L", "P", "1"):
        raise PhotoError(f"a label map has one 8-bit channel, this one is {image.mode}")
    labels = np.asarray(image)
    return labels.astype(np.uint8, copy=False)


def decode_binary(content: bytes) -> np.ndarray:
    """A black-and-white mask of any 8-bit mode, 0/1 or 0/255: (H, W) uint8 of 0 and 1.

    Raises:
        PhotoError: it can't be decoded.
    """
    values = np.asarray(_open(content).convert("L"))
    return (values > values.max() // 2).astype(np.uint8)


def _open(content: bytes, draft: int = 0) -> Image.Image:
    if not content:
        raise PhotoError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of EXIF data that is damaged but not needed.
            image = Image.open(io.BytesIO(content))
            if draft and image.format == "JPEG":
                # Let libjpeg decode at 1/2, 1/4 or 1/8 where twice the wanted size remains.
                image.draft("RGB" if image.mode == "RGB" else None, (2 * draft, 2 * draft))
            image.load()
    except UnidentifiedImageError as error:
        raise PhotoError("not an image that can be read") from error
    except Image.DecompressionBombError as error:
        raise PhotoError("too many pixels to be a photo") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, IndexError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PhotoError(f"truncated or damaged: {reason}") from error
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image)
    if _is_transparent(image):
        image = image.convert("RGBA")
        under = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(under, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    # PIL's own conversion clips 16-bit values at 255.
    values = np.asarray(image).astype(np.float64)
    if values.max() > 255:
        values = values / 257
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8)).convert("RGB")


def _is_transparent(image: Image.Image) -> bool:
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return image.getchannel("A" if "A" in image.getbands() else "a").getextrema()[0] < 255
    return image.mode == "P" and "transparency" in image.info
