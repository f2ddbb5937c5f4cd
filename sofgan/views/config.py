"""Parameters of the stages that render: `render_views` and `make_portraits`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RenderViews:
    """Which views of each scan `render_views` renders."""

    views_per_scan: int  # the first is frontal
    held_out_views: int  # of those; never the frontal one
    size_px: int
    fov_degrees: float  # of the square image; the unit ball fills it where sin(fov / 2) = 1 / radius
    radius: float  # camera distance, in head-space units (the head fits the unit ball)
    radius_jitter: float  # camera distances vary by this share either way
    yaw_degrees: float  # views lie within this of the front, to either side
    pitch_degrees: tuple[float, float]  # lowest and highest camera
    sheet_scans: int  # rows of the contact sheet
    sheet_views: int  # its columns

    def __post_init__(self):
        if self.views_per_scan < 1 or not 0 <= self.held_out_views < self.views_per_scan:
            raise ValueError("held_out_views must leave at least one of views_per_scan to train on")
        if not 0 <= self.radius_jitter < 0.5:
            raise ValueError("radius_jitter is a share of the radius, 0 to 0.5")
        if self.radius * (1 - self.radius_jitter) <= 1.05:
            raise ValueError("radius must keep the camera outside the unit ball")
        if (
            not 0 <= self.yaw_degrees <= 180
            or not -80 <= self.pitch_degrees[0] <= self.pitch_degrees[1] <= 80
        ):
            raise ValueError("yaw_degrees lies in 0..180, pitch_degrees in -80..80, lowest first")


@dataclass(frozen=True)
class MakePortraits:
    """The two sets of portrait photos that stand for FFHQ and CelebAMask-HQ."""

    ffhq_photos: int
    celebamask_photos: int
    photos_per_identity: int
    size_px: int  # photos and masks are square
    supersampling: int  # photos are shaded this many times finer, then averaged
    yaw_std_degrees: float
    pitch_std_degrees: float
    roll_std_degrees: float
    fov_degrees: float  # of the camera; long lenses flatter, FFHQ's are about 20 to 30
    jpeg_quality: int  # of the CelebAMask-like photos

    def __post_init__(self):
        for name in ("ffhq_photos", "celebamask_photos", "photos_per_identity", "supersampling"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if self.size_px < 16 or not 1 < self.fov_degrees < 120 or not 1 <= self.jpeg_quality <= 100:
            raise ValueError("size_px is at least 16, fov_degrees lies in 1..120, jpeg_quality in 1..100")
