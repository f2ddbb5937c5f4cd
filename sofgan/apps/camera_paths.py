"""Paths of a camera around a head, as angles a frame; each is a loop, whose last frame joins its first."""

from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short_repr  # what a file holds may be long, or hold itself

import numpy as np

from sofgan.config import read_yaml
from sofgan.errors import InputError

# As far as a visitor's camera goes: degrees, and a factor.
YAWS, PITCHES, ZOOMS = (-90.0, 90.0), (-40.0, 50.0), (0.5, 3.0)
# Of angles: degrees, of which a camera that stands upright has fewer than 90 up or down; and a factor within which a
# head still is in the picture.
LIMITS = {"yaw": (-360.0, 360.0), "pitch": (-85.0, 85.0), "zoom": (0.1, 10.0)}
MOST_BYTES, MOST_KEYFRAMES = 1_000_000, 1000


@dataclass(frozen=True)
class Angle:
    """Where a camera stands.

    Attributes:
        yaw, pitch: degrees; positive to the head's left and up.
        zoom: factor of the focal length.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    zoom: float = 1.0


def orbit(frames: int, yaw: float, pitch: float) -> list[Angle]:
    """From one side to the other and back, slow at the ends: up to `yaw` degrees, at a height of `pitch`."""
    turn = 2 * np.pi * np.arange(frames) / frames
    return [Angle(float(yaw * np.sin(t)), pitch) for t in turn]


def spiral(frames: int, yaw: float, pitch: float) -> list[Angle]:
    """An ellipse around the front, `yaw` degrees wide and `pitch` high to either side."""
    turn = 2 * np.pi * np.arange(frames) / frames
    return [Angle(float(yaw * np.cos(t)), float(pitch * np.sin(t))) for t in turn]


def read_keyframes(path: str | Path) -> list:
    """What a YAML file of keyframes holds, for `keyframes_of`.

    Raises:
        InputError: it is not there, or no YAML.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"no file {path}: keyframes are a YAML list such as [{{yaw: -30}}, {{yaw: 30, pitch: 10}}]"
        )
    if (size := path.stat().st_size) > MOST_BYTES:
        raise InputError(f"{path} has {size:,} bytes: keyframes are a short YAML list")
    try:
        return read_yaml(path)
    except RecursionError as error:
        raise InputError(f"{path} is nested too deep for a list of keyframes") from error


def keyframes_of(found, where: str | Path) -> list[Angle]:
    """Angles of plain data: a list of mappings with yaw, pitch and zoom, each optional.

    Args:
        where: what it is from, for messages.

    Raises:
        InputError: there are fewer than two, or one of another kind.
    """
    if not isinstance(found, list) or len(found) < 2:
        raise InputError(
            f"{where}: keyframes are a YAML list of two or more, such as [{{yaw: -30}}, {{yaw: 30}}]"
        )
    if len(found) > MOST_KEYFRAMES:
        raise InputError(f"{where}: {len(found):,} keyframes, of which there may be {MOST_KEYFRAMES:,}")
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict):
            raise InputError(
                f"{where}: keyframe {number} is a mapping of {', '.join(LIMITS)}, not {short_repr(one)}"
            )
        for key, value in one.items():
            if key not in LIMITS:
                raise InputError(
                    f"{where}: keyframe {number} has {short_repr(key)}, but a keyframe has {', '.join(LIMITS)}"
                )
            low, high = LIMITS[key]
            # What is undefined is not within them either.
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(
                    f"{where}: {key} of keyframe {number} is a number from {low:g} to {high:g}, not {short_repr(value)}"
                )
    return [Angle(**one) for one in found]


def through(keyframes: list[Angle], frames: int) -> list[Angle]:
    """A closed path through keyframes at even times, without corners (Catmull and Rom's)."""
    points = np.array([[a.yaw, a.pitch, a.zoom] for a in keyframes], float)
    place = np.arange(frames) * len(points) / frames
    first, t = place.astype(int), (place % 1)[:, None]
    p = [points[(first + offset) % len(points)] for offset in (-1, 0, 1, 2)]
    path = p[1] + 0.5 * t * (
        p[2] - p[0] + t * (2 * p[0] - 5 * p[1] + 4 * p[2] - p[3] + t * (3 * (p[1] - p[2]) + p[3] - p[0]))
    )
    for column, name in ((1, "pitch"), (2, "zoom")):  # It swings beyond keyframes that lie far apart.
        path[:, column] = path[:, column].clip(*LIMITS[name])
    return [Angle(*map(float, row)) for row in path]
