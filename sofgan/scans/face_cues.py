"""Cues to the front and the top of a head, as seen from between its eyes: skull, brows, nose, ears and others."""

from dataclasses import dataclass

import numpy as np

from sofgan import labels
from sofgan.scans.mesh_ops import area_vectors, middles

NOSE = (labels.R_NOSE, labels.L_NOSE)
MOUTH = (labels.MOUTH, labels.U_LIP, labels.L_LIP)
# What a head is made of where hair doesn't hide it; void is a part of unknown class.
BARE = (labels.SKIN, labels.BROW, labels.EYE, labels.EAR, *NOSE, *MOUTH, labels.VOID)

# Lengths are in distances between the eyes. A head lies within this of the middle of its eyes, the rest of a body
# beyond that; hair falls farther.
HEAD_REACH = 2.5
BODY_BEGINS = 4.0
_LEAST_OFFSET = 0.2  # What lies nearer to the middle of the eyes tells no direction.

# Where each cue lies, in degrees from the front towards the top: the mean over 24 generated avatars, whose axes are
# known, but for the body, which stands below. The weight says how well it tells (deviations are 2 to 15 degrees).
_PLACES = {
    "skull": (-162.0, 1.0),
    "nose": (-50.0, 1.5),
    "nose's ridge": (-47.0, 1.5),
    "brows": (45.0, 1.5),
    "mouth": (-116.0, 1.5),
    "ears": (-165.0, 1.5),
    "hair": (138.0, 0.7),
    "hat": (98.0, 0.7),
    "neck and clothes": (-122.0, 1.0),
    "body": (-105.0, 1.0),
}
# Cues that are known by a name of their own, which a face can't have on its other side.
_CERTAIN = ("skull", "nose", "brows", "ears")
_AGAINST_DEGREES = 100.0  # from its place; such a cue says something else than the frame

# Both ways up explain what is seen about as well if their agreements differ by less than this.
_CLEAR = 0.15
_UPRIGHT = 0.87  # cosine of 30 degrees: within this of the usual up, a head stands upright in its file
_AGREEING = 0.6  # of 1: the cues' mean agreement below which they contradict each other

# The middles of a pair of eyes are farther apart than this many times an eye's deviation along the line through them:
# 3.5 are those of the halves of one round eye.
_PAIR_APART = 4.5

# A nose stands out from the cheeks by 0.27 to 0.72 distances between the eyes on generated avatars, brows, forehead
# and chin, on the same scale, by at most 0.22.
_RIDGE = 0.24
_RIDGE_AHEAD_OF_OTHERS = 1.6  # times the highest ridge on the other side of the eyes
_SAMPLES = 30_000  # points on the head, for the ridge


@dataclass(frozen=True)
class Axes:
    """Axes found from cues: `rotation` (3, 3) with rows left, up, front, and whether cues tell which way is up."""

    rotation: np.ndarray
    up_is_clear: bool


class CuesDisagree(ValueError):
    """Parts of a head lie where parts of one head can't."""


@dataclass(frozen=True)
class EyePair:
    """Two eyes: (3,) their middle, the unit direction from one to the other, and how far they are apart."""

    middle: np.ndarray
    across: np.ndarray
    distance: float


def eye_pair(vertices: np.ndarray, faces: np.ndarray, face_labels: np.ndarray) -> EyePair | None:
    """The two eyes of a labelled head (V, 3), (F, 3), (F,); None where it has one, or none, or they are one piece."""
    chosen = face_labels == labels.EYE
    if chosen.sum() < 2:
        return None
    points = middles(vertices, faces[chosen])
    weights = np.linalg.norm(area_vectors(vertices, faces[chosen]), axis=1) + 1e-300
    offset = points - np.average(points, axis=0, weights=weights)
    _, axes = np.linalg.eigh((offset * weights[:, None]).T @ offset)
    along = offset @ axes[:, -1]
    sides = [along > 0, along <= 0]
    if any(weights[side].sum() <= 0 for side in sides):
        return None
    first, second = (np.average(points[side], axis=0, weights=weights[side]) for side in sides)
    distance = float(np.linalg.norm(first - second))
    if distance <= 0:
        return None
    across = (first - second) / distance
    spread = max(
        np.average(((points[side] - middle) @ across) ** 2, weights=weights[side])
        for side, middle in zip(sides, (first, second))
    )
    if distance < _PAIR_APART * np.sqrt(spread):
        return None
    return EyePair((first + second) / 2, across, distance)


def offsets(
    vertices: np.ndarray, faces: np.ndarray, face_labels: np.ndarray, eyes: np.ndarray, distance: float
) -> dict[str, np.ndarray]:
    """Offsets (3,) by name, from the middle of the eyes to labelled parts, the skull and the body.

    Hair counts near the eyes alone: what hangs below or behind says nothing about them.

    Args:
        vertices, faces, face_labels: (V, 3), (F, 3), (F,).
        eyes, distance: (3,) the middle of both eyes, and how far they are apart; the unit of what is returned.
    """
    centres = (middles(vertices, faces) - eyes) / distance
    areas = np.linalg.norm(area_vectors(vertices, faces), axis=1) + 1e-300
    away = np.linalg.norm(centres, axis=1)
    near = away < HEAD_REACH
    bare = np.isin(face_labels, BARE)
    chosen = {
        "skull": near & bare,
        "nose": near & np.isin(face_labels, NOSE),
        "brows": near & (face_labels == labels.BROW),
        "mouth": near & np.isin(face_labels, MOUTH),
        "ears": near & (face_labels == labels.EAR),
        "hair": near & (face_labels == labels.HAIR),
        "hat": near & (face_labels == labels.HAT),
        "neck and clothes": np.isin(face_labels, (labels.NECK, labels.NECKLACE, labels.CLOTH)),
        "body": (away > BODY_BEGINS) & bare,
    }
    if not (chosen["skull"] & ~chosen["nose"] & (face_labels != labels.EYE)).any():
        chosen["skull"] = near & (face_labels != labels.EYE)  # Nothing but eyes and hair has a name.
    if areas[chosen["body"]].sum() < 0.3 * areas[chosen["skull"]].sum():
        chosen["body"] = np.zeros(len(faces), bool)
    return {
        name: np.average(centres[which], axis=0, weights=areas[which])
        for name, which in chosen.items()
        if which.any()
    }


def contradictions(found: dict[str, np.ndarray], rotation: np.ndarray) -> list[str]:
    """Names of the cues (`offsets`) that lie where they can't if a head's axes are `rotation`."""
    names = []
    for name in _CERTAIN:
        offset = found.get(name, np.zeros(3))
        up, front = rotation[1] @ offset, rotation[2] @ offset
        if np.hypot(up, front) < _LEAST_OFFSET:
            continue
        amiss = np.degrees(np.arctan2(up, front)) - _PLACES[name][0]
        if abs((amiss + 180) % 360 - 180) > _AGAINST_DEGREES:
            names.append(name)
    return names


def axes_of_cues(found: dict[str, np.ndarray], across: np.ndarray, usual_up: list[np.ndarray]) -> Axes | None:
    """A head's axes from the line through its eyes and where other parts lie; None where nothing tells the front.

    The line is level; what is left is a turn about it, and which of its ends is the head's left. For either end the
    turn is the weighted mean of those that bring the cues to their places.

    Args:
        found: `offsets`, perhaps with a ridge.
        across: (3,) unit, from one eye to the other.
        usual_up: (3,) unit vectors; where the cues leave two ways up, the one that is near one of these is taken.

    Raises:
        CuesDisagree: no turn brings them to their places.
    """
    first = np.eye(3)[np.abs(across).argmin()]
    first = first - across * (first @ across)
    first /= np.linalg.norm(first)
    second = np.cross(first, across)  # With `across` as left, a front at `first` has its top at `second`.
    sums, total = {1: 0j, -1: 0j}, 0.0
    for name, offset in found.items():
        place = complex(offset @ first, offset @ second)
        if abs(place) < _LEAST_OFFSET:
            continue
        degrees, weight = _PLACES[name]
        total += weight
        for side in sums:
            sums[side] += weight * place / abs(place) * np.exp(-1j * np.radians(side * degrees))
    if total == 0:
        return None
    best, other = sorted(sums, key=lambda side: abs(sums[side]), reverse=True)
    if abs(sums[best]) < _AGREEING * total:
        raise CuesDisagree(f"{', '.join(found)} do not lie about the eyes as on one head")
    rotations = {side: _turned(sums[side], side, across, first, second) for side in sums}
    if abs(sums[best]) - abs(sums[other]) >= _CLEAR * total:
        return Axes(rotations[best], True)
    nearness = {
        side: max((axis @ rotations[side][1] for axis in usual_up), default=0.0) for side in rotations
    }
    side = max(nearness, key=nearness.get)
    return Axes(rotations[side], False) if nearness[side] > _UPRIGHT else None


def _turned(direction: complex, side: int, across, first, second) -> np.ndarray:
    direction /= abs(direction)
    front = direction.real * first + direction.imag * second
    left = side * across
    return np.stack([left, np.cross(front, left), front])


def ridge_of_nose(
    vertices: np.ndarray, faces: np.ndarray, pair: EyePair, ahead: np.ndarray
) -> np.ndarray | None:
    """Offset (3,) of the ridge of a nose: where the middle of a face stands out from the surface beside it.

    Args:
        vertices, faces: (V, 3), (F, 3) of what is bare of hair, without eyeballs.
        pair: the eyes.
        ahead: (3,) roughly to the front.

    Returns:
        the ridge's foremost place; None where none stands out clearly.
    """
    eyes, distance, across = pair.middle, pair.distance, pair.across
    front = ahead - across * (ahead @ across)
    if np.linalg.norm(front) < _LEAST_OFFSET:
        return None
    front /= np.linalg.norm(front)
    points = _points_on(vertices, faces, eyes, HEAD_REACH * distance)
    if points is None:
        return None
    behind = eyes - 0.5 * distance * front
    offset = (points - behind) / distance
    other = np.cross(front, across)
    aside, level = np.abs(offset @ across), offset @ other
    angle = np.degrees(np.arctan2(level, offset @ front))
    reach = np.hypot(level, offset @ front)
    turns = np.arange(-75.0, 76.0, 5.0)
    middle = _profile(turns, angle, reach, aside < 0.15)
    beside = _profile(turns, angle, reach, (aside > 0.3) & (aside < 0.55))
    ridge = np.where(np.isnan(middle - beside), -np.inf, middle - beside)
    highest = int(ridge.argmax())
    # The nose's root is between the eyes: its ridge is looked for on either side of them.
    opposite = ridge[(turns * turns[highest] < 0) & (np.abs(turns) > 10)].max(initial=0.0)
    if ridge[highest] < max(_RIDGE, _RIDGE_AHEAD_OF_OTHERS * opposite) or abs(turns[highest]) == 75:
        return None
    turn = np.radians(turns[highest])
    place = behind + distance * middle[highest] * (np.cos(turn) * front + np.sin(turn) * other)
    return (place - eyes) / distance


def _profile(turns, angle, reach, chosen) -> np.ndarray:
    """Reach of the chosen points at each of the turns; NaN where there are too few."""
    found = np.full(len(turns), np.nan)
    for number, turn in enumerate(turns):
        there = reach[chosen & (np.abs(angle - turn) < 6)]
        if len(there) > 5:
            found[number] = np.quantile(there, 0.95)
    return found


def _points_on(vertices, faces, centre, reach) -> np.ndarray | None:
    """Points (N, 3) spread evenly over the surface within `reach` of `centre`; the same at each call."""
    corners = vertices[faces]
    corners = corners[np.linalg.norm(corners - centre, axis=2).min(1) < reach]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not areas.sum() > 0:
        return None
    generator = np.random.default_rng(0)
    chosen = np.searchsorted(areas.cumsum() / areas.sum(), generator.random(_SAMPLES))
    a, b = generator.random((2, _SAMPLES, 1))
    over = a + b > 1
    a, b = np.where(over, 1 - a, a), np.where(over, 1 - b, b)
    picked = corners[np.minimum(chosen, len(areas) - 1)]
    points = picked[:, 0] + a * (picked[:, 1] - picked[:, 0]) + b * (picked[:, 2] - picked[:, 0])
    return points[np.linalg.norm(points - centre, axis=1) < reach]
