"""Paths of a camera around a head, as angles a frame; each is a loop, whose last frame joins its first."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from sofgan.config import read_yaml
from sofgan.errors import InputError


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


def read_keyframes(path: str | Path) -> list[Angle]:
    """Angles of a YAML file: a list of mappings with yaw, pitch and zoom, each optional.

    Raises:
        InputError: it is not there, has fewer than two, or one of another kind.
    """
    if not Path(path).is_file():
        raise InputError(
            f"no file {path}: keyframes are a YAML list such as [{{yaw: -30}}, {{yaw: 30, pitch: 10}}]"
        )
    found = read_yaml(path)
    if not isinstance(found, list) or len(found) < 2:
        raise InputError(
            f"{path}: keyframes are a YAML list of two or more, such as [{{yaw: -30}}, {{yaw: 30}}]"
        )
    known = [field.name for field in fields(Angle)]
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict):
            raise InputError(f"{path}: keyframe {number} is a mapping of {', '.join(known)}, not {one!r}")
        for key, value in one.items():
            if key not in known:
                raise InputError(
                    f"{path}: keyframe {number} has {key!r}, but a keyframe has {', '.join(known)}"
                )
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{path}: {key} of keyframe {number} is a number, not {value!r}")
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
    return [Angle(*map(float, row)) for row in path]
