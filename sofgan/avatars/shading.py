"""Portrait shading: soft light from all around a head, with its own shadows, skin that scatters, wet eyes.

How much of each of a fixed set of directions a vertex sees is found once a head, by rendering it from
there. Any lighting is then a weighted sum (precomputed radiance transfer, Sloan et al. 2002, with plain
directions for a basis), so that a photo costs one rendering and some arithmetic.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse

from sofgan import cameras, labels
from sofgan.avatars.lighting import Lighting
from sofgan.avatars.parts import Part
from sofgan.cameras import Camera
from sofgan.images import to_linear
from sofgan.rendering.renderer import MeshRenderer, barycentric

_SKIN = (labels.SKIN, labels.R_NOSE, labels.L_NOSE, labels.U_LIP, labels.L_LIP, labels.EAR, labels.NECK)
# How far light spreads under skin, in smoothing steps of red, green and blue: red reaches furthest.
_SCATTER_STEPS = (6, 2, 1)
_SCATTER = 0.5
# Light from further below is weak and mostly kept off by the trunk: one value stands for all its shadows.
_LOWEST, _FROM_BELOW = -0.45, 0.4


def sphere_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    y = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - y * y)
    return np.stack([ring * np.cos(angle), y, ring * np.sin(angle)], -1)


@dataclass(frozen=True)
class Head:
    """One mesh of all parts, and what shading needs to know of each vertex.

    Attributes:
        vertices, faces, face_labels: (V, 3), (F, 3), (F,).
        place: (V,) vertices of the same place, such as those of two parts at their border, have one number.
        normals: (V, 3) unit, smooth across parts.
        albedo: (V, 3) linear RGB.
        roughness: (V,).
        is_skin, is_hair: (V,) bool.
        spread: (P, P) sparse over places: the mean of a skin place's skin neighbours, else the place itself.
        directions: (D, 3), for which
        visibility: (V, D) float32 says how much of each the vertex sees, 0 to 1.
        transfer: (V, D) float32, that times the cosine to the normal.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face_labels: np.ndarray
    place: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    roughness: np.ndarray
    is_skin: np.ndarray
    is_hair: np.ndarray
    spread: sparse.csr_matrix
    directions: np.ndarray
    visibility: np.ndarray
    transfer: np.ndarray


def make_head(parts: tuple[Part, ...], renderer: MeshRenderer, directions: np.ndarray) -> Head:
    """Merge an avatar's parts and find what each vertex sees; leaves the mesh loaded in `renderer`."""
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts]).astype(np.float64)
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets)])
    face_labels = np.concatenate([part.face_labels for part in parts])
    is_skin, is_hair = (
        _vertices_of(faces, face_labels, classes, len(vertices)) for classes in (_SKIN, (labels.HAIR,))
    )
    part = np.repeat(np.arange(len(parts)), [len(part.vertices) for part in parts])
    place = _weld(vertices)
    normals = _smooth_normals(vertices, faces, place)
    renderer.load(vertices, faces)
    visibility = _visibility(renderer, vertices, normals, directions)
    cosines = np.einsum("vk,dk->vd", normals.astype(np.float32), directions.astype(np.float32))
    sign = _facing_out(part, visibility, cosines)
    return Head(
        vertices=vertices,
        faces=faces,
        face_labels=face_labels,
        place=place,
        normals=normals * sign[:, None],
        albedo=to_linear(np.concatenate([part.vertex_colors for part in parts]) / 255.0),
        roughness=np.concatenate([np.full(len(part.vertices), part.roughness) for part in parts]),
        is_skin=is_skin,
        is_hair=is_hair,
        spread=_skin_neighbours(faces, place, is_skin),
        directions=directions,
        visibility=visibility,
        transfer=visibility * np.maximum(cosines * sign[:, None].astype(np.float32), 0),
    )


def _vertices_of(faces, face_labels, classes, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[faces[np.isin(face_labels, classes)]] = True
    return mask


def _weld(vertices: np.ndarray) -> np.ndarray:
    """(V,) number of each vertex's place: parts that share a border share it, to two micrometres."""
    grid = np.rint((vertices - vertices.min(0)) * 5e5).astype(np.int64)
    return np.unique((grid[:, 0] << 42) + (grid[:, 1] << 21) + grid[:, 2], return_inverse=True)[1]


def _smooth_normals(vertices, faces, welded) -> np.ndarray:
    corners = vertices[faces]
    area_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    places = welded[faces].reshape(-1)
    summed = np.stack(
        [np.bincount(places, np.repeat(area_normals[:, axis], 3), welded.max() + 1) for axis in range(3)], -1
    )
    return _unit(summed)[welded]


def _unit(vectors: np.ndarray) -> np.ndarray:
    squares = np.einsum("...k,...k->...", vectors, vectors)
    return vectors / np.sqrt(np.maximum(squares, 1e-24))[..., None]


def _skin_neighbours(faces, place, is_skin) -> sparse.csr_matrix:
    corner = place[faces[is_skin[faces].all(1)]]
    rows = corner[:, [0, 1, 1, 2, 2, 0]].reshape(-1)
    columns = corner[:, [1, 0, 2, 1, 0, 2]].reshape(-1)
    count = place.max() + 1
    links = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count)).tocsr()
    degree = np.asarray(links.sum(1)).reshape(-1)
    mean = sparse.diags(1 / np.maximum(degree, 1)) @ links
    return (mean + sparse.diags((degree == 0).astype(float))).tocsr()


def _visibility(renderer: MeshRenderer, vertices, normals, directions, size: int = 192) -> np.ndarray:
    centre = (vertices.min(0) + vertices.max(0)) / 2
    radius = np.sqrt(((vertices - centre) ** 2).sum(1).max())
    visible = np.full((len(vertices), len(directions)), _FROM_BELOW, np.float32)
    for index in np.flatnonzero(directions[:, 1] > _LOWEST):
        visible[:, index] = light_reaches(
            renderer, vertices, normals, centre, radius, directions[index], size
        )
    return visible


def light_reaches(
    renderer: MeshRenderer, points, normals, centre, radius, direction, size: int
) -> np.ndarray:
    """Share (N,) float32 of light from a direction that reaches points of a surface: 0 in shadow, 1 in the open.

    Args:
        renderer: with the mesh loaded that casts the shadows.
        points, normals: (N, 3); the sign of a normal doesn't matter.
        centre, radius: a ball around the mesh.
        direction: (3,) unit vector towards the light.
        size: pixels of the shadow map; its four nearest pixels are blended.
    """
    up = (0.0, 0.0, 1.0) if abs(direction[1]) > 0.9 else (0.0, 1.0, 0.0)
    cam2world = cameras.look_at(centre + 2 * radius * direction, centre, up)
    nearest = renderer.distance_map(cam2world, radius, size).reshape(-1)
    inside = (points - cam2world[:3, 3]) @ cam2world[:3, :3]
    x, y = ((inside[:, :2] / radius + 1) * (size / 2) - 0.5).T
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    fx, fy = (x - column).astype(np.float32), (y - row).astype(np.float32)
    # A pixel of the map covers a patch whose depth varies with its slope: less than that is no shadow.
    facing = np.abs(np.einsum("nk,k->n", normals, direction))
    slope = np.sqrt(np.maximum(1 - facing**2, 0)) / np.maximum(facing, 0.3)
    depth = (inside[:, 2] - 2 * radius / size * (0.4 + slope)).astype(np.float32)
    lit = np.zeros(len(points), np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            pixel = (row + dy).clip(0, size - 1) * size + (column + dx).clip(0, size - 1)
            lit += (nearest[pixel] > depth) * (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
    return lit


def _facing_out(part_of_vertex, visibility, cosines) -> np.ndarray:
    """(V,) 1 or -1: the sign that turns the normals of each part to where it is open to light.

    Garments and hair are sheets; which of their sides is the outer one is up to whoever wound them.
    """
    gain = (visibility * cosines).sum(1)
    per_part = np.bincount(part_of_vertex, gain)
    return np.where(per_part < 0, -1.0, 1.0)[part_of_vertex]


def shade(head: Head, visible: np.ndarray, camera: Camera, lighting: Lighting) -> np.ndarray:
    """Linear RGB (H, W, 3) of what a camera sees of a head; black where it sees none of it.

    Args:
        head: prepared by `make_head`.
        visible: (H, W) triangle numbers, rendered from `head.vertices` with this camera.
        camera: of arrays; `visible` says how large the picture is.
        lighting: where light comes from.
    """
    weights, _ = barycentric(visible, head.vertices, head.faces, camera)
    corners = head.faces[visible[visible >= 0]]
    diffuse = _scattered(head, lighting.irradiance(head.directions, head.transfer))
    lobes = np.array([light.lobe(head.directions) for light in lighting.lights]).reshape(
        -1, len(head.directions)
    )
    seen_lamps = np.einsum("vd,ld->vl", head.visibility, lobes)
    per_vertex = np.concatenate(
        [head.vertices, head.normals, head.albedo, diffuse, head.roughness[:, None], head.is_hair[:, None],
         seen_lamps],
        axis=1,
    ).astype(np.float32)  # fmt: skip
    point = np.einsum("nk,nkc->nc", weights.astype(np.float32), per_vertex[corners])
    position, normal, albedo, diffuse = (point[:, 3 * i : 3 * i + 3] for i in range(4))
    roughness, hair, lamps = point[:, 12], point[:, 13], point[:, 14:]
    to_camera = _unit(camera.cam2world[:3, 3].astype(np.float32) - position)
    normal = _unit(normal)
    # Sheets of hair and cloth are seen from behind too.
    normal = np.where(_dot(normal, to_camera)[:, None] < 0, -normal, normal)
    hairy = np.flatnonzero(hair > 0)
    albedo[hairy] *= (1 + hair[hairy] * _strands(position[hairy]))[:, None]
    color = albedo * diffuse
    for index, light in enumerate(lighting.lights):
        shine = _specular(normal, to_camera, light, roughness)
        color += (shine * lamps[:, index] * (1 - hair))[:, None] * light.color.astype(np.float32)
        if len(hairy):
            seen = (lamps[:, index] * hair)[hairy, None]
            shine = _hair_shine(position[hairy], normal[hairy], to_camera[hairy], albedo[hairy], light)
            color[hairy] += seen * shine
    image = np.zeros((*visible.shape, 3))
    image[visible >= 0] = color
    return image


def _scattered(head: Head, irradiance: np.ndarray) -> np.ndarray:
    """Irradiance (V, 3) after light has spread under the skin, red furthest."""
    count = head.spread.shape[0]
    size = np.bincount(head.place, minlength=count)
    result = irradiance.copy()
    for channel, steps in enumerate(_SCATTER_STEPS):
        light = np.bincount(head.place, irradiance[:, channel], count) / size
        for _ in range(steps):
            light = (1 - _SCATTER) * light + _SCATTER * (head.spread @ light)
        result[:, channel] = np.where(head.is_skin, light[head.place], irradiance[:, channel])
    return result


def _specular(normal, to_camera, light, roughness) -> np.ndarray:
    """Mirror-like reflection (N,) of a lamp: GGX with Schlick's Fresnel term and Smith-like shadowing."""
    direction = light.direction.astype(np.float32)
    half = _unit(to_camera + direction)
    nl = np.maximum(_dot(normal, direction), 0)
    nv = np.maximum(_dot(normal, to_camera), 1e-3)
    nh = np.maximum(_dot(normal, half), 0)
    vh = np.maximum(_dot(to_camera, half), 0)
    smooth = roughness * roughness
    alpha2 = smooth * smooth + 0.25 / light.sharpness  # A wide lamp has a wide reflection.
    spread = nh * nh * (alpha2 - 1) + 1
    density = alpha2 / (np.pi * spread * spread)
    grazing = 1 - vh
    fresnel = 0.028 + 0.972 * grazing * (grazing * grazing) ** 2
    k = np.sqrt(alpha2) / 2
    shadowing = 1 / ((nl * (1 - k) + k) * (nv * (1 - k) + k))
    return np.pi / 4 * density * fresnel * shadowing * nl


@cache
def _strand_table() -> np.ndarray:
    return np.random.default_rng(7).normal(size=(256, 1024))


def _strands(position: np.ndarray) -> np.ndarray:
    """Relative brightness (N,) of strands: noise that is fine around the head and long down from the crown."""
    turn = np.arctan2(position[:, 0], position[:, 2]) / (2 * np.pi) % 1
    noise = 0.0
    for per_turn, per_unit, strength in ((160, 12.0, 0.16), (48, 6.0, 0.14)):
        along = position[:, 1] * per_unit + 40.5
        noise = noise + strength * _table_noise(turn * per_turn, along, per_turn)
    return np.clip(noise, -0.6, 0.8)


def _table_noise(x: np.ndarray, y: np.ndarray, period: int) -> np.ndarray:
    """Smooth noise (N,), periodic in x."""
    table = _strand_table()
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - column, y - row
    left, right = column % period, (column + 1) % period
    top, bottom = row % len(table), (row + 1) % len(table)
    upper = table[top, left] * (1 - fx) + table[top, right] * fx
    lower = table[bottom, left] * (1 - fx) + table[bottom, right] * fx
    return upper * (1 - fy) + lower * fy


def _hair_shine(position, normal, to_camera, albedo, light) -> np.ndarray:
    """Highlights (N, 3) along strands that run down from the crown (Kajiya and Kay 1989), one in hair's colour."""
    direction, color = light.direction.astype(np.float32), light.color.astype(np.float32)
    flow = position * np.float32([0.4, 0, 0.4]) - np.float32([0, 0.1, 0])
    strand = _unit(flow - _dot(flow, normal)[:, None] * normal)
    half = _unit(to_camera + direction)
    facing = np.clip(_dot(normal, direction) + 0.3, 0, 1)
    along, across = _dot(strand, half), _dot(normal, half)
    shine = 0.0
    for shift, exponent, tint in ((-0.08, 90.0, 0.10), (0.12, 25.0, 0.6 * albedo)):
        # The strand is tilted towards the normal by `shift`, which moves the highlight along it.
        cosine = (along + shift * across) / (1 + shift * shift) ** 0.5
        shine = shine + (np.maximum(1 - cosine * cosine, 0) ** (exponent / 2) * facing)[:, None] * tint
    return shine * color


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...k,...k->...", a, b)
