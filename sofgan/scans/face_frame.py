"""Axes of a head from where its eyes, nose and mouth lie: upright, whatever those of the file."""

from dataclasses import dataclass

import numpy as np

from sofgan import labels
from sofgan.scans.face_cues import BARE, MOUTH, NOSE
from sofgan.scans.mesh_ops import area_vectors, middles

# Glasses hide the eyes, and sit before them: by this share of the distance to the mouth, on generated avatars.
_GLASSES = (labels.EYE, labels.EYEGLASS)
GLASSES_AHEAD = 0.25
_HEAD = (*BARE, labels.HAIR, labels.HAT)
# The head about a face, in distances from eyes to mouth: within so much of it, and so far below and above its middle.
# A body, raised arms and hair that hangs down say nothing about where a face looks.
_HEAD_REACH, _HEAD_BELOW, _HEAD_ABOVE = 3.0, 0.8, 2.5

# The line from the lips to between the eyes leans back from the vertical of an upright head: the mean over 30
# generated avatars, whose axes are known (deviation 5.7 degrees).
LEAN_DEGREES = 7.4
# Files usually stand along their own axes, and features are found a few degrees amiss: an up axis this close to
# one of the file's is taken to be it, and so is the front. How far a face leans back is known worst.
SNAP_UP_DEGREES = 18.0
SNAP_FRONT_DEGREES = 6.0


@dataclass(frozen=True)
class FaceFrame:
    """Place and axes of a face.

    Attributes:
        rotation: (3, 3), rows are the subject's left, up and front, in the axes of the points.
        eyes, mouth: (3,) their middles.
        eye_distance: between the two eyes; an estimate where one is seen.
    """

    rotation: np.ndarray
    eyes: np.ndarray
    mouth: np.ndarray
    eye_distance: float

    @property
    def height(self) -> float:
        """From mouth to eyes."""
        return float(np.linalg.norm(self.eyes - self.mouth))

    def portrait_side(self) -> float:
        """Side of the square that FFHQ cuts around this face, in the points' unit (Karras et al. 2019)."""
        return max(4 * self.eye_distance, 3.6 * self.height)


class NoFrame(ValueError):
    """The features tell no direction: some are missing, or all lie in one place."""


@dataclass(frozen=True)
class FeaturePoints:
    """Points (N, 3) on one feature and their weights (N,), such as areas."""

    points: np.ndarray
    weights: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """(3,)."""
        return np.average(self.points, axis=0, weights=self.weights)

    def foremost(self, front: np.ndarray, depth: float) -> "FeaturePoints":
        """Points within `depth` of the foremost one, in the direction `front`."""
        ahead = self.points @ front
        keep = ahead >= np.quantile(ahead, 0.98) - depth
        return FeaturePoints(self.points[keep], self.weights[keep])

    def moved(self, by: np.ndarray) -> "FeaturePoints":
        """All points moved by (3,)."""
        return FeaturePoints(self.points + by, self.weights)

    def __len__(self) -> int:
        return len(self.points)


def frame_of_features(
    eyes: FeaturePoints,
    nose: FeaturePoints,
    mouth: FeaturePoints,
    head_middle: np.ndarray,
    eyes_ahead: float = 0.0,
) -> FaceFrame:
    """The frame of a face from points on its features, in any axes and unit.

    Up is from mouth to eyes, front where the nose stands out from the line between them, and left the longest
    direction across the eyes. Without a nose, front is where eyes and mouth lie on the head.

    Args:
        eyes, nose, mouth: `mouth` with the lips. Of eyeballs and what is inside the mouth the front counts.
        head_middle: (3,) of the whole head.
        eyes_ahead: how far `eyes` lie before the eyes, as glasses do, in distances from eyes to mouth.

    Raises:
        NoFrame: there are no eyes or no mouth, or the features don't span a face.
    """
    if not (len(eyes) and len(mouth)):
        raise NoFrame("eyes and mouth are not both there")
    between = (eyes.middle + mouth.middle) / 2
    ahead = nose.middle - between if len(nose) else between - head_middle
    frame = _frame(eyes, mouth, ahead)
    for _ in range(2):
        front, depth = frame.rotation[2], 0.12 * frame.height
        behind = eyes.foremost(front, depth).moved(-eyes_ahead * frame.height * front)
        frame = _frame(behind, mouth.foremost(front, 2 * depth), ahead)
    return frame


def eye_classes(eyes: float, glasses: float) -> tuple[tuple[int, ...], float]:
    """Classes that show where the eyes are, and how far before the eyes they lie (`eyes_ahead`).

    Args:
        eyes, glasses: how much is labelled as either. A little of glasses beside eyes is a parser's mistake.
    """
    return (_GLASSES, GLASSES_AHEAD) if eyes < glasses / 4 else ((labels.EYE,), 0.0)


def frame_of_labels(vertices: np.ndarray, faces: np.ndarray, face_labels: np.ndarray) -> FaceFrame:
    """The frame of a labelled scan's face: `frame_of_features` of its triangles, weighted by their areas.

    Args:
        vertices, faces, face_labels: (V, 3), (F, 3), (F,).

    Raises:
        NoFrame: there are no eyes or no mouth, or the features don't span a face.
    """
    centres = middles(vertices, faces)
    areas = np.linalg.norm(area_vectors(vertices, faces), axis=1)
    eyes, eyes_ahead = eye_classes(
        areas[face_labels == labels.EYE].sum(), areas[face_labels == labels.EYEGLASS].sum()
    )
    features = [
        FeaturePoints(centres[chosen], np.maximum(areas[chosen], 1e-300))
        for chosen in (np.isin(face_labels, classes) for classes in (eyes, NOSE, MOUTH, BARE, _HEAD))
    ]
    if not len(features[4]):
        raise NoFrame("there is no head")
    head = next(
        (near for near in (_about(*features[:3:2], part) for part in features[3:]) if len(near)), features[4]
    )
    return frame_of_features(*features[:3], head.middle, eyes_ahead)


def _about(eyes: FeaturePoints, mouth: FeaturePoints, head: FeaturePoints) -> FeaturePoints:
    """The points of a head that are near its face."""
    if not (len(eyes) and len(mouth)):
        return head
    middle, up = (eyes.middle + mouth.middle) / 2, eyes.middle - mouth.middle
    offset = (head.points - middle) / max(np.linalg.norm(up), 1e-300)
    level = offset @ (up / max(np.linalg.norm(up), 1e-300))
    near = np.linalg.norm(offset, axis=1) < _HEAD_REACH
    near &= (level > -_HEAD_BELOW) & (level < _HEAD_ABOVE)
    return FeaturePoints(head.points[near], head.weights[near])


def _frame(eyes: FeaturePoints, mouth: FeaturePoints, ahead: np.ndarray) -> FaceFrame:
    eye, lip = eyes.middle, mouth.middle
    height = np.linalg.norm(eye - lip)
    if height <= 0:
        raise NoFrame("eyes and mouth are in one place")
    up = (eye - lip) / height
    out = ahead - up * (ahead @ up)
    if np.linalg.norm(out) < 0.02 * height:
        raise NoFrame("it is flat: the face stands out in no direction")
    left = np.cross(up, _unit(out))
    across, distance = across_eyes(eyes.points, eyes.weights, up)
    # A nose seen from one side leans; the line through both eyes doesn't.
    if distance > 0.45 * height and abs(across @ left) > 0.7:
        left = across * np.sign(across @ left)
    else:
        distance = 0.9 * height
    up = _unit(up - left * (up @ left))
    front = np.cross(left, up)
    lean = np.radians(LEAN_DEGREES)
    up, front = up * np.cos(lean) + front * np.sin(lean), front * np.cos(lean) - up * np.sin(lean)
    return FaceFrame(np.stack([left, up, front]), eye, lip, float(distance))


def across_eyes(
    eyes: np.ndarray, weights: np.ndarray, up: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Direction (3,) and distance between the two halves of the eyes' points (N, 3), level with `up` if it is given."""
    up = np.zeros(3) if up is None else up
    offset = eyes - np.average(eyes, axis=0, weights=weights)
    offset = offset - np.outer(offset @ up, up)
    _, axes = np.linalg.eigh((offset * weights[:, None]).T @ offset)
    along = offset @ axes[:, -1]
    sides = [along > 0, along <= 0]
    if any(weights[side].sum() == 0 for side in sides):
        return axes[:, -1], 0.0
    first, second = (np.average(eyes[side], axis=0, weights=weights[side]) for side in sides)
    across = first - second
    across = across - up * (across @ up)
    distance = float(np.linalg.norm(across))
    return (across / distance, distance) if distance > 0 else (axes[:, -1], 0.0)


def snapped(rotation: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) with its up axis, and then its front, brought to axes of the file that are near."""
    axis = np.abs(rotation[1]).argmax()
    up = np.sign(rotation[1, axis]) * np.eye(3)[axis]
    if _angle(up, rotation[1]) > SNAP_UP_DEGREES:
        return rotation
    front = _unit(rotation[2] - up * (rotation[2] @ up))
    axis = np.abs(front).argmax()
    nearest = np.sign(front[axis]) * np.eye(3)[axis]
    if _angle(nearest, front) <= SNAP_FRONT_DEGREES:
        front = nearest
    return np.stack([np.cross(up, front), up, front])


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


def rotation_angle(rotation: np.ndarray) -> float:
    """Degrees by which a (3, 3) rotation turns."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def axis_rotations() -> list[np.ndarray]:
    """The 24 rotations (3, 3) that take axes to axes."""
    rows = [sign * row for row in np.eye(3) for sign in (1.0, -1.0)]
    return [
        np.stack([np.cross(up, front), up, front]) for up in rows for front in rows if abs(up @ front) < 0.5
    ]


def describe(rotation: np.ndarray) -> str:
    """Text for a report: "+Y up, +Z front", or the nearest axes and the angle to them."""
    nearest = max(axis_rotations(), key=lambda candidate: np.trace(candidate @ rotation.T))
    names = [_axis_name(row) for row in nearest[1:]]
    angle = rotation_angle(nearest @ rotation.T)
    text = f"{names[0]} up, {names[1]} front"
    return text if angle < 0.5 else f"{text}, turned by {angle:.0f} degrees"


def _axis_name(row: np.ndarray) -> str:
    axis = np.abs(row).argmax()
    return ("+" if row[axis] > 0 else "-") + "XYZ"[axis]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
