"""Shoulders for the field's heads: photos show them, but the field's unit ball ends at the collar.

An ellipsoid below the ball, fixed to head space, is drawn as cloth wherever a view shows nothing else, so it turns with
the head and is the same from every side.
"""

import numpy as np

from sofgan import cameras
from sofgan.labels import BACKGROUND, CLOTH

# Head space: y up, z to the front; the ball's lowest point is y = -1.
CENTER = np.array([0.0, -1.5, -0.12])
RADII = np.array([1.25, 0.62, 0.48])


def shoulder_depth(cam2world: np.ndarray, intrinsics: np.ndarray, size: int) -> np.ndarray:
    """Camera depth (size, size) float64 of the shoulders alone, 0 where a ray passes them.

    Args:
        cam2world: (4, 4) of the view's camera.
        intrinsics: (3, 3), in image widths.
    """
    origin, directions = cameras.rays(
        np.asarray(cam2world, np.float64), np.asarray(intrinsics, np.float64), size, size
    )
    # |(origin + t direction - center) / radii| = 1 has a solution t > 0.
    start, step = (origin - CENTER) / RADII, directions / RADII
    a, b, c = (step**2).sum(-1), (step * start).sum(-1), (start**2).sum() - 1
    discriminant = b**2 - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    near, far = (-b - root) / a, (-b + root) / a
    return np.where((discriminant > 0) & (root - b > 0), np.where(near > 0, near, far), 0.0)


def add_shoulders(labels: np.ndarray, cam2world: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """A label view (S, S) uint8 with cloth where background was and the torso is; a new array.

    Args:
        cam2world, intrinsics: as of `shoulder_depth`.
    """
    hit = shoulder_depth(cam2world, intrinsics, len(labels)) > 0
    return np.where(hit & (labels == BACKGROUND), np.uint8(CLOTH), labels)
