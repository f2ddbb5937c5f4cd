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
from sofgan.labels import STYLE_GROUPS, resize
from sofgan.siw.condition_store import HeadPairs
from sofgan.siw.mixing import class_to_group
from sofgan.warping import Warp, depth_of_pixels, find_warp

CELL = 4  # pixels along a side of the cells whose colours are compared
LEAST_AREA = 32  # pixels of a region that has a colour
# Spreads of styles below which views aren't asked to differ less still, and above which styles aren't asked to differ
# more: in photos skin spreads by some 0.19, hair by 0.24 (colours in [-1, 1]).
LEAST_SPREAD, WIDE_SPREAD = 0.07, 0.35


@dataclass(frozen=True)
class ViewPairs:
    """Two views of each of P heads, on the training's device.

    Attributes:
        labels: (P, 2, L, L) long: maps to paint.
        groups: (P, R, R) long: style groups that the first pictures show.
        warp: of the P second pictures onto the first ones.
    """

    labels: Tensor
    groups: Tensor
    warp: Warp

    def rows(self, rows: slice) -> "ViewPairs":
        """Some of the heads."""
        warp = Warp(self.warp.grid[rows], self.warp.seen[rows])
        return ViewPairs(self.labels[rows], self.groups[rows], warp)


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
    groups = class_to_group(one.device)[one.long()]
    return ViewPairs(heads.labels.long(), groups, Warp(warp.grid, warp.seen & (there == one)))


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


def difference_by_spread(first: Tensor, second: Tensor, pairs: ViewPairs, together: int) -> Tensor:
    """Difference of two views by the spread of styles.

    The difference alone is least where all heads are painted alike. So each style group's difference is divided by how
    far its mean colours lie apart from head to head, as these are painted in styles of their own. Fading or darkening
    lessens both.

    Args:
        first, second: (P, 3, R, R) in [-1, 1], painted from the pairs' labels.
        together: heads whose colours are compared, one after another; divides P.

    Returns:
        Mean over style groups by their visible area.
    """
    seen = pairs.warp.seen[:, None].to(first.dtype)
    unit = torch.eye(len(STYLE_GROUPS), dtype=first.dtype, device=first.device)
    regions = F.embedding(pairs.groups, unit).movedim(-1, 1) * seen  # (P, G, R, R)
    shares = F.avg_pool2d(regions, CELL)
    different = F.avg_pool2d((first - pairs.warp.apply(second)) * seen, CELL).abs().mean(1, keepdim=True)
    by_share = shares / shares.sum(1, keepdim=True).clamp(min=1 / CELL**2)
    difference = (by_share * different).sum((2, 3)).unflatten(0, (-1, together)).sum(1)  # (P / together, G)
    cells = shares.sum((2, 3)).unflatten(0, (-1, together)).sum(1)
    spread = style_spread(first, regions, together).clamp(LEAST_SPREAD, WIDE_SPREAD)
    return ((difference / spread).sum(1) / cells.sum(1).clamp(min=1 / CELL**2)).mean()


def style_spread(images: Tensor, regions: Tensor, together: int) -> Tensor:
    """Mean absolute deviation of regions' mean colours from head to head, (P / together, G); 0 where fewer than two
    heads show a region.

    It is that from the mean of all heads there are, whose deviation from few heads' own mean is smaller: of n by the
    root of (n - 1) / n.

    Args:
        images: (P, 3, R, R).
        regions: (P, G, R, R), 1 where a picture shows the region, else 0.
        together: pictures that are compared with each other, one after another.
    """
    area = regions.sum((2, 3))
    means = torch.einsum("pghw,pchw->pgc", regions, images) / area.clamp(min=1)[..., None]
    means = means.unflatten(0, (-1, together))  # (P / together, together, G, 3)
    shown = (area >= LEAST_AREA).to(means.dtype).unflatten(0, (-1, together))[..., None]
    count = shown.sum(1, keepdim=True).clamp(min=1)
    middle = (means * shown).sum(1, keepdim=True) / count
    deviation = (((means - middle).abs() * shown).sum(1) / count[:, 0]).mean(-1)
    count = count[:, 0, :, 0]
    return deviation * (count / (count - 1).clamp(min=1)).sqrt()
