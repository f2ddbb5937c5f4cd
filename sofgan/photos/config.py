"""Parameters of `import_photos`. Imports no torch."""

import dataclasses
from typing import Annotated, Literal

from sofgan.config import A_PATH, Count, Rule, Whole, from_to_below, within

HELD_OUT = Rule(
    "is more than 0, as scores are of people that nothing was trained on, and below 1",
    lambda share: 0 < share < 1,
)


@dataclasses.dataclass(frozen=True)
class PhotoSource:
    """One photo set.

    Attributes:
        source: folder; its layout is recognised (`sofgan.photos.layouts`).
        held_out_share: share of people kept from all training, by the hash of who they are, between 0 and 1; where
            the source does not tell people apart, of photos.
        validation_share: share by which trainings choose their best state, and which none of them scores itself on.
        limit: photos at most; 0 takes all.
        align: `none` where photos are aligned already and stay as they are; `ffhq` cuts out the face as in FFHQ.
        align_size_px: side of what `ffhq` cuts out.
        void_ids: ids of merged masks that mark no part and count as background.
    """

    source: Annotated[str, A_PATH]
    held_out_share: Annotated[float, HELD_OUT]
    validation_share: Annotated[float, from_to_below(0, 1)]
    limit: Whole
    align: Literal["none", "ffhq"] = "none"
    align_size_px: Annotated[int, within(16, 4096)] = 1024
    void_ids: tuple[Annotated[int, within(0, 65535)], ...] = ()

    def __post_init__(self) -> None:
        if self.held_out_share + self.validation_share >= 1:
            raise ValueError("held_out_share and validation_share together are less than 1")


@dataclasses.dataclass(frozen=True)
class ImportPhotos:
    """`import_photos`: two sets, the second with masks.

    Attributes:
        min_side_px: photos with a shorter side are left out.
        weights: folder of facexlib's face detector and landmark network, needed to align only.
        landmarks: what to align by: the detector's own `5` points, or eyes and mouth among the `98` of a second
            network that looks at each face.
    """

    min_side_px: Count
    ffhq: PhotoSource
    celebamask: PhotoSource
    weights: str = "data/weights"
    landmarks: Literal["5", "98"] = "5"
