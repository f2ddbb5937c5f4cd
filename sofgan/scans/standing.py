"""How a scan stands: as its batch's `scan.yaml` says, or as its own face shows."""

from dataclasses import dataclass

import numpy as np

from sofgan.scans.face_frame import NoFrame, frame_of_labels, snapped
from sofgan.scans.normalising import Orientation

GIVEN, PARTS, VIEWS, ASSUMED = "scan.yaml", "labelled parts", "parsed views", "assumed"


@dataclass(frozen=True)
class Standing:
    """A scan's axes: `rotation` (3, 3) takes them to +Y up and +Z front; `source` says where that is from."""

    rotation: np.ndarray
    source: str


def standing_of_labels(
    vertices: np.ndarray, faces: np.ndarray, face_labels: np.ndarray, orientation: Orientation
) -> Standing:
    """How a labelled scan stands: given, or by its eyes, nose and mouth, or assumed to be +Y up and +Z front.

    Args:
        vertices, faces, face_labels: (V, 3), (F, 3), (F,) of the raw scan.
        orientation: what `scan.yaml` says.
    """
    if orientation.rotation is not None:
        return Standing(orientation.rotation, GIVEN)
    try:
        rotation = frame_of_labels(vertices, faces, face_labels).rotation
    except NoFrame:
        return Standing(Orientation(orientation.up or "+Y", _assumed_front(orientation)).rotation, ASSUMED)
    return Standing(upright(rotation, orientation), PARTS)


def upright(rotation: np.ndarray, orientation: Orientation) -> np.ndarray:
    """A found rotation (3, 3) brought to the up axis that `scan.yaml` gives, or to axes of the file that are near."""
    up = orientation.up_axis
    if up is None:
        return snapped(rotation)
    front = rotation[2] - up * (rotation[2] @ up)
    if np.linalg.norm(front) < 1e-3:  # It looks along the axis that is said to be up: that is checked later.
        front = np.roll(np.abs(up), 1)
    front = front / np.linalg.norm(front)
    return snapped(np.stack([np.cross(up, front), up, front]))


def _assumed_front(orientation: Orientation) -> str:
    return "-Y" if orientation.up == "+Z" else ("+Z" if (orientation.up or "+Y")[1] != "Z" else "+Y")
