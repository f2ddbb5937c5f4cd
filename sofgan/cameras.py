"""Cameras: poses, rays, projections and orbits.

Axes are OpenCV's: x right, y down, z forward. `cam2world` is (..., 4, 4), its rotation columns are the
camera's axes in the world. Intrinsics are (3, 3), in units of the image's width, so that they serve every
resolution; pixel centres lie at half integers. An orthographic camera's focal lengths are in image widths per
world unit: x = fx * x_camera + cx. World +Y is up and the face looks along +Z.

Every function takes NumPy arrays or torch tensors and returns the same kind; with tensors it is
differentiable.
"""

import math
import numbers
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

WORLD_UP = (0.0, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera, or a batch of cameras that take square pictures of one size, all in one kind of projection.

    A batch has the leading axes of `cam2world`. It is indexed as these axes are, and a loop runs over the first.

    Attributes:
        cam2world: (4, 4) of one camera, (..., 4, 4) of a batch; array or tensor.
        intrinsics: (3, 3) that all share, or (..., 3, 3) with the batch's axes, one for each; array or tensor.
        size: pixels along a side of the picture.
        orthographic: whether rays are parallel; the focal lengths are then in image widths per world unit.

    Raises:
        ValueError: a shape or the size is none of these; the sentence names it.
    """

    cam2world: object
    intrinsics: object
    size: int
    orthographic: bool = False

    def __post_init__(self):
        poses, intrinsics = _shape_of(self.cam2world), _shape_of(self.intrinsics)
        if poses[-2:] != (4, 4):
            raise ValueError(
                f"a camera's cam2world has the shape (..., 4, 4), not {_described(self.cam2world)}"
            )
        if intrinsics not in ((3, 3), (*poses[:-2], 3, 3)):
            wanted = " or ".join(dict.fromkeys(("(3, 3)", str((*poses[:-2], 3, 3)))))
            given = _described(self.intrinsics)
            raise ValueError(
                f"a camera's intrinsics have the shape {wanted} where cam2world has {poses}, not {given}"
            )
        if isinstance(self.size, bool) or not isinstance(self.size, numbers.Integral) or self.size < 1:
            raise ValueError(f"a camera's size is a whole number of pixels, at least 1, not {self.size!r}")
        if not isinstance(self.orthographic, bool):
            raise ValueError(f"a camera's orthographic is True or False, not {self.orthographic!r}")

    @property
    def single(self) -> bool:
        """Whether this is one camera, not a batch."""
        return len(self.cam2world.shape) == 2

    def __len__(self) -> int:
        """Cameras along the batch's first axis."""
        if self.single:
            raise TypeError("one camera has no length: `camera[None]` is a batch of it")
        return len(self.cam2world)

    def __getitem__(self, index) -> "Camera":
        """The cameras of an index, as NumPy and torch index the batch's axes; `camera[None]` adds an axis."""
        adds_axes = index is None or (isinstance(index, tuple) and all(one is None for one in index))
        if self.single and not adds_axes:
            raise TypeError("one camera can't be indexed: `camera[None]` is a batch of it")
        own = self.intrinsics[index] if len(self.intrinsics.shape) > 2 else self.intrinsics
        return Camera(self.cam2world[index], own, self.size, self.orthographic)

    def __iter__(self) -> Iterator["Camera"]:
        return (self[i] for i in range(len(self)))


def _shape_of(array) -> tuple[int, ...]:
    """Shape of an array or a tensor; () of anything else."""
    return tuple(getattr(array, "shape", ()))


def _described(array) -> str:
    """Words for what was given in place of an array: its shape, else its type."""
    return str(_shape_of(array)) if hasattr(array, "shape") else f"a {type(array).__name__}"


def _backend(array):
    """NumPy or torch, whichever `array` belongs to (torch is not imported for NumPy's sake)."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else np


def _like(values, reference):
    """`values` as an array of the reference's kind, type and device."""
    if _backend(reference) is np:
        return np.asarray(values, dtype=reference.dtype)
    torch = sys.modules["torch"]
    return torch.as_tensor(values, dtype=reference.dtype, device=reference.device)


def _normalize(vectors):
    return vectors / (vectors * vectors).sum(-1)[..., None] ** 0.5


def _cross(a, b):
    stack = _backend(a).stack
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def look_at(position, target=(0.0, 0.0, 0.0), up=WORLD_UP):
    """Poses of roll-free cameras that look at a target.

    Args:
        position: (..., 3) camera centres, float.
        target: (3,) or (..., 3) points in the middle of the image.
        up: (3,) world direction that appears upright.

    Returns:
        (..., 4, 4) `cam2world` of the position's kind.

    Raises:
        ValueError: a NumPy camera sits at its target, or looks along `up`.
    """
    xp = _backend(position)
    target = _like(target, position) if not hasattr(target, "dtype") else target
    up = _like(up, position)
    forward = target - position
    right = _cross(forward, up + 0 * forward)
    if xp is np and (np.sqrt((right * right).sum(-1)) < 1e-6 * np.sqrt((forward * forward).sum(-1))).any():
        raise ValueError("look_at: the camera looks along its up direction, roll is undefined")
    if xp is np and (np.abs(forward).sum(-1) == 0).any():
        raise ValueError("look_at: the camera sits at its target")
    forward, right = _normalize(forward), _normalize(right)
    down = _cross(forward, right)
    rotation = xp.stack([right, down, forward, position + 0 * forward], -1)
    last = _like([0.0, 0.0, 0.0, 1.0], position) + 0 * rotation[..., :1, :]
    return (xp.concatenate if xp is np else xp.cat)([rotation, last], -2)


def orbit(yaw, pitch, radius, target=(0.0, 0.0, 0.0)):
    """Poses on a sphere around a target.

    Args:
        yaw: radians, NumPy array or tensor of any shape; 0 faces the head, positive moves the camera to +X.
        pitch: radians, same shape; positive moves the camera up.
        radius: distance to the target.
        target: (3,) or (..., 3).

    Returns:
        (..., 4, 4) `cam2world`.
    """
    xp = _backend(yaw)
    if xp is np:
        yaw, pitch = np.broadcast_arrays(np.asarray(yaw, np.float64), np.asarray(pitch, np.float64))
        radius = np.asarray(radius, np.float64)
    offset = xp.stack([xp.sin(yaw) * xp.cos(pitch), xp.sin(pitch), xp.cos(yaw) * xp.cos(pitch)], -1)
    target = _like(target, offset) if not hasattr(target, "dtype") else target
    offset = offset * (radius[..., None] if hasattr(radius, "shape") else radius)
    return look_at(offset + target, target + 0 * offset)


def intrinsics_from_fov(fov_degrees: float) -> np.ndarray:
    """(3, 3) float64 intrinsics of a square image with the given full field of view, in image widths."""
    if not 0 < fov_degrees < 180:
        raise ValueError(f"a field of view lies between 0 and 180 degrees, not {fov_degrees}")
    focal = 0.5 / math.tan(math.radians(fov_degrees) / 2)
    return np.array([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1.0]])


def pixel_centres(size: int, like):
    """(size, size, 2) image coordinates (x, y) of pixel centres, in image widths."""
    xp = _backend(like)
    kind = {"dtype": like.dtype} if xp is np else {"dtype": like.dtype, "device": like.device}
    y, x = xp.meshgrid(xp.arange(size, **kind) + 0.5, xp.arange(size, **kind) + 0.5, indexing="ij")
    return xp.stack([x, y], -1) / size


def unproject(points, intrinsics):
    """Camera-space directions with z = 1 through image points (..., 2) given in image widths."""
    x = (points[..., 0] - intrinsics[..., 0, 2]) / intrinsics[..., 0, 0]
    y = (points[..., 1] - intrinsics[..., 1, 2]) / intrinsics[..., 1, 1]
    return _backend(x).stack([x, y, 0 * x + 1], -1)


def orthographic_intrinsics(width: float) -> np.ndarray:
    """(3, 3) float64 intrinsics of a square orthographic image that is `width` world units wide."""
    if not width > 0:
        raise ValueError(f"an orthographic image's width is above 0, not {width}")
    return np.array([[1 / width, 0, 0.5], [0, 1 / width, 0.5], [0, 0, 1.0]])


def rays(camera: Camera):
    """Rays through all pixel centres of a camera or of a batch, whose cam2world and intrinsics are of one kind.

    Those of an orthographic camera are parallel and start on the camera's plane.

    Returns:
        origins (..., 3), or (..., size, size, 3) of an orthographic camera, and directions (..., size, size, 3).
        Directions have camera z = 1, not unit length: the point at camera depth `t` is
        `origin + t * direction`.
    """
    cam2world = camera.cam2world
    intrinsics = camera.intrinsics
    if len(intrinsics.shape) > 2:  # Each camera's own, against all of its pixels.
        intrinsics = intrinsics[..., None, None, :, :]
    in_camera = unproject(pixel_centres(camera.size, cam2world), intrinsics)
    rotation = cam2world[..., None, None, :3, :3]
    if not camera.orthographic:
        return cam2world[..., :3, 3], (rotation @ in_camera[..., None])[..., 0]
    on_plane = in_camera * _like([1.0, 1.0, 0.0], in_camera)
    origins = cam2world[..., None, None, :3, 3] + (rotation @ on_plane[..., None])[..., 0]
    return origins, rotation[..., :, 2] + 0 * origins


def project(points, camera: Camera):
    """Image points (..., 2), in image widths, and camera depths (...) of world points (..., 3).

    A batch's cameras broadcast against the points' leading axes.
    """
    cam2world, intrinsics = camera.cam2world, camera.intrinsics
    in_camera = ((points - cam2world[..., :3, 3])[..., None, :] @ cam2world[..., :3, :3])[..., 0, :]
    depth = in_camera[..., 2]
    scale = 1 if camera.orthographic else depth
    x = in_camera[..., 0] / scale * intrinsics[..., 0, 0] + intrinsics[..., 0, 2]
    y = in_camera[..., 1] / scale * intrinsics[..., 1, 1] + intrinsics[..., 1, 2]
    return _backend(points).stack([x, y], -1), depth


def to_opengl(cam2world):
    """The same camera with OpenGL's axes (y up, z backward), as pyrender and glTF want it."""
    return cam2world * _like([1.0, -1.0, -1.0, 1.0], cam2world)
