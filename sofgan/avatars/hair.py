"""Hair: sheets of strands over the scalp, with volume, a hairline, and streaks of colour along the strands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from sofgan import labels
from sofgan.avatars import colors, scalp
from sofgan.avatars.face_parts import grid_faces, make_part
from sofgan.avatars.parts import Part

COLUMNS, ROWS = 176, 40

# Chances of each style for women and men.
STYLES: dict[str, tuple[float, float]] = {
    "bald": (0.02, 0.11),
    "cropped": (0.06, 0.26),
    "short": (0.11, 0.36),
    "curly": (0.15, 0.11),
    "bob": (0.22, 0.04),
    "long": (0.28, 0.09),
    "bun": (0.16, 0.03),
}


@dataclass(frozen=True)
class Head:
    """Surface that hair grows on: bust vertices (V, 3), body points with normals, colours,
    whether a hat presses it down, and how far (decimetres) it stays off the body for the garment's sake."""

    vertices: np.ndarray
    body: np.ndarray
    body_normals: np.ndarray
    looks: colors.Looks
    under_hat: bool
    clearance: float


@dataclass(frozen=True)
class Cut:
    """A haircut that keeps to the scalp.

    side, top: thickness in decimetres, reached `edge` decimetres from the hairline, or 1 + `taper` times that at
    the sides and the back; fade: how much skin shows
    through near it; grain, quiff, curls: relief of strands, of the front lock, of curls; recede, low: the
    hairline's (degrees); crown_degrees: how far behind the top all strands meet.
    """

    side: float
    top: float
    edge: float
    fade: float
    grain: float
    quiff: float = 0.0
    curls: float = 0.0
    recede: float = 0.0
    low: float = 0.0
    taper: float = 0.0
    crown_degrees: float = 24.0
    columns: int = COLUMNS
    rows: int = ROWS


def draw_style(male: float, generator: np.random.Generator, allowed: tuple[str, ...] = tuple(STYLES)) -> str:
    """Choose a hair style's name."""
    chances = np.array([STYLES[name][0] * (1 - male) + STYLES[name][1] * male for name in allowed])
    return allowed[generator.choice(len(allowed), p=chances / chances.sum())]


def grow(style: str, head: Head, male: float, age: float, generator) -> tuple[list[Part], bool]:
    """Parts of the hair of that style, and whether it hides the ears."""
    if style == "bald":
        return [], False
    if style in ("bob", "long"):
        return _falling(style, head, generator)
    recede = generator.normal(1.0 + 9 * age, 2.5) if male > 0.5 else generator.normal(0, 1.5)
    line = {"recede": max(float(recede), 0.0), "low": float(generator.normal(0, 2.0))}
    draw = generator.uniform
    if style == "cropped":
        thickness = draw(0.035, 0.06)
        return [_cap(head, Cut(thickness, thickness, 0.14, 0.55, 0.05, **line), generator)], False
    if style == "short":
        cut = Cut(
            draw(0.06, 0.11),
            draw(0.14, 0.26),
            0.10,
            0.2,
            0.35,
            quiff=draw(0, 0.14),
            taper=draw(1.5, 5),
            **line,
        )
        return [_cap(head, cut, generator)], False
    if style == "curly":
        cut = Cut(
            draw(0.14, 0.34),
            draw(0.22, 0.42),
            0.22,
            0.1,
            0.1,
            curls=draw(0.05, 0.08),
            taper=draw(0, 1.5),
            **line,
        )
        return [_cap(head, cut, generator)], False
    cut = Cut(0.045, 0.07, 0.10, 0.25, 0.35, crown_degrees=draw(28, 75), **line)
    tail = scalp.directions(np.array(180.0), np.array(cut.crown_degrees))
    return [_joined("hair", [_cap(head, cut, generator), _bun(head, tail, generator)])], False


def _frame(pole: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) whose rows are side, pole, front, so that azimuth 0 stays towards the face."""
    side = np.array([1.0, 0.0, 0.0])
    side -= pole * (side @ pole)
    side /= np.linalg.norm(side)
    return np.stack([side, pole, np.cross(side, pole)])


def _cap(head: Head, cut: Cut, generator) -> Part:
    """Hair that stays on the scalp, combed away from the cut's crown."""
    columns, rows = cut.columns, cut.rows
    pole = scalp.directions(np.array(180.0), np.array(cut.crown_degrees))
    turn = np.arange(columns) / columns * 360
    reach = np.linspace(0, 165, 331)
    rays = scalp.directions(turn[:, None], reach[None]) @ _frame(pole)
    azimuth, polar = scalp.angles(rays)
    beyond = polar > scalp.hairline(azimuth, cut.recede, cut.low)
    end = reach[np.where(beyond.any(1), beyond.argmax(1), len(reach) - 1)]
    end = gaussian_filter1d(end, 1.2, mode="wrap") + generator.normal(0, 0.5, columns)
    # Rows crowd towards the hairline, where the thickness changes.
    share = 1 - (1 - np.linspace(0, 1, rows)) ** 1.5
    along = share[None] * end[:, None]
    direction = scalp.directions(turn[:, None], along) @ _frame(pole)
    skin = scalp.skin_points(direction, head.vertices)
    out = scalp.outward(skin, head.vertices)
    azimuth, polar = scalp.angles(direction)

    upward = np.clip(np.cos(np.deg2rad(polar)) * 1.5 + 0.1, 0, 1)
    front = np.exp(-((azimuth / 40.0) ** 2)) * np.exp(-(((polar - 38) / 18.0) ** 2))
    volume = cut.side + (cut.top - cut.side) * upward + cut.quiff * front
    distance = np.deg2rad(end[:, None] - along) * 0.95
    # A crisp edge over the forehead, a long taper at the sides and the nape.
    edge = cut.edge * (1 + cut.taper * np.clip((np.abs(azimuth) - 50) / 40, 0, 1))
    grown = np.sqrt(np.clip(1 - (1 - np.clip(distance / edge, 0, 1)) ** 2, 0, 1))
    strand = _strands(columns, generator, wrap=True)
    volume = volume * (1 + cut.grain * strand[:, None] * 0.35 * np.clip(share * 3, 0, 1))
    volume = volume * (1 + 0.12 * colors.waves(skin.reshape(-1, 3), generator, 0.8).reshape(volume.shape))
    if cut.curls:
        # The absolute value of noise: round lumps between sharp creases.
        lumps = [np.abs(colors.waves(skin.reshape(-1, 3), generator, width, 12)) for width in (0.22, 0.34)]
        bump = np.minimum(sum(lumps), 2.5).reshape(volume.shape) - 1.2
        volume = volume + cut.curls * bump * np.clip(share * 4, 0, 1)
    if head.under_hat:
        volume = np.minimum(volume, np.clip((polar - 72) / 15, 0, 1) * volume + 0.03)
    points = skin + out * (volume * grown - 0.012 * (1 - grown))[..., None]
    shade = strand[:, None] * 0.6 + (bump * 0.5 if cut.curls else 0)
    color = _hair_color(head, shade, share[None] * np.ones_like(volume), generator)
    thin = cut.fade * np.clip(1 - distance / (2.2 * cut.edge), 0, 1)
    color = colors.mix(color, head.looks.skin * 0.92, thin)
    return make_part(
        "hair",
        points.reshape(-1, 3),
        grid_faces(columns, rows, False, True),
        labels.HAIR,
        color.reshape(-1, 3),
        0.6,
    )


def _strands(count: int, generator, wrap: bool) -> np.ndarray:
    """(count,) noise of about unit variance over neighbouring strands, at three widths of lock."""
    mode = "wrap" if wrap else "nearest"
    total = np.zeros(count)
    for width, weight in ((0.6, 0.75), (2.0, 0.6), (6.0, 0.5)):
        layer = gaussian_filter1d(generator.normal(size=count), width, mode=mode)
        total += weight * layer / (layer.std() + 1e-9)
    return total


def _hair_color(head: Head, streak: np.ndarray, along: np.ndarray, generator) -> np.ndarray:
    """(..., 3) albedo: lighter and darker strands, darker roots, slightly lighter tips."""
    shape = np.broadcast_shapes(streak.shape, along.shape)
    contrast = 1 - 0.6 * head.looks.hair.mean() / 255  # grey and white strands differ less
    value = 1 + contrast * (0.15 * streak + 0.05 * generator.normal(size=shape))
    value = value * (0.84 + 0.22 * np.clip(along, 0, 1))
    warm = 1 + 0.03 * contrast * streak[..., None] * np.array([1.0, 0.2, -0.8])
    return head.looks.hair * np.clip(value, 0.45, 1.6)[..., None] * warm


def _bun(head: Head, pole: np.ndarray, generator) -> Part:
    """A knot of hair at the pole's direction: a flattened ball with strands wound round it."""
    rows, columns = 20, 40
    radius = generator.uniform(0.22, 0.36)
    base = scalp.skin_points(pole[None], head.vertices)[0]
    axis = scalp.outward(base, head.vertices)
    side, up, front = _frame(axis)
    theta = np.linspace(0, np.pi, rows)[:, None]
    phi = np.arange(columns)[None] / columns * 2 * np.pi
    wound = np.sin(5 * phi + 7 * theta + generator.uniform(0, 6)) * np.sin(theta)
    size = radius * (1 + 0.05 * wound)
    across = (np.sin(theta) * np.cos(phi) * size)[..., None] * side + (np.sin(theta) * np.sin(phi) * size)[
        ..., None
    ] * front
    points = base + axis * radius * 0.72 + across + (np.cos(theta) * size * 0.82)[..., None] * up
    streak = 1.1 * wound + 0.5 * generator.normal(size=wound.shape)
    color = _hair_color(head, streak, np.full(wound.shape, 0.7), generator)
    return make_part(
        "bun",
        points.reshape(-1, 3),
        grid_faces(rows, columns, True)[:, ::-1],
        labels.HAIR,
        color.reshape(-1, 3),
        0.6,
    )


def _joined(name: str, parts: list[Part]) -> Part:
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    return Part(
        name=name,
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate([part.faces + np.int32(offset) for part, offset in zip(parts, offsets)]).astype(
            np.int32
        ),
        face_labels=np.concatenate([part.face_labels for part in parts]),
        vertex_colors=np.concatenate([part.vertex_colors for part in parts]),
        roughness=parts[0].roughness,
    )


def _slerp(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Great-circle path (columns, rows, 3) between (columns, 3) unit vectors; share (rows,)."""
    angle = np.arccos(np.clip((first * second).sum(-1), -0.999, 0.999))[:, None, None]
    share = share[None, :, None]
    path = np.sin((1 - share) * angle) * first[:, None] + np.sin(share * angle) * second[:, None]
    return path / np.linalg.norm(path, axis=-1, keepdims=True)


def _falling(style: str, head: Head, generator) -> tuple[list[Part], bool]:
    """Bob and long hair: strands flow from a parting over the head and fall from its widest place."""
    tucked = style == "long" and generator.random() < 0.35
    part_angle = generator.choice([0.0, 0.0, 1.0, -1.0]) * generator.uniform(14, 26) + generator.normal(0, 2)
    fringe = not tucked and generator.random() < (0.5 if style == "bob" else 0.25)
    length = generator.uniform(0.55, 0.95) if style == "bob" else generator.uniform(1.2, 1.9)
    volume = generator.uniform(0.13, 0.24)
    u = np.linspace(-1, 1, COLUMNS)
    v = np.clip((np.abs(u) - 0.3) / 0.7, 0, 1)
    theta = -22 + v * (22 + generator.uniform(44, 48))
    start = scalp.directions(np.zeros(COLUMNS), theta)
    lean = np.deg2rad(part_angle) * np.clip(v * 2, 0, 1)
    start = np.stack([np.sin(lean) * start[:, 1], np.cos(lean) * start[:, 1], start[:, 2]], -1)
    edge_azimuth = 104.0 if tucked else generator.uniform(60, 72)
    finish = scalp.directions(
        np.sign(u) * (180 - (180 - edge_azimuth) * np.abs(u) ** 1.15), 92 - 6 * np.abs(u) ** 4
    )

    scalp_rows = 22
    share = np.linspace(0, 1, scalp_rows) ** 0.85
    path = _slerp(start, finish, share)
    path[..., 1] += (
        (generator.uniform(0.0, 0.16) + 0.1 * tucked)
        * np.sin(np.pi * share)[None]
        * (np.abs(u) ** 3)[:, None]
    )
    skin = scalp.skin_points(path, head.vertices)
    out = scalp.outward(skin, head.vertices)
    strand = _strands(COLUMNS, generator, wrap=True)
    rise = np.clip(share / 0.35, 0, 1) ** 0.7
    grown = (0.045 + (volume - 0.045) * rise)[None] * (
        1 - 0.75 * np.clip((np.abs(u) - 0.9) / 0.1, 0, 1) ** 2
    )[:, None]
    grown = grown * (1 + 0.07 * strand[:, None] * rise)
    if head.under_hat:
        _, polar = scalp.angles(path)
        grown = np.minimum(grown, np.clip((polar - 70) / 18, 0, 1) * grown + 0.03)
    upper = skin + out * grown[..., None]

    drop = np.linspace(0, 1, ROWS - scalp_rows + 1)[1:]
    ragged = gaussian_filter1d(generator.normal(size=COLUMNS), 0.8)
    fall = length * (1 + 0.03 * strand + 0.02 * ragged)
    lower = upper[:, -1:] - np.array([0, 1.0, 0]) * (fall[:, None] * drop)[..., None]
    axis = np.array([0.0, 0.0, 0.35])
    flat = (lower - axis) * np.array([1.0, 0, 1])
    curl = generator.uniform(-0.22, -0.05) if style == "bob" else generator.uniform(-0.12, 0.06)
    wave = generator.choice([0.0, 1.0]) * generator.uniform(0.02, 0.06)
    phase = np.cumsum(generator.normal(0, 0.25, COLUMNS)) + generator.uniform(0, 6)
    swing = curl * drop[None] ** 2 + wave * np.sin(
        2 * np.pi * drop[None] * length * 1.6 + phase[:, None]
    ) * np.clip(drop * 3, 0, 1)
    tuck = -0.10 * np.clip((np.abs(u) - 0.88) / 0.12, 0, 1)[:, None] * np.clip(drop * 3, 0, 1)
    lower = lower + flat * (swing + tuck)[..., None]
    points = np.concatenate([upper, lower], axis=1).reshape(-1, 3)
    points = _push_out(points, head, head.clearance)
    along = np.concatenate([0.5 * share, 0.5 + 0.5 * drop])
    color = _hair_color(
        head, strand[:, None] * (0.8 + 0.2 * rise.mean()), along[None] * np.ones((COLUMNS, 1)), generator
    )
    sheet = make_part(
        "hair", points, grid_faces(COLUMNS, ROWS, False), labels.HAIR, color.reshape(-1, 3), 0.55
    )
    under = _cap(head, Cut(0.02, 0.02, 0.06, 0.3, 0.1, columns=88, rows=18), generator)
    pieces = [sheet, under] + (
        [_fringe(head, generator, edge_azimuth)] if fringe and not head.under_hat else []
    )
    return [_joined("hair", pieces)], not tucked


def _fringe(head: Head, generator, edge_azimuth: float) -> Part:
    """Hair combed down over the forehead, ending above the brows."""
    columns, rows = 72, 22
    azimuth = np.linspace(-1, 1, columns) * (edge_azimuth - 8)
    end = generator.uniform(69, 76) + 1.2 * generator.normal(size=columns) + 8 * (np.abs(azimuth) / 60) ** 3
    share = np.linspace(0, 1, rows)
    polar = 12 + (end - 12)[:, None] * share[None]
    direction = scalp.directions(azimuth[:, None], polar)
    skin = scalp.skin_points(direction, head.vertices)
    strand = _strands(columns, generator, wrap=False)
    lift = (0.02 + 0.075 * np.sin(np.pi * np.clip(share * 0.8, 0, 1)) ** 0.5)[None] * (
        1 + 0.12 * strand[:, None]
    )
    points = skin + scalp.outward(skin, head.vertices) * lift[..., None]
    color = _hair_color(head, strand[:, None], share[None] * np.ones((columns, 1)), generator)
    return make_part(
        "fringe", points.reshape(-1, 3), grid_faces(columns, rows), labels.HAIR, color.reshape(-1, 3), 0.55
    )


def _push_out(points: np.ndarray, head: Head, margin: float) -> np.ndarray:
    """Move points to at least `margin` outside the nearest place of the body."""
    low = points[:, 1] < head.body[:, 1].max()
    _, nearest = cKDTree(head.body).query(points[low])
    normal = head.body_normals[nearest]
    depth = ((points[low] - head.body[nearest]) * normal).sum(1)
    moved = points.copy()
    moved[low] += np.clip(margin - depth, 0, 0.6)[:, None] * normal
    return moved
