"""Parameters of the stages that render: `render_views` and `make_portraits`."""

from dataclasses import dataclass
from typing import Annotated

from sofgan.config import Count, FieldOfView, Pixels, Positive, Whole, from_to_below, within


@dataclass(frozen=True)
class RenderViews:
    """Settings of the views of each scan that `render_views` renders."""

    views_per_scan: Count  # the first is frontal
    held_out_views: Whole  # of those; never the frontal one
    size_px: Pixels
    fov_degrees: FieldOfView  # of the square image; the unit ball fills it where sin(fov / 2) = 1 / radius
    radius: Positive  # camera distance, in head-space units (the head fits the unit ball)
    radius_jitter: Annotated[float, from_to_below(0, 0.5)]  # camera distances vary by this share either way
    yaw_degrees: Annotated[float, within(0, 180)]  # views lie within this of the front, to either side
    pitch_degrees: tuple[
        Annotated[float, within(-80, 80)], Annotated[float, within(-80, 80)]
    ]  # lowest and highest camera
    sheet_scans: Count  # rows of the contact sheet
    sheet_views: Count  # its columns

    def __post_init__(self):
        if self.held_out_views >= self.views_per_scan:
            raise ValueError("held_out_views must leave at least one of views_per_scan to train on")
        if self.radius * (1 - self.radius_jitter) <= 1.05:
            raise ValueError("radius must keep the camera outside the unit ball")
        if self.pitch_degrees[0] > self.pitch_degrees[1]:
            raise ValueError(f"pitch_degrees are the lowest and the highest, not {list(self.pitch_degrees)}")
