"""Pairs of views of one head, which in one style must show one texture: what keeps it on the head as it turns.

Nothing else in the training knows that two label maps show the same head. The field's depth tells which pixels of two
views show the same point; painted in one style these should agree, as in the multi-view losses of 3D generators
(CGS-GAN), at the cost of painting as many pictures as a batch has now and then.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.labels import resize
from sofgan.siw.conditions import HeadPairs
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


def align_views(heads: HeadPairs, label_size: int, resolution: int, device: torch.device | str) -> ViewPairs:
    """Views ready to be painted and compared.

    Args:
        label_size: pixels of the maps that are painted.
        resolution: pixels of the pictures.

    Raises:
        InputError: the views' size is no multiple of the pictures'.
    """
    size = heads.depth.shape[-1]
    if size % resolution:
        raise InputError(
            f"views of {size} pixels can't be compared in pictures of {resolution}: with consistency_weight "
            "sample_conditions.size_px is a multiple of train_siw.generator.resolution"
        )
    # Pinned copies are the reader's; these are small.
    depth, cam2world, intrinsics = (
        torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device).flatten(0, 1)
        for values in (heads.depth, heads.cam2world, heads.intrinsics)
    )
    depth = depth_of_pixels(depth, intrinsics, resolution)
    first = torch.arange(0, len(depth), 2, device=depth.device)
    warp = find_warp(depth, Camera(cam2world, intrinsics, resolution), first + 1, first)
    labels = torch.from_numpy(resize(heads.labels.reshape(-1, size, size), label_size))
    return ViewPairs(labels.to(device).long().unflatten(0, (-1, 2)), warp)


def view_difference(first: Tensor, second: Tensor, warp: Warp) -> Tensor:
    """Mean absolute difference of P pictures (P, 3, R, R) and second ones that are warped onto them.

    It is the mean over heads of the means over pixels that both views of a head show.
    """
    seen = warp.seen[:, None].to(first.dtype)
    difference = (first - warp.apply(second)).abs().mean(1, keepdim=True) * seen
    return (difference.sum((1, 2, 3)) / seen.sum((1, 2, 3)).clamp(min=1)).mean()
