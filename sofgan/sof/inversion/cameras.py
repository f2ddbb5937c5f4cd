"""Cameras as parameters of an inversion: the paper's position, and framing for portraits of any crop."""

import torch
from torch import Tensor, nn

from sofgan import cameras
from sofgan.cameras import Camera

ZOOM_LIMIT = 4.0  # of log zoom: keeps a diverging fit finite
PITCH_LIMIT = 1.4  # radians: a roll-free camera can't look straight down


class FramingCameras(nn.Module):
    """Yaw, pitch, log zoom and shift of each of M cameras around the head's centre.

    The distance is fixed: zoom (of the focal length) and shift (of the principal point, in image widths)
    stand for how the portrait was cropped. `values` is (M, 5): yaw, pitch (radians), log zoom, shift x, y;
    where `free` (M, 5) is 0 they keep their values.
    """

    NAMES = ("yaw", "pitch", "log_zoom", "shift_x", "shift_y")

    def __init__(self, values: Tensor, radius: float, intrinsics: Tensor, free: Tensor | None = None):
        super().__init__()
        self.values = nn.Parameter(values.detach().clone())
        self.radius = radius
        self.register_buffer("intrinsics", intrinsics.clone())
        self.register_buffer("free", torch.ones_like(self.values) if free is None else free.clone())

    def forward(self, index: Tensor, size: int) -> Camera:
        """The cameras of those indices (I,), each with intrinsics of its own, for pictures of that size."""
        values = torch.where(self.free > 0, self.values, self.values.detach())
        yaw, pitch, zoom, shift_x, shift_y = values[index].unbind(-1)
        cam2world = cameras.orbit(yaw, pitch.clamp(-PITCH_LIMIT, PITCH_LIMIT), self.radius)
        scale = zoom.clamp(-ZOOM_LIMIT, ZOOM_LIMIT).exp()
        fx, fy = self.intrinsics[0, 0] * scale, self.intrinsics[1, 1] * scale
        zero, one = torch.zeros_like(fx), torch.ones_like(fx)
        rows = [
            torch.stack([fx, zero, self.intrinsics[0, 2] + shift_x], -1),
            torch.stack([zero, fy, self.intrinsics[1, 2] + shift_y], -1),
            torch.stack([zero, zero, one], -1),
        ]
        return Camera(cam2world, torch.stack(rows, -2), size)

    def with_values(self, values: Tensor, free: Tensor | None = None) -> "FramingCameras":
        """Cameras of other values (M, 5), otherwise like these."""
        return FramingCameras(values, self.radius, self.intrinsics, self.free if free is None else free)

    def of(self, index: Tensor) -> "FramingCameras":
        """Cameras of some indices, as parameters of their own."""
        return self.with_values(self.values[index], self.free[index])

    def joined(self, other: "FramingCameras") -> "FramingCameras":
        """These and then others."""
        return self.with_values(torch.cat([self.values, other.values]), torch.cat([self.free, other.free]))


class PositionCameras(nn.Module):
    """The paper's: `values` (M, 3) are positions; the camera looks at a fixed point, without roll."""

    NAMES = ("x", "y", "z")

    def __init__(self, values: Tensor, target: tuple[float, float, float], intrinsics: Tensor):
        super().__init__()
        self.values = nn.Parameter(values.detach().clone())
        self.target = target
        self.register_buffer("intrinsics", intrinsics.clone())

    def forward(self, index: Tensor, size: int) -> Camera:
        """The cameras of those indices (I,), each with intrinsics of its own, for pictures of that size."""
        cam2world = cameras.look_at(self.values[index], self.target)
        return Camera(cam2world, self.intrinsics.expand(len(cam2world), 3, 3), size)

    def with_values(self, values: Tensor) -> "PositionCameras":
        """Cameras at other positions (M, 3), otherwise like these."""
        return PositionCameras(values, self.target, self.intrinsics)

    def of(self, index: Tensor) -> "PositionCameras":
        """Cameras of some indices, as parameters of their own."""
        return self.with_values(self.values[index])

    def joined(self, other: "PositionCameras") -> "PositionCameras":
        """These and then others."""
        return self.with_values(torch.cat([self.values, other.values]))
