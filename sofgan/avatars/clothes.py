"""The garment and the necklace: what follows closed curves round the neck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from sofgan import labels
from sofgan.avatars import colors, surfaces
from sofgan.avatars.face_parts import grid_faces, make_part
from sofgan.avatars.parts import Part
from sofgan.avatars.template import BUST_CENTER, BUST_RADIUS, Template

# Height of the neckline on the reference head, by azimuth about the neck (0 front, 180 back), in decimetres.
_AZIMUTHS = (0, 18, 40, 65, 90, 130, 180)
NECKLINES: dict[str, tuple[float, tuple[float, ...]]] = {
    "crew": (0.34, (5.93, 5.96, 6.05, 6.18, 6.30, 6.33, 6.30)),
    "scoop": (0.14, (5.50, 5.54, 5.72, 5.98, 6.20, 6.24, 6.20)),
    "v-neck": (0.18, (5.30, 5.56, 5.88, 6.12, 6.28, 6.30, 6.26)),
    "turtleneck": (0.14, (6.14, 6.16, 6.22, 6.32, 6.42, 6.50, 6.52)),
    "shirt": (0.20, (5.80, 5.95, 6.08, 6.20, 6.30, 6.35, 6.33)),
}
_NECK_AXIS = np.array([0.0, 0.0, 0.18])


@dataclass(frozen=True)
class Garment:
    """The garment's parts, the height (V,) of each bust vertex below the neckline, and the neckline's name."""

    parts: tuple[Part, ...]
    below: np.ndarray
    neckline: str
    fabric: str


def _azimuth(points: np.ndarray) -> np.ndarray:
    return np.rad2deg(np.arctan2(points[:, 0], points[:, 2] - _NECK_AXIS[2]))


def _line(heights: tuple[float, ...]) -> PchipInterpolator:
    """Symmetric height by azimuth, flat where it meets itself at the back."""
    around = np.r_[-np.array(_AZIMUTHS[:0:-1]), _AZIMUTHS, 360 - np.array(_AZIMUTHS[-2:0:-1])]
    values = np.r_[heights[:0:-1], heights, heights[-2:0:-1]]
    return PchipInterpolator(around, values)


def dress(template: Template, vertices: np.ndarray, normals: np.ndarray, male: float, generator) -> Garment:
    """Cut a garment out of the shoulders, lift it off the skin, let it drape, and close its rim onto the neck."""
    names = list(NECKLINES)
    chances = np.array([NECKLINES[name][0] for name in names])
    if male > 0.5:
        chances = chances * np.array([1.3, 0.2, 0.8, 1.0, 1.8])
    neckline = names[generator.choice(len(names), p=chances / chances.sum())]
    fabric = list(colors.FABRIC_COLORS)[generator.integers(len(colors.FABRIC_COLORS))]
    color = np.array(colors.FABRIC_COLORS[fabric]) * generator.normal(1, 0.06, 3)
    shift = generator.normal(0, 0.03)
    below = _line(NECKLINES[neckline][1])(_azimuth(template.rest)) + shift - template.rest[:, 1]
    below = np.where(template.at_neck, below, -1.0)

    cloth_faces = template.faces[template.face_labels == labels.NECK]
    faces, _, step = surfaces.split_at_level(cloth_faces, below)
    level = step @ below
    faces = faces[level[faces].mean(1) > 0]
    faces, used = surfaces.compact(faces, step.shape[0])
    step = step[used]
    level = level[used]
    skin, normal = step @ vertices, step @ normals
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    loose = 0.035 + generator.uniform(0.03, 0.07) * np.clip(level / 0.3, 0, 1)
    folds = 0.022 * colors.waves(skin, generator, 0.7) * np.clip(level / 0.4, 0, 1)
    outer = skin + normal * (loose + folds)[:, None]
    smooth = surfaces.mean_neighbours(faces, len(skin))
    to_edge = BUST_RADIUS - np.linalg.norm(step @ template.rest - BUST_CENTER, axis=1)
    relax = 0.6 * (np.clip(level / 0.15, 0, 1) * np.clip(to_edge / 0.2, 0, 1))[:, None]
    for _ in range(6):  # Cloth spans hollows: it follows collar bones and muscles only roughly.
        outer = outer + relax * (smooth @ outer - outer)
        depth = ((outer - skin) * normal).sum(1)
        outer = outer + normal * np.clip(0.03 - depth, 0, None)[:, None]

    tone = 1 + 0.03 * colors.waves(skin, generator, 0.2) + 0.02 * generator.normal(size=len(skin))
    shades = color * tone[:, None]
    if neckline != "shirt":
        shades = shades * np.where(level < 0.09, generator.uniform(0.72, 1.12), 1.0)[:, None]
    rim_faces, rim = _rim(faces, level, len(outer))
    inner = skin[rim] - 0.02 * normal[rim]
    points = np.concatenate([outer, inner])
    cloth = make_part(
        "cloth",
        points,
        np.concatenate([faces, rim_faces]),
        labels.CLOTH,
        np.concatenate([shades, shades[rim] * 0.8]),
        0.9,
    )
    parts = [cloth]
    if neckline in ("shirt", "turtleneck"):
        line = lambda p: _line(NECKLINES[neckline][1])(_azimuth(p)) + shift - p[:, 1]  # noqa: E731
        parts.append(_collar(template, vertices, normals, line(template.rest), neckline, color, generator))
    return Garment(tuple(parts), below, neckline, fabric)


def _rim(faces: np.ndarray, level: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces of a strip from the neckline to new vertices `count`.. under it, and whose neighbours those are."""
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    keys = np.sort(sides, 1)
    _, inverse, uses = np.unique(
        keys[:, 0].astype(np.int64) * count + keys[:, 1], return_inverse=True, return_counts=True
    )
    border = sides[(uses[inverse] == 1) & (level[sides] < 0.02).all(1)]
    rim = np.unique(border)
    new = np.full(count, -1)
    new[rim] = count + np.arange(len(rim))
    a, b = border.T
    return np.concatenate([np.stack([b, a, new[a]], 1), np.stack([b, new[a], new[b]], 1)]), rim


def contour(template: Template, vertices: np.ndarray, normals: np.ndarray, level: np.ndarray, count: int):
    """The curve round the neck where `level` (V,) is 0: (count, 3) points and unit normals, from the back on."""
    faces = template.faces[template.face_labels == labels.NECK]
    faces, _, step = surfaces.split_at_level(faces, level)
    new = np.arange(len(level), step.shape[0])
    rest, points, normal = (step[new] @ values for values in (template.rest, vertices, normals))
    azimuth = _azimuth(rest)
    order = np.argsort(azimuth, kind="stable")
    around = np.r_[azimuth[order] - 360, azimuth[order], azimuth[order] + 360]
    wanted = np.arange(count) / count * 360 - 180

    def smooth(values: np.ndarray) -> np.ndarray:
        columns = [np.interp(wanted, around, np.tile(values[order, k], 3)) for k in range(3)]
        result = np.stack(columns, 1)
        for _ in range(3):
            result = 0.5 * result + 0.25 * (np.roll(result, 1, 0) + np.roll(result, -1, 0))
        return result

    normal = smooth(normal)
    return smooth(points), normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _collar(template, vertices, normals, level, neckline: str, color: np.ndarray, generator) -> Part:
    """A folded collar: it stands up from the neckline along the neck, then turns down over the garment."""
    count = 128
    points, normal = contour(template, vertices, normals, level, count)
    azimuth = np.arange(count) / count * 360 - 180
    away = points - np.array([0, 0, 0.18])
    away[:, 1] = 0
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    up = np.array([0, 1.0, 0])
    if neckline == "turtleneck":
        stand, flap, spread = 0.04, generator.uniform(0.3, 0.42), 0.05
        profile = [(-0.06, 0.03), (0.0, 0.045), (stand, 0.06), (stand + 0.02, 0.09), (stand - 0.03, 0.12)]
        profile += [
            (stand - flap * 0.6, 0.13 + spread),
            (stand - flap, 0.12 + spread),
            (stand - flap + 0.01, 0.05),
        ]
        lift = np.ones(count)
    else:
        stand, flap = generator.uniform(0.16, 0.24), generator.uniform(0.26, 0.4)
        # The points of the collar hang lowest beside the open front.
        front = np.exp(-(((np.abs(azimuth) - 22) / 22.0) ** 2))
        lift = 1 + 0.55 * front
        profile = [(-0.06, 0.02), (0.0, 0.04), (stand * 0.6, 0.055), (stand, 0.075), (stand + 0.015, 0.10)]
        profile += [
            (stand - 0.05, 0.14),
            (stand - flap * 0.6, 0.22),
            (stand - flap, 0.28),
            (stand - flap, 0.25),
        ]
    rows = []
    for height, width in profile:
        drop = np.where(height < 0, height * lift, height)
        rows.append(points + up * drop[:, None] + away * width)
    grid = np.stack(rows, axis=1)
    if neckline == "shirt":  # Open at the front.
        opening = np.abs(azimuth) > 9
        keep = np.flatnonzero(opening)
        start = int(np.searchsorted(azimuth, 0))
        keep = np.r_[keep[keep >= start], keep[keep < start]]
        grid = grid[keep]
    faces = grid_faces(len(grid), len(profile), False, neckline == "turtleneck")
    tone = 1 + 0.02 * generator.normal(size=(grid.shape[0] * grid.shape[1], 1))
    return make_part("cloth_collar", grid.reshape(-1, 3), faces, labels.CLOTH, color * tone, 0.9)


def necklace(template: Template, vertices, normals, garment: Garment, generator) -> tuple[Part, str]:
    """A chain, a string of pearls or a pendant that lies just above the neckline."""
    kind = ("chain", "pearls", "pendant")[generator.integers(3)]
    raised = {"crew": 0.13, "shirt": 0.06}.get(garment.neckline, generator.uniform(0.12, 0.25))
    count = 160
    points, normal = contour(
        template, vertices, normals, np.where(template.at_neck, garment.below + raised, -1.0), count
    )
    azimuth = np.arange(count) / count * 360 - 180
    radius = np.full(count, 0.024)
    color = np.array([(214, 176, 92), (196, 198, 204), (205, 150, 122)][generator.integers(3)], dtype=float)
    if kind == "pearls":
        beads = np.abs(np.sin(np.arange(count) / count * np.pi * 40))
        radius, color = 0.022 + 0.034 * beads, np.array([236.0, 230, 220])
    elif kind == "chain":
        radius = 0.024 + 0.010 * np.abs(np.sin(np.arange(count) / count * np.pi * 80))
    else:
        radius = radius + 0.085 * np.exp(-((azimuth / 3.6) ** 2))
    center = points + normal * (radius * 0.8 + 0.005)[:, None]
    return make_part("necklace", *tube(center, radius), labels.NECKLACE, color, 0.25), kind


def tube(center: np.ndarray, radius: np.ndarray | float, sides: int = 8, closed: bool = True):
    """A tube along (N, 3) points: vertices and faces. `radius` in the points' unit, one or (N,)."""
    ahead = np.roll(center, -1, 0) - np.roll(center, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = center[1] - center[0], center[-1] - center[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    helper = np.where(np.abs(ahead[:, 1:2]) < 0.9, np.array([[0, 1.0, 0]]), np.array([[0, 0, 1.0]]))
    first = np.cross(ahead, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(ahead, first)
    turn = np.arange(sides) / sides * 2 * np.pi
    ring = np.cos(turn)[None, :, None] * first[:, None] + np.sin(turn)[None, :, None] * second[:, None]
    points = center[:, None] + ring * np.broadcast_to(radius, len(center))[:, None, None]
    return points.reshape(-1, 3), grid_faces(len(center), sides, True, closed)
