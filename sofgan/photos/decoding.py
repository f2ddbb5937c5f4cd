"""Photos and label maps as bytes: decoding to RGB the one way, and encoding.

Every reader of photos decodes here, so that a greyscale, CMYK, transparent or rotated file looks the same to
all of them. Stored bytes stay the original ones.
"""

import io
import warnings
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from sofgan.errors import UserError
from sofgan.labels import CELEBAMASK_NAMES, PALETTE

# What may be inside a file, whatever its name says. Others of PIL's formats are left alone: some start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
MAX_PIXELS = 120_000_000  # More than nearly any camera's; a header may promise what no memory holds.
ORIENTATION_TAG = 0x0112
VOID = 255  # what masks of several sets have where no one said what is to be seen
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PhotoError(UserError, ValueError):
    """A photo can't be used; the message is the reason, fit for a report."""


def decode(content: bytes) -> np.ndarray:
    """RGB pixels of a photo as it is meant to be seen, (H, W, 3) uint8.

    EXIF rotation is applied, transparency is laid over white, CMYK, greyscale and palettes become RGB, colours
    of another ICC profile become sRGB, of an animation the first frame counts.

    Raises:
        PhotoError: not an image, truncated, or damaged.
    """
    return np.asarray(to_rgb(open_image(content)))


def decode_square(content: bytes, size: int) -> np.ndarray:
    """The centred square of a photo, resized with antialiasing: (size, size, 3) uint8."""
    image = to_rgb(open_image(content, draft=size))
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if image.size == (size, size):
        return np.asarray(image)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


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
    image = open_image(content)
    if image.mode not in ("L", "P", "1"):
        raise PhotoError(f"a label map has one 8-bit channel, this one is {image.mode}")
    labels = np.asarray(image)
    return labels.astype(np.uint8, copy=False)


def decode_ids(content: bytes) -> np.ndarray:
    """Ids of a merged mask in any form that keeps them: (H, W) uint16.

    Read are 1, 8 and 16 bits of grey; colours whose three channels are equal; palettes, by index, or by their colours
    where all that occur are different greys which are ids (as tools leave them that make PNGs smaller). 16 bits that
    are 8 bits stretched (multiples of 257) are 8 bits again.

    Raises:
        PhotoError: it can't be decoded, its channels differ, it is partly transparent, or its format keeps no exact
            values.
    """
    image = open_image(content)
    if image.format in ("JPEG", "MPO") or content[8:16] == b"WEBPVP8 ":
        raise PhotoError(f"{image.format} keeps no exact ids: save the mask as PNG")
    if image.format == "PNG" and content[24] == 16 and image.mode in ("RGB", "RGBA"):
        raise PhotoError("16-bit colours lose their ids when read: save the mask as greyscale")
    if image.mode == "P":
        return _palette_ids(image)
    if image.mode == "1" or image.mode == "L":
        return np.asarray(image).astype(np.uint16)
    values = np.asarray(image)
    if image.mode.startswith("I"):
        if values.min() < 0 or values.max() > 65535:
            raise PhotoError(f"ids of mode {image.mode} beyond 0 to 65535")
        stretched = values.max() > 255 and not (values % 257).any()
        return (values // 257 if stretched else values).astype(np.uint16)
    if image.mode in ("LA", "RGBA"):
        if (values[..., -1] < 255).any():
            raise PhotoError("a merged mask is partly transparent: which id counts there isn't known")
        values = values[..., :-1]
    elif image.mode != "RGB":
        raise PhotoError(f"a merged mask is greyscale, palette or RGB, this one is {image.mode}")
    if (values != values[..., :1]).any():
        raise PhotoError(f"a merged mask's channels ({image.mode}) differ: it holds colours, not ids")
    return values[..., 0].astype(np.uint16)


def _palette_ids(image: Image.Image) -> np.ndarray:
    indices = np.asarray(image)
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if len(used) and used.max() < len(colours):
        shown = colours[used]
        values = shown[:, 0]
        ids = (values < len(CELEBAMASK_NAMES)) | (values == VOID)
        if (shown == values[:, None]).all() and ids.all() and len(np.unique(values)) == len(values):
            return colours[:, 0][indices].astype(np.uint16)
    return indices.astype(np.uint16)


def decode_binary(content: bytes) -> np.ndarray:
    """A black-and-white mask of any 8-bit mode, 0/1 or 0/255: (H, W) uint8 of 0 and 1.

    Raises:
        PhotoError: it can't be decoded.
    """
    values = np.asarray(open_image(content).convert("L"))
    return (values > values.max() // 2).astype(np.uint8)


def open_image(content: bytes, draft: int = 0) -> Image.Image:
    """A file decoded by PIL, as it is stored: any mode, not yet turned upright.

    Args:
        draft: where set, a JPEG may come at a half, a quarter or an eighth of its size, as long as twice this
            many pixels remain.

    Raises:
        PhotoError: not an image, too large, truncated, or damaged.
    """
    if not content:
        raise PhotoError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of EXIF data that is damaged but not needed.
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise PhotoError(f"too many pixels to be a photo: {image.width}x{image.height}")
            if draft and image.format == "JPEG":
                image.draft("RGB" if image.mode == "RGB" else None, (2 * draft, 2 * draft))
            image.load()
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError("not an image that can be read") from error
    except Image.DecompressionBombError as error:
        raise PhotoError("too many pixels to be a photo") from error
    except Exception as error:  # PIL's readers raise anything at damaged input; none may end a stage.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PhotoError(f"truncated or damaged: {reason}") from error
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as `decode` shows it.

    Raises:
        PhotoError: its mode has no way to RGB.
    """
    profile = image.info.get("icc_profile")
    turn = _UPRIGHT.get(orientation(image))
    if turn is not None:
        transparency = image.info.get("transparency")
        image = image.transpose(turn)
        if transparency is not None:
            image.info["transparency"] = transparency
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image)
    try:
        if is_transparent(image):
            if image.mode == "La":
                image = image.convert("LA")
            image = image.convert("RGBA")
            under = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(under, image).convert("RGB")
        if image.mode not in ("RGB", "L", "CMYK"):
            image = image.convert("RGB")
        transform = srgb_transform(profile, image.mode) if profile else None
        if transform is not None:
            return ImageCms.applyTransform(image, transform)
        return image if image.mode == "RGB" else image.convert("RGB")
    except (ValueError, ImageCms.PyCMSError) as error:
        raise PhotoError(f"colours of mode {image.mode} can't be read: {error}") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or none that can be read."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # As in `open_image`: damaged EXIF data raises anything, and the picture is whole.
        return 1
    return value if value in _UPRIGHT else 1


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel lets through what is behind it."""
    bands = image.getbands()
    if bands[-1] in ("A", "a"):
        return image.getchannel(bands[-1]).getextrema()[0] < 255
    return image.mode in ("1", "L", "P", "RGB") and "transparency" in image.info


@lru_cache(maxsize=32)  # A set's photos share a few profiles.
def srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From an ICC profile's colours of `mode` to sRGB; None where they are sRGB already or it can't be used."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _from_deep_grey(image: Image.Image) -> Image.Image:
    # PIL's own conversion clips 16-bit values at 255. Which range a file means shows only in its values.
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise PhotoError(f"greyscale of mode {image.mode} with values beyond 0 to 65535")
    if values.max() > 255:
        values = values / 257
    elif image.mode == "F" and values.max() <= 1:
        values = values * 255
    return Image.fromarray(np.round(values).astype(np.uint8)).convert("RGB")
