"""Shoulders for the field's heads: photos show them, but the field's unit ball ends at the collar.

An ellipsoid below the ball, fixed to head space, is drawn as cloth wherever a view shows nothing else, so it turns with
the head and is the same from every side.
"""

import numpy as np

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.labels import BACKGROUND, CLOTH

# Head space: y up, z to the front; the ball's lowest point is y = -1.
CENTER = np.array([0.0, -1.5, -0.12])
RADII = np.array([1.25, 0.62, 0.48])


def shoulder_depth(camera: Camera) -> np.ndarray:
    """Camera depth (size, size) float64 of the shoulders alone from one camera of arrays; 0 where a ray passes."""
    precise = (np.asarray(value, np.float64) for value in (camera.cam2world, camera.intrinsics))
    origin, directions = cameras.rays(Camera(*precise, camera.size))
    # |(origin + t direction - center) / radii| = 1 has a solution t > 0.
    start, step = (origin - CENTER) / RADII, directions / RADII
    a, b, c = (step**2).sum(-1), (step * start).sum(-1), (start**2).sum() - 1
    discriminant = b**2 - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    near, far = (-b - root) / a, (-b + root) / a
    return np.where((discriminant > 0) & (root - b > 0), np.where(near > 0, near, far), 0.0)


def add_shoulders(labels: np.ndarray, camera: Camera) -> np.ndarray:
    """A label view (size, size) uint8 from a camera with cloth where background was and the torso is; a new array."""
    hit = shoulder_depth(camera) > 0
    return np.where(hit & (labels == BACKGROUND), np.uint8(CLOTH), labels)
