"""Rays and the unit ball that holds every scene."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sofgan import cameras
from sofgan.cameras import Camera


@dataclass(frozen=True)
class Rays:
    """Rays grouped by instance: origins and directions (B, N, 3), directions with camera z = 1."""

    origins: Tensor
    directions: Tensor

    def at(self, depth: Tensor) -> Tensor:
        """Points (B, N, ..., 3) at camera depths (B, N, ...)."""
        extra = depth.dim() - 2
        shape = (*self.origins.shape[:2], *[1] * extra, 3)
        return self.origins.reshape(shape) + depth[..., None] * self.directions.reshape(shape)

    def __getitem__(self, index) -> "Rays":
        return Rays(self.origins[index], self.directions[index])


@dataclass(frozen=True)
class Projection:
    """Projection of rays: log class probabilities (B, N, K), camera depth (B, N), and the weight of what was
    hit (B, N), 0 where a ray passes."""

    log_probabilities: Tensor
    depth: Tensor
    opacity: Tensor


def ball_interval(rays: Rays, radius: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Interval of each ray inside the ball around the origin, and before the camera.

    Returns:
        near, far: (B, N) camera depths, not below 0. A ray that misses gets its depth closest to the centre,
            twice.
        hit: (B, N) bool.

    Gradients are finite also for rays that miss or touch (the root is taken of a safe number).
    """
    a = (rays.directions**2).sum(-1)
    b = (rays.origins * rays.directions).sum(-1)
    c = (rays.origins**2).sum(-1) - radius**2
    discriminant = b * b - a * c
    hit = (discriminant > 1e-6) & ((b < 0) | (c < 0))  # the ball isn't wholly behind the camera
    root = torch.where(hit, torch.where(hit, discriminant, 1.0).sqrt(), 0.0)
    near, far = (-b - root) / a, (-b + root) / a
    return torch.where(hit & (c < 0), 0.0, near), far, hit


def as_tensors(camera: Camera, device: torch.device | str | None = None) -> Camera:
    """The camera, or the batch, in float32 tensors on a device; None: where its tensors are, arrays on the CPU."""
    cam2world, intrinsics = (
        torch.as_tensor(value, dtype=torch.float32, device=device)
        for value in (camera.cam2world, camera.intrinsics)
    )
    return Camera(cam2world, intrinsics, camera.size, camera.orthographic)


def camera_rays(camera: Camera) -> Rays:
    """Rays of all pixels: (1, size * size, 3) of one camera of tensors, (B, V * size * size, 3) of B instances' V."""
    if camera.single:
        camera = camera[None, None]
    origins, directions = cameras.rays(camera)
    if not camera.orthographic:
        origins = origins[:, :, None, None].expand_as(directions)
    return Rays(origins.flatten(1, 3), directions.flatten(1, 3))


def pixel_rays(camera: Camera, pixels: Tensor) -> Rays:
    """Rays (M, N) of M perspective cameras through N of the pixels of each, flat indices (M, N); differentiable."""
    size, cam2world = camera.size, camera.cam2world
    centres = torch.stack([pixels % size + 0.5, pixels // size + 0.5], -1) / size
    intrinsics = camera.intrinsics[:, None] if camera.intrinsics.dim() > 2 else camera.intrinsics
    directions = cameras.unproject(centres, intrinsics) @ cam2world[:, :3, :3].transpose(1, 2)
    return Rays(cam2world[:, None, :3, 3].expand_as(directions), directions)
