"""Cameras that frame a semantic field as portraits are framed.

A field fills the unit ball; portrait photos are crops around the face. The cameras here put a field's eyes and
mouth where the photos' label maps have them on average. They are as far from the head as those that the field was
trained on: a marcher that starts at the camera has learned to walk that far (paper, section 4; SRN's).
"""

from dataclasses import asdict, dataclass

import numpy as np

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.labels import EYE, L_LIP, MOUTH, U_LIP


@dataclass(frozen=True)
class Framing:
    """A camera that orbits a point of the head.

    Attributes:
        fov_degrees: full field of view of the square picture.
        target_y: height of the point in the middle of the picture, head space; it lies on the vertical axis.
        distance: of the camera to that point, head-space units.
    """

    fov_degrees: float
    target_y: float
    distance: float

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) float64, in image widths."""
        return cameras.intrinsics_from_fov(self.fov_degrees)

    def cam2world(self, yaw, pitch) -> np.ndarray:
        """Poses (..., 4, 4) float64 for angles in radians of any shape."""
        return cameras.orbit(np.asarray(yaw, np.float64), pitch, self.distance, (0.0, self.target_y, 0.0))

    def camera(self, yaw, pitch, size: int) -> Camera:
        """Cameras (...) at such angles, for pictures of so many pixels along a side."""
        return Camera(self.cam2world(yaw, pitch), self.intrinsics, size)

    def to_mapping(self) -> dict:
        """Plain data, for `Framing(**data)`."""
        return asdict(self)


def training_views(intrinsics: np.ndarray, distance: float) -> Framing:
    """The frontal camera among those that a field was trained on: it shows the whole head.

    Args:
        intrinsics: (3, 3) of the training views, in image widths.
        distance: of their cameras, head-space units.
    """
    return Framing(float(np.degrees(2 * np.arctan(0.5 / float(intrinsics[0, 0])))), 0.0, distance)


def face_anchors(labels: np.ndarray) -> tuple[float, float]:
    """Mean heights of eyes and mouth in label maps.

    Args:
        labels: (N, S, S) uint8 of about frontal faces.

    Returns:
        Both in image widths from the top, over the maps that show both.

    Raises:
        InputError: no map shows eyes and mouth.
    """
    rows = np.arange(labels.shape[1])[None, :, None] + 0.5
    eyes, mouths = labels == EYE, np.isin(labels, (MOUTH, U_LIP, L_LIP))
    seen = eyes.any((1, 2)) & mouths.any((1, 2))
    if not seen.any():
        raise InputError("no label map shows both eyes and mouth, so the framing of portraits is unknown")
    heights = [
        ((rows * part[seen]).sum((1, 2)) / part[seen].sum((1, 2))).mean() / labels.shape[1]
        for part in (eyes, mouths)
    ]
    return float(heights[0]), float(heights[1])


def field_anchors(labels: np.ndarray, depth: np.ndarray, framing: Framing) -> np.ndarray:
    """Positions of a field's eyes and mouth in head space, from frontal views.

    Args:
        labels: (N, S, S) uint8 views of heads from `framing` with yaw and pitch 0.
        depth: (N, S, S) camera depth, 0 where nothing is hit.

    Returns:
        (2, 3) float64: the mean point of the eyes and that of the mouth, over the heads that show both.

    Raises:
        InputError: no head shows both.
    """
    origin, directions = cameras.rays(framing.camera(0.0, 0.0, labels.shape[-1]))
    found = []
    for view, distance in zip(labels, depth):
        points = origin + distance[..., None] * directions
        parts = [(view == EYE) & (distance > 0), np.isin(view, (MOUTH, U_LIP, L_LIP)) & (distance > 0)]
        if all(part.any() for part in parts):
            found.append([points[part].mean(0) for part in parts])
    if not found:
        raise InputError(
            "no view of the field shows both eyes and mouth: train it for longer (train_sof.steps) or on more scans"
        )
    return np.mean(found, 0)


def match_framing(eyes_height: float, mouth_height: float, points: np.ndarray, distance: float):
    """The frontal camera under which a head's eyes and mouth appear at the given heights.

    Two equations, one a point: height - 1/2 = -focal * (y - target_y) / (distance - z).

    Args:
        eyes_height, mouth_height: in image widths from the top (see `face_anchors`).
        points: (2, 3) eyes and mouth in head space (see `field_anchors`).
        distance: of the camera, head-space units.

    Raises:
        InputError: mouth not below eyes, in the picture or on the head.
    """
    reach = distance - points[:, 2]
    offsets = (np.array([eyes_height, mouth_height]) - 0.5) * reach
    focal = (offsets[1] - offsets[0]) / (points[0, 1] - points[1, 1])
    if points[0, 1] <= points[1, 1] or focal <= 0:
        raise InputError("a mouth lies above the eyes: this is no upright face")
    target_y = offsets[0] / focal + points[0, 1]
    return Framing(float(np.degrees(2 * np.arctan(0.5 / focal))), float(target_y), distance)
