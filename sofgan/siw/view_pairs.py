"""Pairs of views of one head, which in one style must show one texture: what keeps it on the head as it turns.

Nothing else in the training knows that two label maps show the same head. The field's depth tells which pixels of two
views show the same point; painted in one style these should agree, as in the multi-view losses of 3D generators
(CGS-GAN), at the cost of painting as many pictures as a batch has now and then.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sofgan.cameras import Camera
from sofgan.siw.condition_store import HeadPairs
from sofgan.warping import Warp, depth_of_pixels, find_warp


@dataclass(frozen=True)
class ViewPairs:
    """Two views of each of P heads, on the training's device.

    Attributes:
        labels: (P, 2, L, L) long: maps to paint.
        warp: of the P second pictures onto the first ones.
    """

    labels: Tensor
    warp: Warp

    def rows(self, rows: slice) -> "ViewPairs":
        """Some of the heads."""
        return ViewPairs(self.labels[rows], Warp(self.warp.grid[rows], self.warp.seen[rows]))


def align_views(heads: HeadPairs, resolution: int) -> ViewPairs:
    """Views ready to be painted and compared, on the device where they lie.

    Args:
        heads: of tensors.
        resolution: pixels of the pictures, of which the depth's are a multiple.
    """
    depth, cam2world, intrinsics = (
        values.flatten(0, 1).float() for values in (heads.depth, heads.cam2world, heads.intrinsics)
    )
    depth = depth_of_pixels(depth, intrinsics, resolution)
    first = torch.arange(0, len(depth), 2, device=depth.device)
    warp = find_warp(depth, Camera(cam2world, intrinsics, resolution), first + 1, first)
    return ViewPairs(heads.labels.long(), warp)


def view_difference(first: Tensor, second: Tensor, warp: Warp) -> Tensor:
    """Mean absolute difference of P pictures (P, 3, R, R) and second ones that are warped onto them.

    It is the mean over heads of the means over pixels that both views of a head show.
    """
    seen = warp.seen[:, None].to(first.dtype)
    difference = (first - warp.apply(second)).abs().mean(1, keepdim=True) * seen
    return (difference.sum((1, 2, 3)) / seen.sum((1, 2, 3)).clamp(min=1)).mean()
