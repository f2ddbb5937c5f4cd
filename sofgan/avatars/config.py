"""Parameters of the stages that make the embedded default: `make_avatars` and `make_portraits`. Imports no torch."""

from dataclasses import dataclass
from typing import Annotated

from sofgan.config import Count, FieldOfView, Pixels, within


@dataclass(frozen=True)
class MakePortraits:
    """The two sets of portrait photos that stand for FFHQ and CelebAMask-HQ."""

    ffhq_photos: Count
    celebamask_photos: Count
    photos_per_identity: Count
    size_px: Pixels  # photos and masks are square
    supersampling: Annotated[int, within(1, 16)]  # photos are shaded this many times finer, then averaged
    yaw_std_degrees: Annotated[float, within(0, 180)]
    pitch_std_degrees: Annotated[float, within(0, 180)]
    roll_std_degrees: Annotated[float, within(0, 180)]
    fov_degrees: FieldOfView  # of the camera; long lenses flatter, FFHQ's are about 20 to 30
    jpeg_quality: Annotated[int, within(1, 100)]  # of the CelebAMask-like photos


@dataclass(frozen=True)
class MakeAvatars:
    """Size of a batch that `make_avatars` makes; the run's seed and the batch's name decide which people are in it."""

    scans_per_batch: Count
