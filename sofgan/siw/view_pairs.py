"""Pairs of views of one head, which in one style must show one texture: what keeps it on the head as it turns.

Nothing else in the training knows that two label maps show the same head. The field's depth tells which pixels of two
views show the same point; painted in one style these should agree, as in the multi-view losses of 3D generators
(CGS-GAN), at the cost of painting as many pictures as a batch has now and then.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.cameras import Camera
from sofgan.labels import resize
from sofgan.siw.condition_store import HeadPairs
from sofgan.warping import Warp, depth_of_pixels, find_warp

CELL = 4  # pixels along a side of the cells whose colours are compared


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

    Pixels of which the views say different classes are not compared: a border that is drawn a pixel off is no matter of
    texture, and asked to agree there brows and lips would pale.

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
    one, other = resize(heads.labels.flatten(0, 1), resolution).unflatten(0, (-1, 2)).unbind(1)
    there = warp.apply(other[:, None].float(), "nearest")[:, 0]
    return ViewPairs(heads.labels.long(), Warp(warp.grid, warp.seen & (there == one)))


def view_difference(first: Tensor, second: Tensor, warp: Warp) -> Tensor:
    """Mean absolute difference of the colours of P pictures (P, 3, R, R) and second ones that are warped onto them.

    Colours are means over cells of `CELL` pixels. Of single pixels the blur of warping would count too, and the least
    of it is in pictures without detail. It is the mean over heads of the means over pixels that both views show.
    """
    seen = warp.seen[:, None].to(first.dtype)
    inside = F.avg_pool2d(seen, CELL)  # share of a cell, by which it counts
    colours = F.avg_pool2d((first - warp.apply(second)) * seen, CELL)  # times that share
    difference = colours.abs().mean(1, keepdim=True)
    return (difference.sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1 / CELL**2)).mean()
