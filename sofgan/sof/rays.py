"""Rays and the unit ball that holds every scene."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sofgan import cameras


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


def camera_rays(cam2world: Tensor, intrinsics: Tensor, size: int, orthographic: bool = False) -> Rays:
    """All pixels' rays of views: cam2world (B, V, 4, 4), intrinsics (3, 3) or (B, V, 3, 3) to (B, V*size*size, 3)."""
    if intrinsics.dim() > 2:
        intrinsics = intrinsics[:, :, None, None]
    origins, directions = cameras.rays(cam2world, intrinsics, size, size, orthographic)
    if not orthographic:
        origins = origins[:, :, None, None].expand_as(directions)
    return Rays(origins.flatten(1, 3), directions.flatten(1, 3))
