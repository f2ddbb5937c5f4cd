"""Hats, glasses and earrings."""

from __future__ import annotations

import numpy as np

from sofgan import labels
from sofgan.avatars import colors, scalp
from sofgan.avatars.clothes import tube
from sofgan.avatars.face_parts import eye_ball, grid_faces, make_part
from sofgan.avatars.parts import Part
from sofgan.avatars.template import Template

_METALS = np.array([(214, 178, 96), (200, 202, 208), (210, 156, 128)], dtype=np.float64)
_FRAMES = np.array(
    [(24, 22, 24), (74, 44, 28), (128, 30, 36), (176, 178, 182), (190, 152, 80), (38, 52, 92)],
    dtype=np.float64,
)


def hat(vertices: np.ndarray, generator) -> tuple[Part, str]:
    """A beanie, a peaked cap or a brimmed hat that clears the hair under it."""
    kind = ("beanie", "cap", "brimmed")[generator.integers(3)]
    columns, rows = 120, 26
    azimuth = np.arange(columns) / columns * 360 - 180
    folded = np.abs(azimuth)
    stops = {
        "beanie": [62, 63, 68, 78, 84, 90, 96],
        "cap": [60, 60, 62, 66, 72, 80, 86],
        "brimmed": [60, 60, 62, 66, 71, 77, 82],
    }[kind]
    line = np.interp(folded, [0, 20, 45, 75, 100, 140, 180], stops) + generator.normal(0, 1.5)
    share = np.linspace(0.02, 1, rows)
    direction = scalp.directions(azimuth[:, None], line[:, None] * share[None])
    skin = scalp.skin_points(direction, vertices)
    out = scalp.outward(skin, vertices)
    dye = np.array(
        list(colors.FABRIC_COLORS.values())[generator.integers(len(colors.FABRIC_COLORS))], dtype=float
    )
    color = np.broadcast_to(dye, (columns, rows, 3)) * (1 + 0.025 * generator.normal(size=(columns, rows, 1)))
    if kind == "beanie":
        points, color = _beanie(skin, out, share, azimuth, color, generator)
    elif kind == "cap":
        points = skin + out * (0.16 + 0.06 * np.cos(share * np.pi / 2))[None, :, None]
        seams = np.abs(np.sin(np.deg2rad(azimuth) * 3)) < 0.06
        color = color * np.where(seams, 0.8, 1.0)[:, None, None]
        points, color = _closed_below(points, skin, color)
    else:
        points, color = _brimmed(skin, out, share, azimuth, color, generator)
    part = make_part(
        "hat",
        points.reshape(-1, 3),
        grid_faces(columns, points.shape[1], False, True),
        labels.HAT,
        color.reshape(-1, 3),
        0.95,
    )
    if kind == "cap":
        part = _with_peak(part, skin, generator, dye)
    return part, kind


def _closed_below(points: np.ndarray, skin: np.ndarray, color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn the hat's lower edge in, down to the hair."""
    inner = 0.75 * skin[:, -1:] + 0.25 * points[:, -1:]
    return np.concatenate([points, inner], 1), np.concatenate([color, 0.6 * color[:, -1:]], 1)


def _beanie(skin, out, share, azimuth, color, generator):
    cuff = share > 1 - generator.uniform(0.2, 0.3)
    ribs = np.sin(np.deg2rad(azimuth) * 30)[:, None]
    slack = generator.uniform(0.0, 0.18)
    thick = 0.17 + 0.06 * cuff + 0.012 * ribs + slack * np.cos(share * np.pi / 2)[None] ** 3
    points = skin + out * thick[..., None]
    if generator.random() < 0.5:
        color = np.where(cuff[None, :, None], color * generator.uniform(0.5, 0.9), color)
    color = color * (1 + 0.06 * ribs[..., None])
    return _closed_below(points, skin, color)


def _brimmed(skin, out, share, azimuth, color, generator):
    """A crown with a dent, a dark band and a brim all round."""
    height = generator.uniform(0.0, 0.14)
    flat = skin * np.array([1.0, 0, 1]) + out * np.array([1.0, 0, 1]) * 0.17
    ring = flat[:, -1:]
    center = ring.mean(0, keepdims=True)
    top = skin[..., 1].max() + 0.12 + height
    base = skin[:, -1:, 1]
    rise = np.clip((1 - share) / 0.55, 0, 1)[None]
    inside = np.clip((share - 0.0) / 0.45, 0, 1)[None] ** 0.6
    across = center + (ring - center) * (inside * (1 - 0.16 * rise))[..., None]
    y = base + (top - base) * np.sin(rise * np.pi / 2)
    y = y - 0.12 * np.exp(-((across[..., 0] / 0.2) ** 2)) * (1 - inside)
    across[..., 1] = y
    band = (rise < 0.28) & (rise > 0.0)
    color = np.where(band[..., None], color * 0.35, color)
    wide = generator.uniform(0.35, 0.6)
    away = (ring - center) / np.linalg.norm(ring - center, axis=-1, keepdims=True)
    steps = np.array([0.25, 0.6, 1.0, 1.0, 0.5, 0.0])
    droop = np.array([0.01, 0.0, -0.02, -0.05, -0.04, -0.04])
    side = np.abs(np.sin(np.deg2rad(azimuth)))[:, None] ** 2 * generator.uniform(0.0, 0.22)
    brim = across[:, -1:] + away * (steps * wide)[None, :, None]
    brim[..., 1] = across[:, -1:, 1] + droop[None] + side * (steps**2)[None]
    return np.concatenate([across, brim], 1), np.concatenate([color, np.repeat(color[:, -1:] * 1.0, 6, 1)], 1)


def _with_peak(part: Part, skin: np.ndarray, generator, dye: np.ndarray) -> Part:
    """Add the peak of a cap over the forehead."""
    rows, columns = 8, 33
    across = np.linspace(-1, 1, columns)
    length = generator.uniform(0.55, 0.75)
    edge = skin[:, -1]
    azimuth = np.rad2deg(np.arctan2(edge[:, 0], edge[:, 2] - scalp.SCALP_CENTER[2]))
    order = np.argsort(azimuth)
    at = across * 62
    root = np.stack([np.interp(at, azimuth[order], edge[order, k]) for k in range(3)], 1)
    root = root + np.array([0.0, 0.03, 0.02])
    grid = []
    for share in np.linspace(0, 1, rows):
        ahead = 0.14 * share + length * share * np.sqrt(np.clip(1 - across**2, 0, 1))
        bend = -0.10 * across**2 * share - 0.16 * share**2 * length
        grid.append(root + np.stack([0.04 * across * share, bend, ahead], 1))
    top = np.stack(grid)
    both = np.concatenate([top, top[::-1] - np.array([0, 0.035, 0])])
    points = both.reshape(-1, 3)
    peak = make_part(
        "peak", points, grid_faces(2 * rows, columns), labels.HAT, dye * generator.uniform(0.6, 1.0), 0.9
    )
    return Part(
        part.name,
        np.concatenate([part.vertices, peak.vertices]),
        np.concatenate([part.faces, peak.faces + np.int32(len(part.vertices))]),
        np.concatenate([part.face_labels, peak.face_labels]),
        np.concatenate([part.vertex_colors, peak.vertex_colors]),
        part.roughness,
    )


def glasses(
    template: Template, vertices: np.ndarray, base: np.ndarray, generator
) -> tuple[list[Part], dict[str, str]]:
    """A frame ("glasses") and its two panes ("glasses_lenses", see-through unless these are sunglasses)."""
    style = ("round", "oval", "square")[generator.integers(3)]
    power = {"round": 2.0, "oval": 2.4, "square": 4.5}[style]
    dark = generator.random() < 0.3
    frame = _FRAMES[generator.integers(len(_FRAMES))]
    half_width, half_height = {"round": (0.225, 0.215), "oval": (0.245, 0.175), "square": (0.25, 0.185)}[
        style
    ]
    scale = generator.uniform(0.95, 1.12)
    thick = generator.uniform(0.016, 0.034)
    turn = np.arange(56) / 56 * 2 * np.pi
    cos, sin = np.cos(turn), np.sin(turn)
    outline = np.stack(
        [np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)], 1
    )
    outline *= np.array([half_width, half_height]) * scale

    rest = template.rest
    middle = np.array([(eye_ball(base, letter)[0]) for letter in "lr"])
    # Far enough from the lashes, and the bridge on the nose.
    bridge = vertices[
        (np.abs(rest[:, 0]) < 0.05) & (np.abs(rest[:, 1] - 7.42) < 0.04) & (rest[:, 2] > 1.3), 2
    ].max()
    front = max(middle[:, 2].mean() + 0.27, bridge + 0.02)
    pieces, panes = [], []
    for sign, eye in ((1, middle[0]), (-1, middle[1])):
        center = np.array([eye[0] + 0.01 * sign, eye[1] - 0.03, front])

        def bowed(flat: np.ndarray, center=center) -> np.ndarray:
            x = center[0] + flat[..., 0]
            return np.stack([x, center[1] + flat[..., 1], front - 0.22 * np.abs(x) ** 2.2], -1)

        pieces.append(tube(bowed(outline), thick))
        rings = np.linspace(0, 1, 5)[:, None, None] * outline[None]
        panes.append((bowed(rings).reshape(-1, 3), grid_faces(5, len(turn), True)))
        hinge = bowed(np.array([sign * half_width * scale, half_height * 0.45 * scale]))
        pieces.append(tube(_arm(template, vertices, hinge, sign), thick * 0.9, closed=False))
    inner = [middle[0][0] - half_width * scale + 0.012, middle[1][0] + half_width * scale - 0.012]
    x = np.linspace(inner[1], inner[0], 12)
    height = middle[:, 1].mean() - 0.03 + 0.06
    arch = np.stack(
        [x, height + 0.02 * np.cos(np.linspace(-np.pi / 2, np.pi / 2, 12)), front + 0.0 * x + 0.01], 1
    )
    pieces.append(tube(arch, thick, closed=False))
    tint = np.array([34.0, 32, 34]) if dark else np.array([190.0, 205, 212])
    parts = [
        make_part("glasses", *_merge(pieces), labels.EYEGLASS, frame, 0.3),
        make_part(
            "glasses_lenses", *_merge(panes), labels.EYEGLASS, tint, 0.1, opacity=1.0 if dark else 0.12
        ),
    ]
    return parts, {"glasses": style, "lenses": "dark" if dark else "clear"}


def _arm(template: Template, vertices: np.ndarray, hinge: np.ndarray, sign: int) -> np.ndarray:
    """(N, 3) points of a spectacle arm from the hinge to the top of the ear, outside the temple all the way."""
    ear = vertices[(template.masks["ears"] > 0.5) & (template.rest[:, 0] * sign > 0)]
    top = ear[np.argmax(ear[:, 1] - 0.3 * np.abs(ear[:, 2] - ear[:, 2].mean()))]
    rear = np.array([np.abs(ear[:, 0]).min() * sign, top[1] - 0.02, ear[:, 2].mean() - 0.02])
    side = max(abs(hinge[0]), abs(rear[0])) + 0.015
    path = np.array([hinge, [sign * side, rear[1] + 0.04, rear[2] + 0.18], rear])
    share = np.linspace(0, 1, 10, endpoint=False)[:, None]
    path = np.concatenate([start + (end - start) * share for start, end in zip(path, path[1:])] + [path[-1:]])
    temple = vertices[(template.rest[:, 0] * sign > 0.4) & (template.masks["ears"] < 0.05)]
    for point in path[:-3]:
        near = (np.abs(temple[:, 1] - point[1]) < 0.12) & (np.abs(temple[:, 2] - point[2]) < 0.12)
        if near.any():
            point[0] = sign * max(abs(point[0]), np.abs(temple[near, 0]).max() + 0.02)
    return path


def _merge(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0] + [len(points) for points, _ in pieces])
    return (
        np.concatenate([points for points, _ in pieces]),
        np.concatenate([faces + offset for (_, faces), offset in zip(pieces, offsets)]),
    )


def earrings(template: Template, vertices: np.ndarray, generator) -> tuple[list[Part], str]:
    """A pair of studs, hoops or drops at the lobes."""
    kind = ("stud", "hoop", "drop")[generator.integers(3)]
    metal = _METALS[generator.integers(3)]
    gem = np.array(
        [metal, (236, 232, 226), (60, 110, 190), (176, 36, 60), (40, 140, 96)][generator.integers(5)],
        dtype=float,
    )
    size = generator.uniform(0.8, 1.3)
    parts = []
    for side, sign in (("left", 1), ("right", -1)):
        ear = np.flatnonzero((template.masks["ears"] > 0.5) & (template.rest[:, 0] * sign > 0))
        lowest = ear[np.argsort(vertices[ear, 1])[: max(len(ear) // 25, 4)]]
        lobe = vertices[lowest].mean(0)
        lobe = np.array([np.abs(vertices[lowest, 0]).max() * sign, lobe[1] + 0.03, lobe[2]])
        outer = lobe + np.array([0.02 * sign, 0, 0.02])
        turn = np.arange(32) / 32 * 2 * np.pi
        if kind == "hoop":
            radius = 0.13 * size
            circle = np.stack([0.25 * np.sin(turn) * sign, np.cos(turn) - 0.85, np.sin(turn)], 1) * radius
            pieces = [tube(outer + circle, 0.02)]
        else:
            pieces = [_ball(outer, np.full(3, 0.052 * size))]
            if kind == "drop":
                pieces.append(
                    _ball(outer - np.array([0, 0.15 * size, 0]), np.array([0.05, 0.11, 0.05]) * size)
                )
        parts.append(
            make_part(
                f"{side}_earring", *_merge(pieces), labels.EARRING, metal if kind == "hoop" else gem, 0.2
            )
        )
    return parts, kind


def _ball(center: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    theta = np.linspace(0, np.pi, 10)[:, None]
    phi = np.arange(16)[None] / 16 * 2 * np.pi
    unit = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi, np.sin(theta) * np.cos(phi)], -1)
    return (center + unit * radii).reshape(-1, 3), grid_faces(10, 16, True)
