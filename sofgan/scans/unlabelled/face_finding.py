"""Search for a scan's face: views from all sides are parsed until one shows a face.

Nothing is known of the scan's axes or unit, or of how much of a body it shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.rendering.renderer import MeshRenderer
from sofgan.scans.face_frame import (
    FaceFrame,
    FeaturePoints,
    across_eyes,
    describe,
    rotation_angle,
)
from sofgan.scans.mesh_ops import area_vectors, middles
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.unlabelled.colored_views import photograph
from sofgan.scans.unlabelled.face_cameras import FOV_DEGREES, portrait_cameras
from sofgan.scans.unlabelled.face_in_view import FoundFace, apart, face_in_view, two_faces

# Photos (N, S, S, 3) uint8 to class probabilities (N, 17, S, S).
Parse = Callable[[np.ndarray], np.ndarray]

_UPS = np.array([[0, 1, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1], [1, 0, 0], [-1, 0, 0]], float)
_SIDES = 8  # Views around each up axis.
# Shares of a scan's height, from the top, that are looked at: a head, a bust, a whole body.
_TOPS = (1.0, 0.55, 0.2)
_GOOD_ENOUGH = 0.45  # A score at which the search ends.
_AS_LARGE = 2.0  # Two heads are as large as each other within this factor.
_SEVERAL = "it shows two faces or more; save each head as a file of its own"
_AROUND_EYES = 12  # Views around the line through two eyes that are known, for each way round.
_LIKE_DEGREES = 35  # Angle within which a view looks along one of the given ways to stand.
# Parsers are trained on upright faces, and may see one in a face that is upside down: a mouth for eyes, a nose, brows
# for a mouth. Two faces that look ways farther apart than this contradict each other; so does only what scores at
# least this share of the best.
_CONTRARY_DEGREES, _RIVALS = 75.0, 0.4
# Then both are seen again, from these sides in degrees and so many times as wide as a portrait. What is a face stays
# one; if the other is seen again at least this share as well, neither is to be trusted.
_AGAIN_YAWS, _AGAIN_ZOOMS, _AS_WELL = (-25.0, 0.0, 25.0), (1.06, 1.5), 0.8


@dataclass(frozen=True)
class Sight:
    """How a scan is seen.

    Attributes:
        renderer: of this process.
        parse: a face parser, of photos or of shapes as the scan has colours or none.
        size: pixels of the views.
    """

    renderer: MeshRenderer
    parse: Parse
    size: int


def find_face(
    scan: RawScan,
    sight: Sight,
    standings: list[list[np.ndarray]],
    may_be: np.ndarray | None = None,
) -> FoundFace | None:
    """The face of a scan, or None where no view shows one.

    Where two eyes are known it is looked for around them first. Of faces that look contrary ways the one counts that
    further views show best.

    Args:
        scan: welded.
        standings: groups of (3, 3) axes to look along, such as `ways_to_stand()`; the search ends after the first
            group that shows a face well.
        may_be: (P, 17) bool, the classes that each part of the scan may hold; None: all.

    Raises:
        ScanError: a view shows two faces, or views show it looking contrary ways about equally well.
    """
    seen: list[FoundFace] = []
    pairs: list[tuple[FoundFace, FoundFace]] = []

    def faces(poses: np.ndarray, unit: float) -> list[FoundFace | None]:
        return faces_in_views(scan, sight, poses, unit, may_be, pairs)

    def look(poses: np.ndarray, unit: float) -> None:
        seen.extend(found for found in faces(poses, unit) if found is not None)

    def look_along(rotations: list[np.ndarray]) -> None:
        for top in _TOPS:
            view = _from_around(scan, rotations, top)
            if view is not None:
                look(*view)
        _refuse_two_heads(pairs, faces)

    eyes = None if may_be is None else known_eyes(scan, may_be)
    if eyes is not None:
        frames = _frames_around(eyes, standings)
        if frames:
            frontal = [portrait_cameras(frame, np.zeros(1), np.zeros(1)) for frame in frames]
            look(np.concatenate(frontal), frames[0].portrait_side())
    for group in standings:
        best = max(seen, key=_score, default=None)
        if best is not None and best.score >= _GOOD_ENOUGH:
            break
        look_along(group)
        best = max(seen, key=_score, default=None)
        if best is not None and best.score >= _GOOD_ENOUGH and len(standings) > 1:
            # Other ways up won't be looked at: whether the same side makes a face upside down must be seen now.
            left, up, front = best.seen_from
            look_along([np.stack([-left, -up, front])])
    best = _firmest(seen, faces)
    # Closer from the same side first: features that are a few pixels large tell a direction badly.
    for turn in (False, True, True) if best else ():
        frame = best.frame if turn else replace(best.frame, rotation=best.seen_from)
        frontal = portrait_cameras(frame, np.zeros(1), np.zeros(1))
        closer = faces(frontal, frame.portrait_side())[0]
        if closer is not None and closer.score >= best.score - 0.05:
            best = closer
    return best


def _score(face: FoundFace) -> float:
    return face.score


def _firmest(seen: list[FoundFace], look: Callable[[np.ndarray, float], list]) -> FoundFace | None:
    """The best of the faces seen; of those that look contrary ways the one that is a face from further sides too.

    Args:
        seen: faces in views.
        look: at cameras (N, 4, 4) and a unit, what `faces_in_views` gives.

    Raises:
        ScanError: two are so about equally well.
    """
    rivals: list[FoundFace] = []
    for face in sorted(seen, key=_score, reverse=True):
        if rivals and face.score < _RIVALS * rivals[0].score:
            break
        if all(_contrary(face, other) for other in rivals):
            rivals.append(face)
    if len(rivals) < 2:
        return rivals[0] if rivals else None
    firmness = [_seen_again(face, look) for face in rivals]
    first, second = np.argsort(firmness)[::-1][:2]
    if firmness[second] >= _AS_WELL * firmness[first]:
        if apart(rivals[first].frame, rivals[second].frame):
            raise ScanError(_SEVERAL)
        raise ScanError(
            f"its views show a face that looks two ways, about equally well: {describe(rivals[first].frame.rotation)}, "
            f"or {describe(rivals[second].frame.rotation)}; say `up` and `front` in scan.yaml"
        )
    return rivals[first]


def _refuse_two_heads(
    pairs: list[tuple[FoundFace, FoundFace]], look: Callable[[np.ndarray, float], list]
) -> None:
    """Look closer at the likeliest of the pairs, and forget them.

    Raises:
        ScanError: each of both is a face.
    """
    likeliest = max(pairs, key=lambda pair: min(map(_score, pair)), default=())
    pairs.clear()
    closer = []
    for face in likeliest:
        # From the same side: features that are a few pixels large tell a direction badly.
        frontal = portrait_cameras(replace(face.frame, rotation=face.seen_from), np.zeros(1), np.zeros(1))
        closer += [one for one in look(frontal, face.frame.portrait_side()) if one is not None]
    pairs.clear()
    if len(closer) == 2 and min(map(_score, closer)) >= _GOOD_ENOUGH:
        one, other = (face.frame for face in closer)
        sizes = one.eye_distance, other.eye_distance
        if apart(one, other) and max(sizes) < _AS_LARGE * min(sizes):
            raise ScanError(_SEVERAL)


def _contrary(one: FoundFace, other: FoundFace) -> bool:
    return rotation_angle(one.frame.rotation @ other.frame.rotation.T) > _CONTRARY_DEGREES


def _seen_again(face: FoundFace, look: Callable[[np.ndarray, float], list]) -> float:
    """The mean score, 0..1, of views around a face, 0 for those that don't show it or another way."""
    yaws = np.radians(_AGAIN_YAWS)
    poses = [portrait_cameras(face.frame, yaws, np.zeros(len(yaws)), zoom) for zoom in _AGAIN_ZOOMS]
    again = look(np.concatenate(poses), face.frame.portrait_side())
    return float(np.mean([0.0 if one is None or _contrary(one, face) else one.score for one in again]))


def known_eyes(scan: RawScan, may_be: np.ndarray) -> FeaturePoints | None:
    """Points on the parts that are eyes, if these are two things side by side; None otherwise."""
    eyes = np.flatnonzero(((may_be.sum(1) == 1) & may_be[:, labels.EYE])[scan.part_of_face])
    if not len(eyes):
        return None
    weights = np.linalg.norm(area_vectors(scan.vertices, scan.faces[eyes]), axis=1)
    points = FeaturePoints(middles(scan.vertices, scan.faces[eyes]), np.maximum(weights, 1e-300))
    across, distance = across_eyes(points.points, points.weights)
    along = (points.points - points.middle) @ across
    # Two eyeballs leave a gap; one of them, or a ring of lashes, doesn't.
    aside = np.abs(along) < 0.1 * distance
    return points if distance > 0 and points.weights[aside].sum() < 0.02 * points.weights.sum() else None


def _frames_around(eyes: FeaturePoints, standings: list[list[np.ndarray]]) -> list[FaceFrame]:
    """Faces that two eyes could belong to: turned about the line through them, either way round.

    Where it is known how the scan stands (one group of `standings`), only those that stand so, give or take.
    """
    across, distance = across_eyes(eyes.points, eyes.weights)
    first = np.cross(across, np.eye(3)[np.abs(across).argmin()])
    first /= np.linalg.norm(first)
    angles = 2 * np.pi * np.arange(_AROUND_EYES) / _AROUND_EYES
    rotations = []
    for left in (across, -across):
        ups = [np.cos(angle) * first + np.sin(angle) * np.cross(left, first) for angle in angles]
        rotations += [np.stack([left, up, np.cross(left, up)]) for up in ups]
    if len(standings) == 1 and len(standings[0]) == 1:
        rotations = standings[0]
    elif len(standings) == 1:
        rotations = [
            one
            for one in rotations
            if any(rotation_angle(one @ other.T) <= _LIKE_DEGREES for other in standings[0])
        ]
    return [FaceFrame(one, eyes.middle, eyes.middle - one[1] * distance / 0.9, distance) for one in rotations]


def restrict(
    probabilities: np.ndarray, visible: np.ndarray, part_of_face: np.ndarray, may_be: np.ndarray | None
) -> np.ndarray:
    """Probabilities (N, 17, S, S) where every pixel is of a class that the part it shows may hold.

    Args:
        probabilities: as parsed.
        visible: (N, S, S) triangles, -1 for none; these pixels stay as they are.
        part_of_face: (F,).
        may_be: (P, 17) bool; None: nothing is known.
    """
    if may_be is None:
        return probabilities
    shown = visible >= 0
    allowed = may_be[part_of_face[visible[shown]]]
    found = probabilities.transpose(0, 2, 3, 1)[shown] * allowed
    total = found.sum(1, keepdims=True)
    found = np.where(total > 1e-6, found / np.maximum(total, 1e-6), allowed / allowed.sum(1, keepdims=True))
    restricted = probabilities.transpose(0, 2, 3, 1).copy()
    restricted[shown] = found
    return restricted.transpose(0, 3, 1, 2)


def faces_in_views(
    scan: RawScan,
    sight: Sight,
    cam2world: np.ndarray,
    unit: float,
    may_be: np.ndarray | None = None,
    pairs: list[tuple[FoundFace, FoundFace]] | None = None,
) -> list[FoundFace | None]:
    """The face that each of the cameras (N, 4, 4) sees; `unit` is a length of the scan that is to become 1.

    What may be two faces in one view, too small there to tell, is added to `pairs`.

    Raises:
        ScanError: a view shows two faces.
    """
    photos, visible = photograph(*at_unit_size(scan, cam2world, unit, sight))
    probabilities = restrict(sight.parse(photos), visible, scan.part_of_face, may_be)
    centres = middles(scan.vertices, scan.faces)
    faces = []
    for one, seen, pose in zip(probabilities, visible, cam2world):
        face = face_in_view(one, seen, centres, pose)
        pair = two_faces(one, seen, centres, pose) if face is None or face.score < _GOOD_ENOUGH else None
        if pair is not None and min(map(_score, pair)) >= _GOOD_ENOUGH:
            raise ScanError(_SEVERAL)
        if pair is not None and pairs is not None:
            pairs.append(pair)
        faces.append(face)
    return faces


def at_unit_size(
    scan: RawScan, cam2world: np.ndarray, unit: float, sight: Sight
) -> tuple[RawScan, MeshRenderer, Camera]:
    """The arguments of `photograph`, for cameras (N, 4, 4) in the scan's own axes and unit.

    The renderer's depth range wants scans of about unit size near the origin: `unit` becomes 1.
    """
    middle = cam2world[:, :3, 3].mean(0)
    poses = np.array(cam2world, np.float64)
    poses[:, :3, 3] = (poses[:, :3, 3] - middle) / unit
    near = replace(scan, vertices=(scan.vertices - middle) / unit)
    return near, sight.renderer, Camera(poses, cameras.intrinsics_from_fov(FOV_DEGREES), sight.size)


def ways_to_stand(up: np.ndarray | None = None) -> list[list[np.ndarray]]:
    """Axes (3, 3) to look along: every side around each of the six up axes, the likeliest first; or around `up`."""
    groups = []
    for one in _UPS if up is None else [up]:
        first = np.roll(np.abs(one), 1)
        second = np.cross(one, first)
        angles = 2 * np.pi * np.arange(_SIDES) / _SIDES
        fronts = [np.cos(angle) * first + np.sin(angle) * second for angle in angles]
        groups.append([np.stack([np.cross(one, front), one, front]) for front in fronts])
    return groups


def _from_around(scan: RawScan, rotations: list[np.ndarray], top: float) -> tuple[np.ndarray, float] | None:
    """Cameras (N, 4, 4) that look along `rotations` at the upper part of a scan, and its radius; None if it is none."""
    points = scan.vertices[np.unique(scan.faces)]
    up = rotations[0][1]
    heights = points @ up
    # A few stray points far off, as scanners leave them, don't count.
    low, high = np.quantile(heights, [0.002, 0.998])
    seen = points[(heights >= high - top * (high - low)) & (heights <= high)]
    if not len(seen):
        return None
    lowest, highest = np.quantile(seen, 0.002, axis=0), np.quantile(seen, 0.998, axis=0)
    middle = (lowest + highest) / 2
    radius = float(np.linalg.norm(seen - middle, axis=1).max(initial=1e-12))
    radius = min(radius, float(np.linalg.norm(highest - lowest)) / 2)
    if radius <= 1e-9 * np.abs(points).max():  # One point stands out above all the others.
        return None
    distance = 0.8 * radius / np.tan(np.radians(FOV_DEGREES) / 2)
    poses = np.stack(
        [cameras.look_at(middle + distance * rotation[2], middle, rotation[1]) for rotation in rotations]
    )
    return poses, radius
