"""Orientation of a scan: as its batch's `scan.yaml` says, or as its own face shows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sofgan import labels
from sofgan.scans.face_cues import (
    BARE,
    CuesDisagree,
    axes_of_cues,
    contradictions,
    eye_pair,
    offsets,
    ridge_of_nose,
)
from sofgan.scans.face_frame import NoFrame, frame_of_labels, snapped
from sofgan.scans.head_space import Orientation
from sofgan.scans.reading import ScanError

GIVEN, PARTS, VIEWS, ASSUMED = "scan.yaml", "labelled parts", "parsed views", "assumed"
SHAPE, UPRIGHT = "eyes and shape", "eyes and shape, up assumed"

_SAY = "say how it stands in scan.yaml (`up` and `front`)"


@dataclass(frozen=True)
class Standing:
    """A scan's axes: `rotation` (3, 3) takes them to +Y up and +Z front; `source` says where that is from."""

    rotation: np.ndarray
    source: str


def standing_of_labels(
    vertices: np.ndarray,
    faces: np.ndarray,
    face_labels: np.ndarray,
    orientation: Orientation,
    search: Callable[[], Standing | None] = lambda: None,
) -> Standing:
    """Orientation of a labelled scan: given, or by its eyes and mouth, or by its eyes and what lies around them, or as
    its colors show. Where it has no pair of eyes, assumed to be +Y up and +Z front.

    Args:
        vertices, faces, face_labels: (V, 3), (F, 3), (F,) of the raw scan.
        orientation: what `scan.yaml` says.
        search: looks for the face in the scan's colours, where its labels don't tell; None where that shows none.

    Raises:
        ScanError: its parts contradict each other, or tell no direction.
    """
    if orientation.rotation is not None:
        return Standing(orientation.rotation, GIVEN)
    try:
        frame = frame_of_labels(vertices, faces, face_labels)
    except NoFrame:
        return _by_cues(vertices, faces, face_labels, orientation, search)
    found = offsets(vertices, faces, face_labels, frame.eyes, frame.eye_distance)
    against = contradictions(found, frame.rotation)
    if against:
        raise ScanError(
            f"its parts don't agree on where it looks: eyes and mouth say one way, {' and '.join(against)} another; "
            f"mend its labels, or {_SAY}"
        )
    return Standing(upright(frame.rotation, orientation), PARTS)


def _by_cues(vertices, faces, face_labels, orientation: Orientation, search) -> Standing:
    pair = eye_pair(vertices, faces, face_labels)
    if pair is None:
        return Standing(Orientation(orientation.up or "+Y", _assumed_front(orientation)).rotation, ASSUMED)
    found = offsets(vertices, faces, face_labels, pair.middle, pair.distance)
    usual_up = [np.array([0.0, 1, 0]), np.array([0.0, 0, 1])]
    usual_up = usual_up if orientation.up is None else [orientation.up_axis]
    try:
        if "nose" not in found and "skull" in found:
            bare = faces[np.isin(face_labels, BARE) & (face_labels != labels.EYE)]
            ridge = ridge_of_nose(vertices, bare, pair, -found["skull"])
            found |= {} if ridge is None else {"nose's ridge": ridge}
        axes = axes_of_cues(found, pair.across, usual_up)
    except CuesDisagree as error:
        standing = search()
        if standing is None:
            raise ScanError(f"its parts don't agree on where it looks: {error}; {_SAY}") from error
        return standing
    if axes is None:
        standing = search()
        if standing is None:
            raise ScanError(f"it has eyes, but nothing about them tells where it looks; {_SAY}")
        return standing
    return Standing(upright(axes.rotation, orientation), SHAPE if axes.up_is_clear else UPRIGHT)


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
