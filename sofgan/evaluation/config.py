"""Configuration of the evaluation. Imports no torch."""

import dataclasses
from typing import Annotated, Literal

from sofgan.config import DISTINCT, NOT_EMPTY, Count, Rule, Share, Whole, at_least, within

GAPS_DEGREES = (10, 20)  # of yaw between two views: over less, interpolation is most of the difference


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """`evaluate`.

    Attributes:
        images: pictures a side of each distance, at most; the number used stands beside it (`n_a_side`).
        sof_images: views of sampled heads among those that are painted, at most `images`.
        extractors: of the distances: `lite0`, `lite2`, `parser` (the trained parser's last features;
            of `lite_unet` they began as lite0's, so take another architecture to judge lite0 from outside).
        inception_weights: file of FID's Inception network, without which the stage stops; empty leaves FID out.
        batch: pictures at once.
        kid_subset: size of the kernel distance's random subsets.
        frequent_share: `control_miou_frequent` runs over classes with at least this share of the pixels.
        restyled_maps: maps by which the spread of colours over styles and leakage are measured.
        held_out_views: views of scans that are scored, spread over all; 0 takes all.
        grid: rows (geometries) and columns (styles) of the sample grid.
        turntable_yaws_degrees: columns of the turntable.
        turntable_styles: its rows.
        turntable_frames: frames of its animation, there and back between the outer yaws.
        orbit_heads: sampled heads by which the warp error and the equivariance to shifts are measured.
        orbit_avatars: avatars by which the warp error's floor is; 0: none.
        orbit_styles: styles that each of them is painted in.
        orbit_yaws_degrees: views along an orbit; some must be 10 degrees apart, and some 20.
    """

    images: Annotated[int, at_least(4)]
    sof_images: Count
    extractors: Annotated[tuple[Literal["lite0", "lite2", "parser"], ...], NOT_EMPTY, DISTINCT]
    inception_weights: str
    batch: Count
    kid_subset: Annotated[int, at_least(2)]
    frequent_share: Share
    restyled_maps: Count
    held_out_views: Whole
    grid: tuple[Count, Count]
    turntable_yaws_degrees: Annotated[tuple[Annotated[float, within(-180, 180)], ...], NOT_EMPTY]
    turntable_styles: Count
    turntable_frames: Annotated[int, at_least(2)]
    orbit_heads: Annotated[int, at_least(2)]
    orbit_avatars: Annotated[int, Rule("is 0, or at least 2", lambda value: value == 0 or value > 1)]
    orbit_styles: Annotated[int, at_least(2)]
    orbit_yaws_degrees: Annotated[tuple[Annotated[float, within(-90, 90)], ...], NOT_EMPTY, DISTINCT]

    def __post_init__(self) -> None:
        if not self.grid[0] <= self.sof_images <= self.images:
            raise ValueError("sof_images lies between the grid's rows and images")
        apart = {round(abs(a - b), 6) for a in self.orbit_yaws_degrees for b in self.orbit_yaws_degrees}
        if missing := [gap for gap in GAPS_DEGREES if gap not in apart]:
            raise ValueError(f"orbit_yaws_degrees has no two views {missing[0]} degrees apart")
