"""Parameters of the stages that make and read scans."""

import re
from dataclasses import dataclass
from typing import Annotated

from sofgan.config import Positive, Share, within
from sofgan.scans.labelling import class_id

Refinements = Annotated[int, within(0, 6)]  # each makes four triangles of one


@dataclass(frozen=True)
class ParseScans:
    """Settings by which scans that have colours but no labels get labels from parsed views."""

    smoothing: Positive = 2.0  # votes that agreement with a neighbouring triangle is worth
    refinements: Refinements = 1  # times that triangles are divided where labels meet within them
    min_face_score: Share = 0.25  # of the frontal view, 0..1; below it the scan is refused


@dataclass(frozen=True)
class IngestScans:
    """Settings by which `ingest_scans` labels raw scans and brings them to head space."""

    rules: tuple[tuple[str, str], ...]  # (regular expression on part names, class); the first match decides
    # Euclidean distance in 0..255 RGB within which a colour is a palette colour; 442 is from black to white
    palette_tolerance: Annotated[float, within(0, 442)]
    max_off_palette: Share  # share of samples that may be farther; above it the scan is refused
    texture_refinements: (
        Refinements  # how often triangles that a border of the texture crosses are divided in four
    )
    # of the head with hair and hat, in the unit ball; the rest is room for the neck
    head_radius: Annotated[float, within(0.1, 1)]
    parsing: ParseScans = ParseScans()

    def __post_init__(self):
        for pattern, label in self.rules:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the rule '{pattern}' is no regular expression: {error}") from error
            class_id(label)
