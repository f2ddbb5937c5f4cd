"""The face in one parsed view of a scan, or two of them: whether features lie as a face's do."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from sofgan import labels
from sofgan.scans.face_frame import (
    MOUTH,
    NOSE,
    FaceFrame,
    FeaturePoints,
    NoFrame,
    eye_classes,
    frame_of_features,
)
from sofgan.scans.head_count import two_groups

_HEADS_APART = 2.0  # Two heads' eyes are farther apart than this many distances between a head's own.
_MAYBE = 0.1  # A score from which two heads in one view, which are small in it, are looked at closer.


@dataclass(frozen=True)
class FoundFace:
    """A face on a scan, in the scan's own axes.

    Attributes:
        frame: its place and axes, by the features that one view shows.
        score: how much that view looks like a frontal face, 0..1.
        seen_from: (3, 3) that view's axes: left, up, and to the camera.
    """

    frame: FaceFrame
    score: float
    seen_from: np.ndarray


def face_in_view(
    probabilities: np.ndarray, visible: np.ndarray, centres: np.ndarray, cam2world: np.ndarray
) -> FoundFace | None:
    """The face in one parsed view, if its features lie as a face's do.

    Args:
        probabilities: (17, S, S).
        visible: (S, S) triangles seen, -1 for none.
        centres: (F, 3) of triangles.
        cam2world: (4, 4) of the view.
    """
    parsed = np.where(visible >= 0, probabilities.argmax(0), labels.BACKGROUND)
    certainty = probabilities.max(0)
    eyes, eyes_ahead = eye_classes((parsed == labels.EYE).sum(), (parsed == labels.EYEGLASS).sum())
    places = {
        name: np.nonzero(np.isin(parsed, classes))
        for name, classes in (
            ("eye", eyes),
            ("nose", NOSE),
            ("mouth", MOUTH),
            ("skin", (labels.SKIN,)),
        )
    }
    if any(len(rows) < 2 for rows, _ in places.values()):
        return None
    eye, nose, mouth = (
        np.array([places[name][1].mean(), places[name][0].mean()]) for name in ("eye", "nose", "mouth")
    )
    down = mouth - eye
    height = np.hypot(*down)
    if height < 3:
        return None
    upright = max(0.0, down[1] / height)
    along = ((nose - eye) @ down) / height**2
    aside = abs((nose - eye)[0] * down[1] - (nose - eye)[1] * down[0]) / height**2
    spread = 2 * places["eye"][1].std() / height  # The distance between two eyes, over that to the mouth.
    features = np.concatenate([certainty[places[name]] for name in ("eye", "nose", "mouth")])
    skin = len(places["skin"][0]) / height**2
    points = {
        name: FeaturePoints(centres[visible[rows, columns]], np.ones(len(rows)))
        for name, (rows, columns) in places.items()
    }
    # From inside an open scan a face looks like one, but its nose is farther than its eyes.
    depth = {
        name: float(((one.points - cam2world[:3, 3]) @ cam2world[:3, 2]).mean())
        for name, one in points.items()
    }
    if depth["nose"] >= depth["eye"]:
        return None
    try:
        frame = frame_of_features(
            points["eye"], points["nose"], points["mouth"], points["skin"].middle, eyes_ahead
        )
    except NoFrame:
        return None
    score = (
        upright**4
        * _bell(along, 0.58, 0.25)
        * _bell(aside, 0.0, 0.2)
        * _bell(spread, 0.9, 0.4)
        * min(1.0, skin / 1.5)
        * float(features.mean())
    )
    right, down, forward = cam2world[:3, :3].T
    return FoundFace(frame, float(score), np.stack([right, -down, -forward]))


def two_faces(
    probabilities: np.ndarray, visible: np.ndarray, centres: np.ndarray, cam2world: np.ndarray
) -> tuple[FoundFace, FoundFace] | None:
    """Two faces in a view, divided at the widest gap between features, that are farther apart than one head."""
    parsed = np.where(visible >= 0, probabilities.argmax(0), labels.BACKGROUND)
    pixels = np.argwhere(np.isin(parsed, (labels.EYE, labels.EYEGLASS, *NOSE, *MOUTH)))
    chosen = pixels[:: max(1, len(pixels) // 300)].astype(float)
    split = two_groups(chosen)
    if split is None:
        return None
    shown = np.argwhere(visible >= 0)
    nearest = cKDTree(chosen).query(shown)[1]
    found = []
    for group in (split, ~split):
        own = np.full(visible.shape, -1, visible.dtype)
        rows, columns = shown[group[nearest]].T
        own[rows, columns] = visible[rows, columns]
        found.append(face_in_view(probabilities, own, centres, cam2world))
    if any(face is None or face.score < _MAYBE for face in found):
        return None
    return tuple(found) if apart(*(face.frame for face in found)) else None


def apart(one: FaceFrame, other: FaceFrame) -> bool:
    """Whether two faces are those of two heads."""
    distance = np.linalg.norm(one.eyes - other.eyes)
    return bool(distance > _HEADS_APART * max(one.eye_distance, other.eye_distance))


def _bell(value: float, middle: float, width: float) -> float:
    return float(np.exp(-(((value - middle) / width) ** 2)))
