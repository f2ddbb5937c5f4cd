"""Cutting a face out of a photo as FFHQ does: an oriented square around eyes and mouth.

The geometry is that of CelebA-HQ (Karras et al., arXiv 1710.10196, appendix C), which FFHQ took over: the line
between the eyes and the line from eyes to mouth, turned by a right angle, together tell the head's roll; the size
follows from the longer of the two, so that a profile is not cut tighter than a frontal face. Points are continuous
pixel coordinates (x, y): the first pixel's centre is at (0.5, 0.5).
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageFilter

from sofgan.photos.decoding import PhotoError

# Half of the square's side, in lengths of the line between the eyes and of that from eyes to mouth.
_HALF_SIDE_EYES, _HALF_SIDE_MOUTH = 2.0, 1.8
_CENTRE_BELOW_EYES = 0.1  # of the line from eyes to mouth.
# Beyond the photo's border, in sides of the square: the blur's deviation, and where mirroring is all blurred.
_BORDER_BLUR, _BORDER_RAMP = 0.02, 0.1
_JPEG_QUALITY = 95
_MAX_SQUARE = 4.0  # in the photo's longer side; beyond it the points are no face's.


@dataclasses.dataclass(frozen=True)
class Face:
    """A face in a photo.

    Attributes:
        eyes: centres, (2, 2) float: the one left in the photo first.
        mouth: corners, (2, 2) float: likewise.
        others: further, smaller faces in the photo.
    """

    eyes: np.ndarray
    mouth: np.ndarray
    others: int = 0


class FaceFinder(Protocol):
    """Finds the face to align by.

    Attributes:
        batch: photos that it takes at once.
        missing: the reason told where it finds none.
    """

    batch: int
    missing: str

    def __call__(self, names: Sequence[str], photos: Sequence[Image.Image]) -> list[Face | None]:
        """The largest face of each photo, or None. `names` are those of `sofgan.photos.layouts.Entry`."""


def ffhq_transform(face: Face, size: int) -> np.ndarray:
    """From points of the photo to points of the aligned square of `size` pixels: (3, 3) float64, a similarity.

    Raises:
        PhotoError: the points coincide.
    """
    eyes, mouth = np.asarray(face.eyes, np.float64), np.asarray(face.mouth, np.float64)
    between_eyes = eyes[1] - eyes[0]
    to_mouth = mouth.mean(0) - eyes.mean(0)
    right = between_eyes - _quarter_turn(to_mouth)
    length = np.hypot(*right)
    if not np.isfinite(length) or length < 1e-6:
        raise PhotoError("no usable face: eyes and mouth coincide")
    half = max(_HALF_SIDE_EYES * np.hypot(*between_eyes), _HALF_SIDE_MOUTH * np.hypot(*to_mouth))
    right = right / length
    axes = np.stack([right, _quarter_turn(right)])  # Unit vectors to the right and down.
    centre = eyes.mean(0) + _CENTRE_BELOW_EYES * to_mouth
    transform = np.eye(3)
    transform[:2, :2] = axes * (size / (2 * half))
    transform[:2, 2] = size / 2 - transform[:2, :2] @ centre
    return transform


def square_side(transform: np.ndarray, size: int) -> float:
    """The side, in the photo's pixels, of the square that `transform` makes `size` pixels wide."""
    return float(size / np.hypot(*transform[0, :2]))


def share_outside(transform: np.ndarray, size: int, photo_size: tuple[int, int]) -> float:
    """The share of the aligned square that lies beyond the photo's borders, 0..1, to about a percent."""
    steps = (np.arange(64) + 0.5) / 64 * size
    points = np.stack([*np.meshgrid(steps, steps), np.ones((64, 64))], axis=-1) @ np.linalg.inv(transform).T
    width, height = photo_size
    x, y = points[..., 0], points[..., 1]
    return float(np.mean((x < 0) | (y < 0) | (x > width) | (y > height)))


def align_photo(photo: Image.Image, transform: np.ndarray, size: int) -> Image.Image:
    """The square that `transform` cuts out of an RGB photo, `size` pixels wide, resampled with antialiasing.

    What the photo doesn't reach is its mirror image, the more blurred the farther out.

    Raises:
        PhotoError: the square is far larger than the photo.
    """
    side = square_side(transform, size)
    if side > _MAX_SQUARE * max(photo.size):
        raise PhotoError(f"no usable face: its square of {side:.0f} px is far larger than the photo")
    to_photo = np.linalg.inv(transform)
    photo, origin = _surroundings(photo, to_photo, size, side)
    to_crop = np.array([[1, 0, -origin[0]], [0, 1, -origin[1]], [0, 0, 1.0]]) @ to_photo

    # A much larger square is first averaged over whole pixels, which is exact and fast.
    shrink = max(1, int(side / size / 2))
    if shrink > 1:
        photo = photo.reduce(shrink)
        to_crop = np.diag([1 / shrink, 1 / shrink, 1]) @ to_crop
    # Then it is sampled at least as finely as it has pixels, and filtered down to its size.
    finer = max(1, int(np.ceil(side / size / shrink - 1e-6)))
    method = Image.Resampling.BICUBIC if finer == 1 else Image.Resampling.BILINEAR
    coefficients = (to_crop @ np.diag([1 / finer, 1 / finer, 1]))[:2].ravel().tolist()
    aligned = photo.transform((size * finer,) * 2, Image.Transform.AFFINE, coefficients, method)
    return aligned.resize((size, size), Image.Resampling.LANCZOS) if finer > 1 else aligned


def align_labels(
    labels: np.ndarray, transform: np.ndarray, size: int, photo_size: tuple[int, int]
) -> np.ndarray:
    """A photo's label map moved by the photo's transform, by nearest neighbour; outside is background.

    Args:
        labels: (H, W) uint8, at any resolution.
        transform: of the photo, as `ffhq_transform` gives it.
        photo_size: the photo's width and height, which the map's stand for.

    Returns:
        (size, size) uint8.
    """
    to_map = np.diag([labels.shape[1] / photo_size[0], labels.shape[0] / photo_size[1], 1])
    coefficients = (to_map @ np.linalg.inv(transform))[:2].ravel().tolist()
    image = Image.fromarray(labels)
    moved = image.transform(
        (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=0
    )
    return np.asarray(moved)


def encode_photo(photo: Image.Image) -> bytes:
    """An RGB photo as JPEG of quality 95 with full colour resolution; equal photos are equal bytes."""
    buffer = io.BytesIO()
    photo.save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


class FfhqLandmarks:
    """Finds the faces of FFHQ's photos in the wild by the 68 landmarks of its metadata.

    Args:
        file: `ffhq-dataset-v2.json`; it is read wholly, which takes some seconds and two gigabytes for a while.

    Raises:
        ValueError: it is not that file.
    """

    batch = 16
    missing = "no landmarks in FFHQ's metadata"

    def __init__(self, file: str | Path) -> None:
        try:
            records = [record["in_the_wild"] for record in json.loads(Path(file).read_bytes()).values()]
            # A point there is a pixel's index, whose centre lies half a pixel farther.
            self._points = {
                _without_folder(record["file_path"]): np.array(record["face_landmarks"], np.float32) + 0.5
                for record in records
            }
            if any(points.shape != (68, 2) for points in self._points.values()):
                raise ValueError("68 landmarks a face are expected")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{file} is not FFHQ's metadata: {error}") from error

    def __call__(self, names: Sequence[str], photos: Sequence[Image.Image]) -> list[Face | None]:
        points = [self._points.get(_without_folder(name)) for name in names]
        return [None if found is None else face_from_68(found) for found in points]


def face_from_68(points: np.ndarray) -> Face:
    """The face of the 68 landmarks (68, 2) of iBUG's order, which dlib uses."""
    return Face(np.stack([points[36:42].mean(0), points[42:48].mean(0)]), points[[48, 54]])


def face_from_98(points: np.ndarray, others: int = 0) -> Face:
    """The face of the 98 landmarks (98, 2) of WFLW's order."""
    return Face(np.stack([points[60:68].mean(0), points[68:76].mean(0)]), points[[76, 82]], others)


def _without_folder(name: str) -> str:
    # "in-the-wild-images/00000/00000.png" and "00000.png" name the same photo, in both of its layouts.
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _quarter_turn(vector: np.ndarray) -> np.ndarray:
    """Turned by a right angle, from x to y."""
    return np.array([-vector[1], vector[0]])


def _surroundings(photo: Image.Image, to_photo: np.ndarray, size: int, side: float):
    """The part of a photo that the square needs, continued beyond the borders, and its origin in the photo."""
    corners = (to_photo @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]]))[:2]
    room = 3 + int(side / size)  # For the filters.
    left, top = (np.floor(corners.min(1)) - room).astype(int)
    right, bottom = (np.ceil(corners.max(1)) + room).astype(int)
    inner = (max(left, 0), max(top, 0), min(right, photo.width), min(bottom, photo.height))
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        raise PhotoError("no usable face: its square lies outside of the photo")
    pads = ((inner[1] - top, bottom - inner[3]), (inner[0] - left, right - inner[2]))
    photo = photo.crop(inner)
    if any(pad > 0 for pair in pads for pad in pair):
        photo = _continue(photo, pads, side)
    return photo, (left, top)


def _continue(photo: Image.Image, pads, side: float) -> Image.Image:
    """Mirror a photo beyond its borders; blurred with the distance, as a sharp mirror image looks like a face."""
    mirrored = np.pad(np.asarray(photo), (*pads, (0, 0)), mode="symmetric")
    rows, columns = (_distance_outside(length, pad) for length, pad in zip(photo.size[::-1], pads))
    weight = np.hypot(rows[:, None], columns[None]) / (_BORDER_RAMP * side)
    weight = (np.clip(weight, 0, 1) * 255).astype(np.uint8)
    mirrored = Image.fromarray(mirrored)
    blurred = mirrored.filter(ImageFilter.GaussianBlur(_BORDER_BLUR * side))
    return Image.composite(blurred, mirrored, Image.fromarray(weight))


def _distance_outside(length: int, pad: tuple[int, int]) -> np.ndarray:
    places = np.arange(-pad[0], length + pad[1])
    return np.maximum(0, np.maximum(-places, places - (length - 1))).astype(np.float32)
