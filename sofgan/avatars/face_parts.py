"""Eyes, lashes, brows, teeth and tongue."""

from __future__ import annotations

import functools

import numpy as np
from scipy import sparse

from sofgan import labels
from sofgan.avatars import colors, makehuman, surfaces
from sofgan.avatars.parts import Part
from sofgan.avatars.shape import Person
from sofgan.avatars.template import Template

METRES = 0.1  # per decimetre of the MakeHuman mesh


def make_part(name, vertices, faces, label, vertex_colors, roughness=0.8, opacity=1.0) -> Part:
    """A part from geometry in decimetres; `label` is one class or (F,) classes."""
    return Part(
        name=name,
        vertices=np.ascontiguousarray(vertices * METRES, dtype=np.float32),
        faces=np.ascontiguousarray(faces, dtype=np.int32),
        face_labels=np.broadcast_to(np.asarray(label, dtype=np.uint8), (len(faces),)).copy(),
        vertex_colors=colors.as_bytes(np.broadcast_to(vertex_colors, vertices.shape)),
        roughness=roughness,
        opacity=opacity,
    )


@functools.cache
def _helper(group: str, steps: int = 1) -> tuple[sparse.csr_matrix, np.ndarray]:
    """A helper shape of the base mesh, smoothed: matrix from base vertices, (F, 3) faces."""
    quads = makehuman.base_mesh().groups[group][0]
    matrix = sparse.identity(len(makehuman.base_mesh().vertices), format="csr")
    for _ in range(steps):
        step, quads = surfaces.catmull_clark(quads, matrix.shape[0])
        matrix = step @ matrix
    faces, used = surfaces.compact(surfaces.triangulate(quads), matrix.shape[0])
    return matrix.tocsr()[used], faces


def _sphere_fit(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of the least-squares sphere through (N, 3) points."""
    system = np.c_[2 * points, np.ones(len(points))]
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    center = solution[:3]
    return center, float(np.sqrt(solution[3] + center @ center))


def eye_ball(base: np.ndarray, letter: str) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of the left ("l") or right ("r") eyeball in decimetres."""
    return _sphere_fit(base[np.unique(makehuman.base_mesh().groups[f"helper-{letter}-eye"][0])])


# Angles in degrees from the pupil's axis: the iris ends at 30, beyond 100 nothing is ever seen.
_RINGS = np.array(
    [0, 4, 8, 11, 12.5, 15, 18, 22, 26, 28.5, 31, 34, 40, 48, 57, 67, 78, 90, 104], dtype=np.float64
)
_SEGMENTS = 40


def eyes(base: np.ndarray, person: Person, looks: colors.Looks, generator) -> list[Part]:
    """Both eyes: a ball with pupil, iris and bulged cornea that looks where the person looks, and upper lashes."""
    azimuth = np.arange(_SEGMENTS) / _SEGMENTS * 2 * np.pi
    ring, turn = np.meshgrid(_RINGS, azimuth, indexing="ij")
    angle = np.deg2rad(ring)
    local = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)], -1)
    local *= 1 + 0.035 * np.exp(-((ring / 24.0) ** 2))[..., None]
    faces = grid_faces(len(_RINGS), _SEGMENTS, wrap=True)

    pupil = generator.uniform(9.5, 13.5)
    fibres = generator.normal(0, 1, _SEGMENTS)
    fibres = 0.6 * fibres + 0.4 * np.roll(fibres, 1)
    iris = looks.iris * (1 + 0.13 * fibres[None, :, None] * np.ones_like(ring)[..., None])
    iris = iris * (1.25 - 0.35 * np.clip((ring - 12) / 16, 0, 1))[..., None]
    sclera = (
        np.array([232.0, 228, 222]) - np.array([2.0, 14, 14]) * np.clip((ring - 36) / 40, 0, 1)[..., None]
    )
    color = colors.mix(iris, looks.iris * 0.28, np.clip((ring - 25) / 4, 0, 1))
    color = colors.mix(color, sclera, np.clip((ring - 29.5) / 3.0, 0, 1))
    color = colors.mix(color, np.array([9.0, 8, 8]), np.clip((pupil - ring) / 1.5 + 0.5, 0, 1))

    parts = []
    yaw, pitch = np.deg2rad(person.gaze_degrees)
    lash_color = np.minimum(looks.brow * 0.45, 46.0)
    for side, letter in (("left", "l"), ("right", "r")):
        center, radius = eye_ball(base, letter)
        ball = local.reshape(-1, 3) @ _rotation(yaw, pitch).T * radius + center
        matrix, lash_faces = _helper(f"helper-{letter}-eyelashes-2")
        lash = matrix @ base
        points = np.concatenate([ball, lash])
        color_of = np.concatenate([color.reshape(-1, 3), np.broadcast_to(lash_color, lash.shape)])
        both = np.concatenate([faces, lash_faces + len(ball)])
        parts.append(make_part(f"{side}_eye", points, both, labels.EYE, color_of, 0.15))
    return parts


def _rotation(yaw: float, pitch: float) -> np.ndarray:
    """Turns +Z towards +X by yaw and towards +Y by pitch."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_y @ about_x


def grid_faces(rows: int, columns: int, wrap: bool = False, wrap_rows: bool = False) -> np.ndarray:
    """Triangles of a (rows, columns) grid of vertices; `wrap` joins the last column to the first."""
    column_sides, row_sides = columns - (not wrap), rows - (not wrap_rows)
    row, column = np.meshgrid(np.arange(row_sides), np.arange(column_sides), indexing="ij")
    below, right = (row + 1) % rows, (column + 1) % columns
    a, b = row * columns + column, row * columns + right
    c, d = below * columns + right, below * columns + column
    return np.stack([np.stack([a, d, c], -1), np.stack([a, c, b], -1)], -2).reshape(-1, 3)


def mouth_parts(base: np.ndarray, person: Person, generator) -> list[Part]:
    """Teeth and tongue, seen when the lips part."""
    white = np.array([236.0, 230, 214]) * generator.uniform(0.9, 1.02)
    gum = np.array([176.0, 96, 92])
    opened = person.weights.get("faceunits/jawOpen", 0.0)
    parts = []
    for name, group, sign in (
        ("upper_teeth", "helper-upper-teeth", 1),
        ("lower_teeth", "helper-lower-teeth", -1),
    ):
        matrix, faces = _helper(group, 2)
        points = matrix @ base
        x, y, z = points.T
        height = (y - np.median(y)) * sign / np.ptp(y)
        # The upper row shows below the raised lip of a laugh; the lower one keeps down behind its lip.
        points = points + np.array(
            [0, -0.02 - 0.12 * opened if sign > 0 else -0.06, 0 if sign > 0 else -0.04]
        )
        around = np.arctan2(x, z - z.min() - 0.1 * np.ptp(z))
        gap = np.abs(np.sin(around * 9.0)) < 0.22
        color = colors.mix(np.broadcast_to(white, points.shape), gum, np.clip((height - 0.22) / 0.1, 0, 1))
        color = color * np.where(gap, 0.8, 1.0)[:, None]
        front = z[faces].mean(1) > z.min() + (0.45 if sign > 0 else 0.72) * np.ptp(z)
        own, used = surfaces.compact(faces[front & (height[faces].mean(1) < 0.34)], len(points))
        parts.append(make_part(name, points[used], own, labels.MOUTH, color[used], 0.25))
    matrix, faces = _helper("helper-tongue")
    tongue = matrix @ base + np.array([0, -0.06, -0.03])
    parts.append(make_part("tongue", tongue, faces, labels.MOUTH, np.array([170.0, 80, 78]), 0.45))
    return parts


def brow_level(rest: np.ndarray, arch: float, thickness: float, length: float) -> np.ndarray:
    """Positive inside the brows, in decimetres, on the reference head: an arc that tapers outwards."""
    x = np.abs(rest[:, 0])
    along = np.clip((x - 0.095) / (0.43 * length), -0.3, 1.3)
    inside = np.clip(along, 0, 1)
    center = 7.655 + arch * np.sin(np.pi * inside**1.25) - 0.075 * np.clip(along - 0.45, 0, 1)
    half = thickness * np.interp(
        along, [-0.06, 0.02, 0.25, 0.6, 1.0, 1.12], [-2.0, 0.75, 1.0, 0.8, 0.18, -2.0]
    )
    return np.where(rest[:, 2] > 0.8, half - np.abs(rest[:, 1] - center), -1.0)


def brows(
    template: Template,
    vertices: np.ndarray,
    normals: np.ndarray,
    level: np.ndarray,
    looks: colors.Looks,
    generator,
) -> list[Part]:
    """Both brows: the skin above the level's zero line, lifted a little and drawn as fine hairs."""
    near = (level[template.faces] > -0.05).any(1)
    faces, used = surfaces.compact(template.faces[near], len(level))
    points = vertices[used] + 0.012 * normals[used]
    rest, level = template.rest[used], level[used]
    for _ in range(1):
        faces, step = midpoints(faces, len(points))
        points, rest, level = step @ points, step @ rest, step @ level
    faces, _, step = surfaces.split_at_level(faces, level)
    points, rest, level = step @ points, step @ rest, step @ level
    faces = faces[level[faces].mean(1) > 0]
    parts = []
    for side, keep in (("left", rest[faces].mean(1)[:, 0] > 0), ("right", rest[faces].mean(1)[:, 0] < 0)):
        own, kept = surfaces.compact(faces[keep], len(points))
        slanted = rest[kept] @ np.array([[1, 0, 0], [0.45 * (1 if side == "left" else -1), 1, 0], [0, 0, 1]])
        grain = colors.waves(slanted * [7, 0.8, 1], generator, 0.25, 10) + 0.5 * generator.normal(
            size=len(kept)
        )
        color = looks.brow * (1 + 0.14 * grain[:, None])
        edge = np.clip(1 - level[kept] / 0.012, 0, 1)
        color = colors.mix(color, looks.skin * 0.8, 0.35 * edge)
        parts.append(make_part(f"{side}_brow", points[kept], own, labels.BROW, color, 0.9))
    return parts


def midpoints(faces: np.ndarray, count: int) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Each triangle in four, new vertices at the sides' middles: (4F, 3) faces, (V', V) matrix."""
    edges, sides = surfaces.edge_keys(faces)
    a, b, c = faces.T
    ab, bc, ca = (count + sides).T
    pieces = [np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    rows = np.arange(len(edges)).repeat(2)
    half = sparse.csr_matrix((np.full(len(rows), 0.5), (rows, edges.ravel())), shape=(len(edges), count))
    return np.stack(pieces, 1).reshape(-1, 3), sparse.vstack([sparse.identity(count), half]).tocsr()
