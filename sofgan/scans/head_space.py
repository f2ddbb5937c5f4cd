"""From a scan's own axes and unit to head space: +Y up, face to +Z, the head in the unit ball."""

from dataclasses import dataclass

import numpy as np

from sofgan import labels
from sofgan.scans.face_cues import BARE, eye_pair
from sofgan.scans.head_count import has_two_heads
from sofgan.scans.mesh_ops import clip_to_ball, compact, cut_at_plane
from sofgan.scans.reading import ScanError

METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
_AXES = {
    sign + axis: value * row for axis, row in zip("XYZ", np.eye(3)) for sign, value in (("+", 1), ("-", -1))
}

# The parts whose place tells where a head's front, middle and chin are.
FEATURES = (labels.EYE, labels.R_NOSE, labels.L_NOSE, labels.MOUTH, labels.U_LIP, labels.L_LIP)
_UPPER = (labels.EYE, labels.BROW)
_LOWER = (labels.U_LIP, labels.L_LIP, labels.MOUTH)
_BARE = (*BARE, labels.EYEGLASS)
_HEAD = (*_BARE, labels.HAIR, labels.HAT)
# A head's skin lies within this many distances from eyes to mouth of the middle of its face, its hair and hat within
# that many; raised hands, a tail or a cloak that is labelled as these don't.
_SKIN_REACH, _HAIR_REACH = 4.0, 7.0
# From eyes to mouth, in distances between the eyes: the mean over 24 generated avatars.
_EYES_TO_MOUTH = 1.1


@dataclass(frozen=True)
class Orientation:
    """Orientation of a batch's scans as its `scan.yaml` says: axes such as "+Y", and a unit of length.

    What is None is found for each scan (`sofgan.scans.orientation`).
    """

    up: str | None = None
    front: str | None = None  # where the face looks
    unit: str | None = None  # m, cm, mm ...; only checked for sense, as head space has no unit

    def __post_init__(self):
        for key in ("up", "front"):
            if getattr(self, key) not in (None, *_AXES):
                raise ValueError(f"{key} is one of {', '.join(_AXES)}, not {getattr(self, key)!r}")
        if self.up is None and self.front is not None:
            raise ValueError("front is given without up")
        if self.up and self.front and self.up[1] == self.front[1]:
            raise ValueError(f"up ({self.up}) and front ({self.front}) lie on the same axis")
        if self.unit is not None and self.unit not in METRES:
            raise ValueError(f"unit is one of {', '.join(METRES)}, not {self.unit!r}")

    @property
    def up_axis(self) -> np.ndarray | None:
        """(3,) in the scan's axes."""
        return None if self.up is None else _AXES[self.up]

    @property
    def rotation(self) -> np.ndarray | None:
        """(3, 3) from the scan's axes to +Y up, +Z front, where both are given."""
        if self.front is None:
            return None
        up, front = _AXES[self.up], _AXES[self.front]
        return np.stack([np.cross(up, front), up, front])


def to_head_space(
    vertices: np.ndarray,
    faces: np.ndarray,
    face_labels: np.ndarray,
    rotation: np.ndarray,
    unit: str | None,
    head_radius: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Turn, centre, scale and clip a labelled scan, and split its nose.

    Args:
        vertices, faces, face_labels: (V, 3), (F, 3), (F,) of the raw scan.
        rotation: (3, 3) from its axes to +Y up, +Z front.
        unit: of its lengths, which a head's size is checked against; None if nobody says.
        head_radius: of the head with hair and hat, in head space; below 1 to leave room for the neck.

    Returns:
        vertices (V', 3) float64, faces (F', 3), face_labels (F',), and `raw_to_head` (4, 4) float64.

    Raises:
        ScanError: this is no head, or it doesn't stand as `rotation` says.
    """
    turned = vertices @ rotation.T
    _check_head(turned, faces, face_labels)
    centre, radius = _head_ball(turned, faces, face_labels)
    _check_size(radius, unit)
    scale = head_radius / radius
    raw_to_head = np.eye(4)
    raw_to_head[:3, :3] = scale * rotation
    raw_to_head[:3, 3] = -scale * centre
    points, pieces, origin = clip_to_ball((turned - centre) * scale, faces, 1.0)
    points, pieces, face_labels = _split_nose(points, pieces, face_labels[origin])
    return points, pieces, face_labels, raw_to_head


def _points_of(vertices, faces, face_labels, classes) -> np.ndarray:
    used = np.zeros(len(vertices), bool)
    used[faces[np.isin(face_labels, classes)]] = True
    return vertices[used]


def _check_head(vertices, faces, face_labels) -> None:
    """A head is one, has skin (or what may be skin, void), and features on its front, eyes above lips."""
    features = _points_of(vertices, faces, face_labels, FEATURES)
    skin = _points_of(vertices, faces, face_labels, (labels.SKIN, labels.VOID))
    if len(skin) == 0 or len(features) == 0:
        missing = "skin" if len(skin) == 0 else "eyes, nose, mouth or lips"
        raise ScanError(f"not a head: no part of it is labelled as {missing}")
    if has_two_heads(vertices, faces, face_labels):
        raise ScanError(
            "it holds two heads or more: its eyes lie in several places; save each head as a file of its own"
        )
    upper = _points_of(vertices, faces, face_labels, _UPPER)
    lower = _points_of(vertices, faces, face_labels, _LOWER)
    if len(upper) and len(lower) and _middle(upper)[1] <= _middle(lower)[1]:
        raise ScanError("its eyes are not above its mouth; set `up` in scan.yaml")
    if _middle(features)[2] <= _middle(_head_points(vertices, faces, face_labels))[2]:
        raise ScanError("its face is not on the front; set `front` in scan.yaml")


def _middle(points: np.ndarray) -> np.ndarray:
    return (points.min(0) + points.max(0)) / 2


def _head_points(vertices, faces, face_labels) -> np.ndarray:
    """Corners (N, 3) of the head with its hair and hat, without trunk and limbs and whatever hangs below the chin."""
    head = _points_of(vertices, faces, face_labels, _HEAD)
    upper = _points_of(vertices, faces, face_labels, _UPPER)
    lower = _points_of(vertices, faces, face_labels, _LOWER)
    if len(upper) and len(lower):
        eyes, mouth = _middle(upper), _middle(lower)
        height, face = eyes[1] - mouth[1], (eyes + mouth) / 2
    else:
        pair = eye_pair(vertices, faces, face_labels)
        if pair is None:
            return head
        eyes, height = pair.middle, _EYES_TO_MOUTH * pair.distance
        face = eyes - [0, height / 2, 0]
    # From eyes to mouth is about as far as from mouth to a little below the chin. Long hair and the
    # skin of a neck that has no label of its own reach further and must not shrink the head.
    chin = eyes[1] - 2 * height
    near = []
    for classes, reach in ((_BARE, _SKIN_REACH), ((labels.HAIR, labels.HAT), _HAIR_REACH)):
        points = _points_of(vertices, faces, face_labels, classes)
        near.append(points[np.linalg.norm(points - face, axis=1) < reach * height])
    head = np.concatenate(near)
    return head[head[:, 1] >= chin]


def _head_ball(vertices, faces, face_labels) -> tuple[np.ndarray, float]:
    """Centre and radius of the head (`_head_points`), its face in the middle."""
    head = _head_points(vertices, faces, face_labels)
    features = _points_of(vertices, faces, face_labels, (*FEATURES, *_UPPER))
    centre = _middle(head)
    centre[0] = _middle(features)[0]
    return centre, float(np.linalg.norm(head - centre, axis=1).max())


def _check_size(radius: float, unit: str | None) -> None:
    if unit is None:
        return
    metres = 2 * radius * METRES[unit]
    if not 0.12 <= metres <= 1.0:
        raise ScanError(f"its head measures {metres:.3g} m if the unit is {unit}; set `unit` in scan.yaml")


def likely_unit(raw_to_head: np.ndarray, head_radius: float) -> str | None:
    """The unit in which a head with hair and hat measures 0.17 to 0.5 m, as heads do; None if there is none."""
    diameter = 2 * head_radius / np.cbrt(np.linalg.det(raw_to_head[:3, :3]))
    return next((unit for unit, metres in METRES.items() if 0.17 <= diameter * metres <= 0.5), None)


def _split_nose(points, faces, face_labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide a nose that has one label at the middle plane; one that has two is left as it is."""
    nose = np.isin(face_labels, (labels.R_NOSE, labels.L_NOSE))
    if len(np.unique(face_labels[nose])) != 1:
        return points, faces, face_labels
    points, pieces, _ = cut_at_plane(points, faces[nose], np.array([1.0, 0, 0]), 0.0)
    middle_x = points[pieces].mean(1)[:, 0]
    sides = np.where(middle_x < 0, labels.R_NOSE, labels.L_NOSE).astype(face_labels.dtype)
    faces = np.concatenate([faces[~nose], pieces])
    return *compact(points, faces), np.concatenate([face_labels[~nose], sides])
