"""Points to align a face by, as a parser sees them: middles of the eyes' openings and ends of the lips.

A detector places an eye at about its pupil, which gaze moves; FFHQ's crop goes by the middles of the eyes' outlines.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from sofgan.images import to_network_range
from sofgan.labels import EYE, L_LIP, MOUTH, U_LIP
from sofgan.parsing.parser import FaceParser
from sofgan.photos.alignment import Face, FaceFinder, align_photo, ffhq_transform
from sofgan.photos.decoding import PhotoError

SIZE = 256  # pixels of the aligned face that is parsed
REACH = 0.4  # how far an eye's pixels may be from where it was thought to be, in distances of the eyes
LEAST_PIXELS = 12  # of an eye
LEAST_LIPS = 24
ENDS = 0.04  # share of the lips' pixels that make an end


class ParsedPoints:
    """A `sofgan.photos.alignment.FaceFinder`: another finder's faces, their points by a parser where it sees them."""

    batch, missing = 1, "no face found"

    def __init__(self, finder: FaceFinder, parser: FaceParser):
        self.finder, self.parser = finder, parser

    def __call__(self, names: Sequence[str], photos: Sequence[Image.Image]) -> list[Face | None]:
        """The largest face of each RGB photo, or None."""
        found = self.finder(names, photos)
        return [None if face is None else self.refined(photo, face) for photo, face in zip(photos, found)]

    def refined(self, photo: Image.Image, face: Face) -> Face:
        """A face of an RGB photo with eyes and mouth as the parser sees them; what it doesn't see stays."""
        try:
            transform = ffhq_transform(face, SIZE)
            crop = align_photo(photo, transform, SIZE)
        except PhotoError:
            return face
        device = self.parser.mean.device
        labels = self.parser.parse(to_network_range(np.array(crop)[None], device), mirror=True)[0]
        eyes, mouth = points_in_map(labels, _moved(face.eyes, transform))
        back = np.linalg.inv(transform)
        return Face(
            face.eyes if eyes is None else _moved(eyes, back),
            face.mouth if mouth is None else _moved(mouth, back),
            face.others,
        )


def points_in_map(labels: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Middles of the eyes and ends of the lips in an upright label map, each (2, 2) pixels, or None where not seen.

    Args:
        labels: (S, S) uint8.
        eyes: (2, 2) about where the eyes are, pixels, the one left in the map first.
    """
    apart = np.hypot(*(eyes[1] - eyes[0]))
    rows, columns = np.nonzero(labels == EYE)
    points = np.stack([columns, rows], 1) + 0.5
    far = np.linalg.norm(points[:, None] - eyes, axis=2)
    own = [points[(far.argmin(1) == eye) & (far[:, eye] < REACH * apart)] for eye in (0, 1)]
    found = np.stack([of.mean(0) for of in own]) if min(map(len, own)) >= LEAST_PIXELS else None
    rows, columns = np.nonzero(np.isin(labels, (MOUTH, U_LIP, L_LIP)))
    if len(columns) < LEAST_LIPS:
        return found, None
    lips = np.stack([columns, rows], 1)[np.argsort(columns, kind="stable")] + 0.5
    end = max(1, round(ENDS * len(lips)))
    return found, np.stack([lips[:end].mean(0), lips[-end:].mean(0)])


def _moved(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Points (N, 2) moved by a transform (3, 3)."""
    return (np.c_[points, np.ones(len(points))] @ transform.T)[:, :2]
