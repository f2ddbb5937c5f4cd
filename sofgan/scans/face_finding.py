"""Where the face of a scan is: views from all sides are parsed until one shows a face.

Nothing is known of the scan's axes or unit, or of how much of a body it shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sofgan import cameras, labels
from sofgan.scans.colored_views import photograph
from sofgan.scans.face_cameras import FOV_DEGREES, portrait_cameras
from sofgan.scans.face_frame import (
    MOUTH,
    NOSE,
    FaceFrame,
    FeaturePoints,
    NoFrame,
    eye_classes,
    frame_of_features,
)
from sofgan.scans.reading import RawScan
from sofgan.scans.triangles import middles
from sofgan.views.renderer import MeshRenderer

# Photos (N, S, S, 3) uint8 to class probabilities (N, 17, S, S).
Parse = Callable[[np.ndarray], np.ndarray]

_UPS = np.array([[0, 1, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1], [1, 0, 0], [-1, 0, 0]], float)
_SIDES = 8  # Views around each up axis.
# Shares of a scan's height, from the top, that are looked at: a head, a bust, a whole body.
_TOPS = (1.0, 0.55, 0.2)
_GOOD_ENOUGH = 0.45  # A score at which the search ends.


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


def find_face(
    scan: RawScan, renderer: MeshRenderer, parse: Parse, size: int, standings: list[list[np.ndarray]]
) -> FoundFace | None:
    """The face of a scan, or None where no view shows one.

    Args:
        scan: welded.
        renderer: of this process.
        parse: a face parser, of photos or of shapes as the scan has colours or none.
        size: pixels of the views.
        standings: groups of (3, 3) axes to look along, such as `ways_to_stand()`; the search ends after the first
            group that shows a face well.
    """
    best: FoundFace | None = None
    for group in standings:
        for top in _TOPS:
            for found in _look(scan, renderer, parse, size, group, top):
                if best is None or found.score > best.score:
                    best = found
        if best is not None and best.score >= _GOOD_ENOUGH:
            break
    # Closer from the same side first: features that are a few pixels large tell a direction badly.
    for turn in (False, True, True) if best else ():
        frame = best.frame if turn else replace(best.frame, rotation=best.seen_from)
        frontal = portrait_cameras(frame, np.zeros(1), np.zeros(1))
        closer = faces_in_views(scan, renderer, parse, size, frontal, frame.portrait_side())[0]
        if closer is not None and closer.score >= best.score - 0.05:
            best = closer
    return best


def faces_in_views(
    scan: RawScan, renderer: MeshRenderer, parse: Parse, size: int, cam2world: np.ndarray, unit: float
) -> list[FoundFace | None]:
    """The face that each of the cameras (N, 4, 4) sees; `unit` is a length of the scan that is to become 1."""
    photos, visible = photograph(*at_unit_size(scan, cam2world, unit, renderer), size)
    probabilities = parse(photos)
    centres = middles(scan.vertices, scan.faces)
    return [
        face_in_view(one, seen, centres, pose) for one, seen, pose in zip(probabilities, visible, cam2world)
    ]


def at_unit_size(scan: RawScan, cam2world: np.ndarray, unit: float, renderer: MeshRenderer) -> tuple:
    """The first arguments of `photograph`, for cameras (N, 4, 4) in the scan's own axes and unit.

    The renderer's depth range wants scans of about unit size near the origin: `unit` becomes 1.
    """
    middle = cam2world[:, :3, 3].mean(0)
    poses = np.array(cam2world, np.float64)
    poses[:, :3, 3] = (poses[:, :3, 3] - middle) / unit
    near = replace(scan, vertices=(scan.vertices - middle) / unit)
    return near, renderer, poses, cameras.intrinsics_from_fov(FOV_DEGREES)


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


def _bell(value: float, middle: float, width: float) -> float:
    return float(np.exp(-(((value - middle) / width) ** 2)))


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


def _look(scan, renderer, parse, size, rotations, top: float) -> list[FoundFace]:
    points = scan.vertices[np.unique(scan.faces)]
    up = rotations[0][1]
    heights = points @ up
    # A few stray points far off, as scanners leave them, don't count.
    low, high = np.quantile(heights, [0.002, 0.998])
    seen = points[(heights >= high - top * (high - low)) & (heights <= high)]
    if not len(seen):
        return []
    lowest, highest = np.quantile(seen, 0.002, axis=0), np.quantile(seen, 0.998, axis=0)
    middle = (lowest + highest) / 2
    radius = float(np.linalg.norm(seen - middle, axis=1).max(initial=1e-12))
    radius = min(radius, float(np.linalg.norm(highest - lowest)) / 2)
    if radius <= 1e-9 * np.abs(points).max():  # One point stands out above all the others.
        return []
    distance = 0.8 * radius / np.tan(np.radians(FOV_DEGREES) / 2)
    poses = np.stack(
        [cameras.look_at(middle + distance * rotation[2], middle, rotation[1]) for rotation in rotations]
    )
    return [found for found in faces_in_views(scan, renderer, parse, size, poses, radius) if found]
