"""Parameters of the stages that make and read scans."""

import re
from dataclasses import dataclass

from sofgan.scans.labelling import class_id


@dataclass(frozen=True)
class ParseScans:
    """How scans that have colours but no labels get labels from parsed views."""

    smoothing: float = 2.0  # votes that agreement with a neighbouring triangle is worth
    refinements: int = 1  # times that triangles are divided where labels meet within them
    min_face_score: float = 0.25  # of the frontal view, 0..1; below it the scan is refused

    def __post_init__(self):
        if self.smoothing <= 0 or self.refinements < 0 or not 0 <= self.min_face_score <= 1:
            raise ValueError("smoothing is above 0, refinements at least 0, min_face_score within 0 and 1")


@dataclass(frozen=True)
class IngestScans:
    """How `ingest_scans` labels and normalises raw scans."""

    rules: tuple[tuple[str, str], ...]  # (regular expression on part names, class); the first match decides
    palette_tolerance: float  # Euclidean distance in 0..255 RGB within which a colour is a palette colour
    max_off_palette: float  # share of samples that may be farther; above it the scan is refused
    texture_refinements: int  # how often triangles that a border of the texture crosses are divided in four
    head_radius: float  # of the head with hair and hat, in the unit ball; the rest is room for the neck
    parsing: ParseScans = ParseScans()

    def __post_init__(self):
        for pattern, label in self.rules:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the rule '{pattern}' is no regular expression: {error}") from error
            class_id(label)
        if not 0.1 <= self.head_radius <= 1:
            raise ValueError("head_radius lies between 0.1 and 1, the radius of the ball")
        if not 0 <= self.max_off_palette <= 1:
            raise ValueError("max_off_palette is a share, 0 to 1")


@dataclass(frozen=True)
class MakeAvatars:
    """How many scans `make_avatars` makes; the run's seed and the batch's name decide which people they are."""

    scans_per_batch: int

    def __post_init__(self):
        if self.scans_per_batch < 1:
            raise ValueError("scans_per_batch is at least 1")
