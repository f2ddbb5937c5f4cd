"""Configuration of the evaluation. Imports no torch."""

import dataclasses
from typing import Literal

# The network of "FID" as torch-fidelity publishes it: name, address, digest.
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


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
    """

    images: int
    sof_images: int
    extractors: tuple[Literal["lite0", "lite2", "parser"], ...]
    inception_weights: str
    batch: int
    kid_subset: int
    frequent_share: float
    restyled_maps: int
    held_out_views: int
    grid: tuple[int, int]
    turntable_yaws_degrees: tuple[float, ...]
    turntable_styles: int
    turntable_frames: int

    def __post_init__(self) -> None:
        if not self.grid[0] <= self.sof_images <= self.images:
            raise ValueError("sof_images lies between the grid's rows and images")
        if self.restyled_maps < 1:
            raise ValueError("restyled_maps is at least 1")
        if self.images < 4 or self.batch < 1 or self.kid_subset < 2:
            raise ValueError("images is at least 4, batch 1, kid_subset 2")
        if min(self.grid) < 1 or self.turntable_styles < 1 or not self.turntable_yaws_degrees:
            raise ValueError("the grid and the turntable need at least one picture")
