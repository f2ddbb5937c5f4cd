"""Label maps that a visitor drew elsewhere and gives as a file."""

import base64
import io

import numpy as np
from PIL import Image
from scipy import ndimage

from sofgan.errors import InputError
from sofgan.labels import NUM_CLASSES, PALETTE, resize

MOST_BYTES, SIDES = 4_000_000, (16, 2048)  # of a file, pixels
GRAY = ("L", "I", "I;16", "I;16B")  # PIL's modes of gray values
TOLERANCE = 24  # distance in RGB (0..255) within which a color is a class'
PARTS = 64  # in which colors are compared: of millions, distances to all classes would take gigabytes
NOISE = 4  # distance within which a color is a class' wherever it is, and not in an area of one color alone
MOST_OFF = 0.1  # share of pixels that may be none: soft edges, which take the class of what is nearest


def read_map(content: bytes, size: int) -> np.ndarray:
    """Labels (size, size) uint8 of a square PNG: of class ids (gray, in whatever mode it was saved), or of the
    colors in which maps are shown.

    Raises:
        InputError: it is no such file, too large, not square, or its values are neither.
    """
    if len(content) > MOST_BYTES:
        raise InputError(
            f"a label map has {MOST_BYTES // 1_000_000} MB at most, this file has {len(content):,} bytes"
        )
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if not all(SIDES[0] <= side <= SIDES[1] for side in image.size):
                raise InputError(
                    f"a label map has sides of {SIDES[0]} to {SIDES[1]} pixels, not {image.width} x {image.height}"
                )
            if image.width != image.height:
                raise InputError(f"a label map is square, not {image.width} x {image.height} pixels")
            values = _values(image)
    except InputError:
        raise
    except Exception as error:  # PIL's readers raise anything at damaged input.
        raise InputError("a label map is a PNG, which this file is not, or it is damaged") from error
    return resize(_ids(values), size)


def _values(image: Image.Image) -> np.ndarray:
    """Gray values (H, W) or colors (H, W, 3) of a picture: gray where it can't be meant for colors."""
    if image.mode == "LA":
        image = image.getchannel("L")
    # Gray of 16 bits holds ids too: as colors all of them would be black.
    values = np.asarray(image if image.mode in GRAY else image.convert("RGB"))
    # Editors save gray as RGB or by a palette. As colors, such ids are all so dark that they would be background.
    if values.ndim == 3 and 0 < values.max() < NUM_CLASSES and (values == values[..., :1]).all():
        return values[..., 0]
    return values


def _ids(values: np.ndarray) -> np.ndarray:
    """Class ids of gray values or colors."""
    if values.ndim == 2:
        if values.max() >= NUM_CLASSES:
            raise InputError(
                f"a gray label map holds class ids up to {NUM_CLASSES - 1}, this one {values.max()}"
            )
        return values.astype(np.uint8)
    colors, inverse = np.unique(values.reshape(-1, 3), axis=0, return_inverse=True)
    inverse = inverse.reshape(values.shape[:2])
    nearest, ids = (np.concatenate(part) for part in zip(*map(_nearest, np.array_split(colors, PARTS))))
    # Along a soft edge two classes' colors are mixed in many ways, some of which may be near that of a third, but no
    # area is of one such color.
    square = np.stack([inverse[:-1, :-1], inverse[1:, :-1], inverse[:-1, 1:], inverse[1:, 1:]])
    flat = np.isin(np.arange(len(colors)), square[0][(square == square[0]).all(0)])
    off = ((nearest > NOISE) & ~(flat & (nearest <= TOLERANCE)))[inverse]
    if off.mean() > MOST_OFF:
        raise InputError(
            f"{off.mean():.0%} of the pixels have a color that is no class': save the map that is shown, paint in it "
            "with its own colors, without soft edges"
        )
    beside = ndimage.distance_transform_edt(off, return_distances=False, return_indices=True)
    return ids[inverse][tuple(beside)]


def _nearest(colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (N,) of colors (N, 3) from the nearest class', and these classes (N,) uint8."""
    distance = np.linalg.norm(colors[:, None].astype(np.float32) - PALETTE, axis=-1)
    return distance.min(1), distance.argmin(1).astype(np.uint8)


def packed(labels: np.ndarray) -> str:
    """A map as text, for records: equal maps are equal text."""
    out = io.BytesIO()
    Image.fromarray(labels).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


def unpacked(text: str) -> np.ndarray:
    """The map of that text, as it was.

    Raises:
        InputError: it is no such text.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if max(image.size) > SIDES[1]:
                raise InputError(f"a label map has sides of {SIDES[1]} pixels at most")
            labels = np.array(image)
    except InputError:
        raise
    except Exception as error:  # PIL's readers raise anything at damaged input.
        raise InputError("the record's label map is damaged") from error
    if (
        labels.dtype != np.uint8
        or labels.ndim != 2
        or len(set(labels.shape)) > 1
        or labels.max() >= NUM_CLASSES
    ):
        raise InputError("what the record has for a label map is none")
    return labels
