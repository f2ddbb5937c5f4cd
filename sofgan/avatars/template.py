"""The bust that all avatars share: cut out of the base mesh, smoothed, and cut along the borders of its regions.

Everything here is computed once. A head is then `template.matrix @ morphed base vertices`: regions keep their faces
whatever the morph, so label borders are the same smooth curves on every head.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.interpolate import PchipInterpolator

from sofgan import labels
from sofgan.avatars import makehuman, surfaces

# All lengths are decimetres in the reference head's frame: chin at y = 6.44, top of the head at y = 8.57, tip of the
# nose at z = 1.67, pupils near (+-0.31, 7.49). The bust ends at this ball.
BUST_CENTER = np.array([0.0, 7.45, 0.45])
BUST_RADIUS = 2.75

# The face of the reference head, read off its front and side views.
_NOSE_HALF_WIDTH = PchipInterpolator(
    [7.02, 7.06, 7.10, 7.14, 7.18, 7.22, 7.28, 7.35, 7.43, 7.50],
    [0.11, 0.145, 0.166, 0.167, 0.155, 0.128, 0.102, 0.086, 0.072, 0.050],
)
_NOSE_BOTTOM = PchipInterpolator([0.0, 0.04, 0.08, 0.12, 0.17, 0.3], [7.045, 7.05, 7.06, 7.066, 7.075, 7.10])
_NOSE_TOP = 7.49
_JAW_HEIGHT = PchipInterpolator(
    [-1.2, -0.4, 0.0, 0.3, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0],
    [7.0, 7.0, 7.0, 7.0, 6.97, 6.84, 6.69, 6.56, 6.49, 6.455, 6.435, 6.42],
)

REFERENCE = {
    f"macrodetails/{kind}": 0.5
    for sex in ("female", "male")
    for kind in (f"caucasian-{sex}-young", f"universal-{sex}-young-averagemuscle-averageweight")
}


@dataclass(frozen=True)
class Template:
    """The shared bust.

    matrix (V, B) from base vertices to the bust's; faces (F, 3) int32; face_labels (F,) uint8; rest (V, 3) the
    reference head in decimetres; masks: name -> (V,) 0..1 of ears, lips, eyelids, inside-mouth;
    neighbours (V, V) neighbourhood means.
    """

    matrix: sparse.csr_matrix
    faces: np.ndarray
    face_labels: np.ndarray
    rest: np.ndarray
    masks: dict[str, np.ndarray]
    neighbours: sparse.csr_matrix

    @functools.cached_property
    def at_neck(self) -> np.ndarray:
        """(V,) whether a vertex belongs to the neck and shoulders."""
        result = np.zeros(len(self.rest), dtype=bool)
        result[self.faces[self.face_labels == labels.NECK]] = True
        return result


def morphed(weights: dict[str, float]) -> np.ndarray:
    """(B, 3) base vertices under weighted morph targets."""
    vertices = makehuman.base_mesh().vertices.copy()
    for name, weight in weights.items():
        if weight:
            index, displacement = makehuman.target(name)
            vertices[index] += weight * displacement
    return vertices


def _uv_masks(uvs: np.ndarray) -> dict[str, np.ndarray]:
    """Values 0..1 of the region masks in UV space at (K, 2) UVs, blurred a little so that levels are smooth."""
    masks = {}
    for name in ("ears", "lips", "eyelids", "inside-mouth"):
        with Image.open(makehuman.data_folder() / f"mpfb2/textures/mpfb_{name}.jpg") as image:
            image.draft("L", (1024, 1024))
            pixels = np.asarray(image.convert("L"), dtype=np.float32) / 255
        pixels = ndimage.gaussian_filter(pixels, pixels.shape[0] / 512)
        at = np.stack([(1 - uvs[:, 1]) * pixels.shape[0], uvs[:, 0] * pixels.shape[1]]) - 0.5
        masks[name] = ndimage.map_coordinates(pixels, at, order=1, mode="nearest")
    return masks


def _nose_level(points: np.ndarray) -> np.ndarray:
    """Positive on the nose: a half width for each height, down to the nostrils' base."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    sides = _NOSE_HALF_WIDTH(np.clip(y, 7.02, 7.50)) - x
    return np.minimum.reduce([sides, y - _NOSE_BOTTOM(np.minimum(x, 0.3)), _NOSE_TOP - y, z - 1.15])


def _neck_level(points: np.ndarray) -> np.ndarray:
    """Positive below the jaw and the nape."""
    return _JAW_HEIGHT(np.clip(points[:, 2], -1.2, 2.0)) - points[:, 1]


@functools.cache
def template() -> Template:
    """Build the shared bust (about half a second, once a process)."""
    base = makehuman.base_mesh()
    reference = morphed(REFERENCE)
    quads, uv_quads = base.groups["body"]
    near = np.linalg.norm(reference[quads].mean(1) - BUST_CENTER, axis=1) < BUST_RADIUS + 0.3
    quads, uv_quads = quads[near], uv_quads[near]
    in_mouth = _uv_masks(base.uvs[uv_quads].mean(1))["inside-mouth"] > 0.5
    # A vertex on a UV seam takes the seam side of a face outside the mouth.
    first_uv = np.zeros(len(base.vertices), dtype=np.int64)
    first_uv[quads[in_mouth]] = uv_quads[in_mouth]
    first_uv[quads[~in_mouth]] = uv_quads[~in_mouth]
    base_masks = _uv_masks(base.uvs[first_uv])
    opened = morphed({**REFERENCE, "faceunits/jawOpen": 1.0})

    smooth, fine_quads = surfaces.catmull_clark(quads, len(base.vertices))
    faces = surfaces.triangulate(fine_quads)
    mouth_face = in_mouth.repeat(8)
    faces, used = surfaces.compact(faces, smooth.shape[0])
    matrix = smooth[used]

    levels = (
        lambda m: BUST_RADIUS - np.linalg.norm(m @ reference - BUST_CENTER, axis=1),
        lambda m: m @ base_masks["ears"] - 0.5,
        lambda m: m @ base_masks["lips"] - 0.5,
        lambda m: _nose_level(m @ reference),
        lambda m: _neck_level(m @ reference),
    )
    for level in levels:
        faces, origin, step = surfaces.split_at_level(faces, level(matrix))
        matrix = (step @ matrix).tocsr()
        mouth_face = mouth_face[origin]

    def inside(level: np.ndarray) -> np.ndarray:
        return level[faces].mean(1) > 0

    bust, ears, lips, nose, neck = (inside(level(matrix)) for level in levels)
    rest = matrix @ reference
    corner = (matrix @ opened)[:, 1] - _mouth_corner_height(matrix @ opened, matrix @ base_masks["lips"])
    lip_label = np.where(inside(corner), labels.U_LIP, labels.L_LIP)
    nose_label = np.where(rest[faces].mean(1)[:, 0] < 0, labels.R_NOSE, labels.L_NOSE)
    face_labels = np.select(
        [mouth_face, lips, ears, nose, neck],
        [labels.MOUTH, lip_label, labels.EAR, nose_label, labels.NECK],
        labels.SKIN,
    ).astype(np.uint8)

    faces, face_labels = faces[bust], face_labels[bust]
    faces, used = surfaces.compact(faces, len(rest))
    matrix = matrix[used]
    return Template(
        matrix=matrix,
        faces=faces.astype(np.int32),
        face_labels=face_labels,
        rest=matrix @ reference,
        masks={name: np.clip(matrix @ values, 0, 1) for name, values in base_masks.items()},
        neighbours=surfaces.mean_neighbours(faces, len(used)),
    )


def _mouth_corner_height(points: np.ndarray, lips: np.ndarray) -> float:
    """Height of the mouth's corners with the jaw open: what lies above belongs to the upper lip."""
    rim = points[lips > 0.5]
    side = np.abs(rim[:, 0])
    return float(rim[side > np.quantile(side, 0.97), 1].mean())
