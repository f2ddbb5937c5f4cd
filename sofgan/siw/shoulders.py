"""Shoulders for the field's heads: photos show them, but the field's unit ball ends at the collar.

An ellipsoid below the ball, fixed to head space, is drawn as cloth wherever a view shows nothing else, so it turns with
the head and is the same from every side. People's shoulders differ, and so may ellipsoids: how far down, how wide and
how high one is, is found from a photo's label map.
"""

import itertools

import numpy as np

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.labels import BACKGROUND, CLOTH

# Head space: y up, z to the front; the ball's lowest point is y = -1.
CENTER = np.array([0.0, -1.5, -0.12])
RADII = np.array([1.25, 0.62, 0.48])
USUAL = (0.0, 1.0, 1.0)  # drop of the centre, head units; width and height by those of RADII
# What is tried on a photo's map; the last drop leaves no shoulders in any portrait.
DROPS, WIDTHS, HEIGHTS = (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.45, 3.0), (0.75, 1.0, 1.3), (0.8, 1.2)


def shoulder_depth(camera: Camera, shape=USUAL) -> np.ndarray:
    """Camera depth (size, size) float64 of the shoulders alone from one camera of arrays; 0 where a ray passes.

    Args:
        shape: (3,) drop, head units, and width and height by the usual ones.
    """
    drop, width, height = (float(value) for value in shape)
    center, radii = CENTER - (0.0, drop, 0.0), RADII * (width, height, 1.0)
    precise = (np.asarray(value, np.float64) for value in (camera.cam2world, camera.intrinsics))
    origin, directions = cameras.rays(Camera(*precise, camera.size))
    # |(origin + t direction - center) / radii| = 1 has a solution t > 0.
    start, step = (origin - center) / radii, directions / radii
    a, b, c = (step**2).sum(-1), (step * start).sum(-1), (start**2).sum() - 1
    discriminant = b**2 - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    near, far = (-b - root) / a, (-b + root) / a
    return np.where((discriminant > 0) & (root - b > 0), np.where(near > 0, near, far), 0.0)


def add_shoulders(labels: np.ndarray, camera: Camera, shape=USUAL) -> np.ndarray:
    """A label view (size, size) uint8 from a camera with cloth where background was and the torso is; a new array.

    Args:
        shape: as of `shoulder_depth`.
    """
    hit = shoulder_depth(camera, shape) > 0
    return np.where(hit & (labels == BACKGROUND), np.uint8(CLOTH), labels)


def fit_shoulders(label_map: np.ndarray, head: np.ndarray, camera: Camera) -> np.ndarray:
    """The shape (3,) float64, of those tried, whose cloth is most like a photo's where the head shows nothing.

    Args:
        label_map: (S, S) uint8 of the photo.
        head: (S, S) uint8, the field's view of the head that was fitted to it.
        camera: of that view, S pixels.
    """
    free = head == BACKGROUND
    cloth = free & (label_map == CLOTH)
    shapes = list(itertools.product(DROPS, WIDTHS, HEIGHTS))

    def agreement(shape) -> float:
        hit = free & (shoulder_depth(camera, shape) > 0)
        return 1.0 if not (hit | cloth).any() else (hit & cloth).sum() / (hit | cloth).sum()

    return np.array(max(shapes, key=agreement))
