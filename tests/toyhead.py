"""A head of a few spheres, 0.2 m high, written as every kind of scan that ingestion reads."""

import numpy as np
import trimesh
from PIL import Image

from sofgan import labels

# Name, class, centre and radii in metres.
PARTS = (
    ("Skin", labels.SKIN, (0, 0, 0), (0.08, 0.1, 0.09)),
    ("Left_Eye", labels.EYE, (0.03, 0.02, 0.085), (0.012, 0.012, 0.012)),
    ("Right_Eye", labels.EYE, (-0.03, 0.02, 0.085), (0.012, 0.012, 0.012)),
    ("Nose", labels.R_NOSE, (0, -0.01, 0.095), (0.012, 0.02, 0.02)),
    ("Upper_Lip", labels.U_LIP, (0, -0.045, 0.085), (0.02, 0.006, 0.008)),
    ("Lower_Lip", labels.L_LIP, (0, -0.057, 0.085), (0.02, 0.006, 0.008)),
    ("Hair", labels.HAIR, (0, 0.045, -0.02), (0.09, 0.08, 0.09)),
    ("Shirt", labels.CLOTH, (0, -0.22, 0), (0.2, 0.1, 0.1)),
)
CLASSES = {part[1] for part in PARTS} | {labels.L_NOSE}


def parts(subdivisions: int = 3) -> list[tuple[str, int, trimesh.Trimesh]]:
    """Name, class and mesh of each part."""
    made = []
    for name, label, centre, radii in PARTS:
        mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
        mesh.apply_transform(np.diag([*radii, 1.0]))
        mesh.apply_translation(centre)
        made.append((name, label, mesh))
    return made


def merged(subdivisions: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and face labels of all parts."""
    vertices, faces, face_labels, offset = [], [], [], 0
    for _, label, mesh in parts(subdivisions):
        vertices.append(mesh.vertices)
        faces.append(mesh.faces + offset)
        face_labels.append(np.full(len(mesh.faces), label, np.uint8))
        offset += len(mesh.vertices)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(face_labels)


def write_glb(path) -> None:
    """One named mesh a part."""
    scene = trimesh.Scene()
    for name, _, mesh in parts():
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    path.write_bytes(scene.export(file_type=path.suffix[1:]))


def write_obj(path, key="usemtl") -> None:
    """Parts told apart by `usemtl`, `o` or `g` lines; the MTL file that it names is missing."""
    lines, offset = ["mtllib nowhere.mtl"], 1
    for name, _, mesh in parts():
        lines += ["v {:.9g} {:.9g} {:.9g}".format(*vertex) for vertex in mesh.vertices]
        lines += [f"{key} {name}"] + ["f {} {} {}".format(*face) for face in mesh.faces + offset]
        offset += len(mesh.vertices)
    path.write_text("\n".join(lines))


def write_stl(path) -> None:
    """ASCII STL, one named solid a part."""
    lines = []
    for name, _, mesh in parts():
        lines.append(f"solid {name}")
        for triangle in mesh.triangles:
            lines += ["facet normal 0 0 0", "outer loop"]
            lines += ["vertex {:.9g} {:.9g} {:.9g}".format(*corner) for corner in triangle]
            lines += ["endloop", "endfacet"]
        lines.append(f"endsolid {name}")
    path.write_text("\n".join(lines))


def colored(kind: str, shift: int = 0) -> trimesh.Trimesh:
    """The whole head in palette colours, of its faces or its vertices, each channel off by `shift`."""
    vertices, faces, face_labels = merged()
    colors = np.clip(labels.PALETTE[face_labels].astype(int) + shift, 0, 255).astype(np.uint8)
    if kind == "face":
        return trimesh.Trimesh(vertices, faces, face_colors=colors, process=False)
    vertex_colors = np.zeros((len(vertices), 3), np.uint8)
    vertex_colors[faces] = colors[:, None]
    return trimesh.Trimesh(vertices, faces, vertex_colors=vertex_colors, process=False)


def write_textured_obj(path, shift: int = 0) -> None:
    """An OBJ whose texture coordinates point into an atlas of one cell a class, and that atlas."""
    vertices, faces, face_labels = merged()
    cell = 8
    atlas = np.repeat(np.repeat(labels.PALETTE[None], cell, 0), cell, 1).astype(int) + shift
    Image.fromarray(atlas.clip(0, 255).astype(np.uint8)).save(path.with_name(f"{path.stem}_seg.png"))
    lines = ["v {:.9g} {:.9g} {:.9g}".format(*vertex) for vertex in vertices]
    for label in range(labels.NUM_CLASSES):
        lines += [
            f"vt {(label + u) / labels.NUM_CLASSES} {v}" for u, v in ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9))
        ]
    for face, label in zip(faces + 1, face_labels):
        lines.append("f " + " ".join(f"{v}/{3 * label + k + 1}" for k, v in enumerate(face)))
    path.write_text("\n".join(lines))


# Colours that are none of the palette's, of hues as far apart as can be: shading doesn't change a hue.
_HUED = (labels.SKIN, labels.EYE, labels.R_NOSE, labels.U_LIP, labels.L_LIP, labels.HAIR, labels.CLOTH)
HUES = np.array(
    [
        (200, 60, 60),
        (60, 60, 200),
        (60, 200, 60),
        (190, 190, 50),
        (190, 50, 190),
        (50, 190, 190),
        (205, 125, 45),
    ]
)


def unlabelled(matrix=None, keep=None) -> trimesh.Trimesh:
    """The head as one mesh without names, its vertices in `HUES`, moved by `matrix` (4, 4).

    Of its triangles those stay whose middles (F, 3) `keep` marks.
    """
    vertices, faces, face_labels = merged(2)
    kept = slice(None) if keep is None else keep(vertices[faces].mean(1))
    color_of = np.zeros((labels.NUM_CLASSES, 3), np.uint8)
    color_of[list(_HUED)] = HUES
    colors = np.zeros((len(vertices), 3), np.uint8)
    colors[faces] = color_of[face_labels][:, None]
    vertices = vertices if matrix is None else trimesh.transform_points(vertices, matrix)
    return trimesh.Trimesh(vertices, faces[kept], vertex_colors=colors, process=False)


class Oracle:
    """A parser that knows the classes of `HUES`, and is unsure where they mix."""

    size = 64
    of_shape = None

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        """(N, 17, S, S) float32 of photos (N, S, S, 3)."""
        hue = photos.reshape(-1, 3) / np.linalg.norm(photos, axis=-1).clip(1).reshape(-1, 1)
        known = HUES / np.linalg.norm(HUES, axis=-1, keepdims=True)
        distance_squared = 2 - 2 * hue @ known.T
        probabilities = np.zeros((*photos.shape[:3], labels.NUM_CLASSES), np.float32)
        probabilities[..., labels.BACKGROUND] = 0.02
        probabilities[..., _HUED] = np.exp(-distance_squared / 0.15**2).reshape(*photos.shape[:3], -1)
        probabilities /= probabilities.sum(-1, keepdims=True)
        return np.moveaxis(probabilities, -1, 1)
