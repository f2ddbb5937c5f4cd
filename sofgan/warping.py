"""Views of a head that stands still, warped onto each other by their depth."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import cameras
from sofgan.cameras import Camera

# Depths that differ by as many widths of a pixel, on the head, are of one surface: its slope is up to 70 degrees.
STEEPEST = 3.0


@dataclass(frozen=True)
class Warp:
    """Places of the pixels of P target pictures in P source pictures, all (R, R).

    Attributes:
        grid: (P, R, R, 2) float32, as `torch.nn.functional.grid_sample` takes them.
        seen: (P, R, R) bool, whether a pixel shows a surface that the source shows too.
    """

    grid: Tensor
    seen: Tensor

    def apply(self, images: Tensor, mode: str = "bilinear") -> Tensor:
        """Source pictures (P, C, R, R) as the targets' cameras see them; without meaning where not `seen`."""
        return F.grid_sample(images, self.grid.to(images.dtype), mode, "border", align_corners=False)


def find_warp(depth: Tensor, views: Camera, sources: list[int] | Tensor, targets: list[int] | Tensor) -> Warp:
    """The warp of some views onto others by their depth.

    A pixel counts where the four pixels of the source that its point falls between are all as far from the source's
    camera as the point is, up to `STEEPEST` widths of a pixel: so it is hidden in neither, and no border of something
    nearer is blended in.

    Args:
        depth: (V, R, R) camera depth, 0 where it isn't known or nothing is hit.
        views: the V perspective cameras, of tensors on the depth's device, of R pixels.
        sources, targets: P numbers of views each.
    """
    size, device = views.size, depth.device
    sources, targets = (torch.as_tensor(numbers, device=device) for numbers in (sources, targets))
    origins, directions = cameras.rays(views[targets])
    wanted = depth[targets]
    # A pixel without depth stands for a point before its camera: no camera has a place for its own centre.
    points = origins[:, None, None] + torch.where(wanted > 0, wanted, 1.0)[..., None] * directions
    source = views[sources]
    place, far = cameras.project(
        points, Camera(source.cam2world[:, None, None], _spread(source.intrinsics), size)
    )
    place = place * size - 0.5  # In pixels, whose centres are whole numbers.
    corner = place.floor()
    inside = ((corner >= 0) & (corner < size - 1)).all(-1) & (wanted > 0)
    corner = corner.clamp(0, size - 2).long()
    first = sources[:, None, None] * size**2 + corner[..., 1] * size + corner[..., 0]
    steps = torch.arange(4, device=device)  # Made there: a GPU's host doesn't wait.
    around = depth.flatten()[first[..., None] + steps % 2 + steps // 2 * size]  # (P, R, R, 4)
    near = (around - far[..., None]).abs().amax(-1) <= STEEPEST * pixel_width(far, source.intrinsics, size)
    grid = (place + 0.5) * (2 / size) - 1
    return Warp(torch.where(inside[..., None], grid, 0.0).float(), inside & near & (around > 0).all(-1))


def _spread(intrinsics: Tensor) -> Tensor:
    """Intrinsics that all share, or those of a batch against all of its pixels."""
    return intrinsics if intrinsics.dim() == 2 else intrinsics[:, None, None]


def pixel_width(depth: Tensor, intrinsics: Tensor, size: int) -> Tensor:
    """Width of a pixel of a picture of so many, at these camera depths (B, ...), in the world's units."""
    focal = intrinsics[..., 0, 0].reshape(-1, *[1] * (depth.dim() - 1))
    return depth / (focal * size)


def depth_of_pixels(depth: Tensor, intrinsics: Tensor, size: int) -> Tensor:
    """Depth at the centres of a smaller picture's pixels.

    A centre between several pixels of the larger view gets their mean, or 0 where they show several surfaces.

    Args:
        depth: (V, L, L), 0 where nothing is hit.
        intrinsics: (3, 3) or (V, 3, 3), in image widths.
        size: R, of which L is a multiple.

    Returns:
        (V, R, R).

    Raises:
        ValueError: L is no multiple of R.
    """
    here = depth.shape[-1]
    if here % size:
        raise ValueError(f"depth of {here} pixels has no centres of {size} pixels in common")
    times = here // size
    middle = slice((times - 1) // 2, times // 2 + 1)
    around = depth.reshape(-1, size, times, size, times)[:, :, middle, :, middle]
    around = around.movedim(2, 3).flatten(3)
    mean = around.mean(-1)
    near = around.amax(-1) - around.amin(-1) <= STEEPEST * pixel_width(mean, intrinsics, size)
    return torch.where(near & (around > 0).all(-1), mean, 0.0)


def neighbours(yaws_degrees, gap_degrees: float) -> tuple[list[int], list[int]]:
    """Numbers of the views that lie so far apart, as sources and targets: each pair both ways."""
    yaws = np.asarray(yaws_degrees, np.float64)
    apart = np.abs(np.abs(yaws[:, None] - yaws[None]) - gap_degrees) < 1e-6
    sources, targets = np.nonzero(apart)
    return sources.tolist(), targets.tolist()
