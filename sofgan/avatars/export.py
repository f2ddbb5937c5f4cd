"""Avatars as the raw scans that users have: a GLB with named parts, or an OBJ with a segmentation texture."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import trimesh

from sofgan import labels
from sofgan.avatars.parts import Avatar, Part
from sofgan.files import write_bytes, write_png

_CELL = 2  # texels along a face's own square of the atlas
_LARGEST_TEXTURE = 1024


def write_glb(avatar: Avatar, path: str | os.PathLike) -> None:
    """Write one node and mesh a part, named as the part, coloured at its vertices."""
    scene = trimesh.Scene()
    for part in avatar.parts:
        mesh = trimesh.Trimesh(part.vertices, part.faces, vertex_colors=_rgba(part), process=False)
        scene.add_geometry(mesh, node_name=part.name, geom_name=part.name)
    write_bytes(path, scene.export(file_type="glb"))


def write_obj(avatar: Avatar, folder: str | os.PathLike, name: str) -> None:
    """Write `name`.obj, .mtl, .png (colour) and _seg.png (label colours of `sofgan.labels.PALETTE`).

    One mesh, no part names: the labels are in the segmentation texture alone. Each face has its own 2x2 texels
    in both textures, its corners at three of their centres, so that colours are interpolated exactly and any
    point of the face reads its label.
    """
    folder = Path(folder)
    offsets = np.cumsum([0] + [len(part.vertices) for part in avatar.parts])
    vertices = np.concatenate([part.vertices for part in avatar.parts])
    faces = np.concatenate([part.faces + offset for part, offset in zip(avatar.parts, offsets)])
    colors = np.concatenate([part.vertex_colors for part in avatar.parts]).astype(np.int16)
    classes = np.concatenate([part.face_labels for part in avatar.parts])

    size = _texture_size(len(faces))
    per_row = size // _CELL
    row, column = np.divmod(np.arange(len(faces)), per_row)
    texture = np.zeros((size, size, 3), np.uint8)
    segmentation = np.zeros((size, size, 3), np.uint8)
    a, b, c = (colors[faces[:, k]] for k in range(3))
    corners = {(0, 0): a, (0, 1): b, (1, 0): c, (1, 1): b + c - a}
    for (down, right), value in corners.items():
        at = (row * _CELL + down, column * _CELL + right)
        texture[at] = np.clip(value, 0, 255)
        segmentation[at] = labels.PALETTE[classes]

    write_png(folder / f"{name}.png", texture)
    write_png(folder / f"{name}_seg.png", segmentation)
    material = f"newmtl avatar\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nmap_Kd {name}.png\n"
    write_bytes(folder / f"{name}.mtl", material.encode())
    write_bytes(folder / f"{name}.obj", _obj_text(name, vertices, faces, row, column, size).encode())


def _texture_size(n_faces: int) -> int:
    size = 64
    while (size // _CELL) ** 2 < n_faces:
        size *= 2
    if size > _LARGEST_TEXTURE:
        raise ValueError(
            f"{n_faces} faces don't fit a {_LARGEST_TEXTURE} pixel texture at {_CELL}x{_CELL} texels each"
        )
    return size


def _obj_text(name: str, vertices, faces, row, column, size: int) -> str:
    """The OBJ: texture corners are shared by the faces whose texel they are, so three a face."""
    corner = np.stack([np.stack([row * _CELL, row * _CELL, row * _CELL + 1], 1),
                       np.stack([column * _CELL, column * _CELL + 1, column * _CELL], 1)], -1)  # fmt: skip
    # Four decimals are a fortieth of a texel; half of the file is texture corners.
    ticks = [f"{(k + 0.5) / size:.4f}".lstrip("0") for k in range(size)]
    u = [ticks[k] for k in corner[..., 1].ravel()]
    v = [ticks[size - 1 - k] for k in corner[..., 0].ravel()]
    lines = [f"mtllib {name}.mtl", "usemtl avatar"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices.tolist()]
    lines += [f"vt {x} {y}" for x, y in zip(u, v)]
    lines += [
        f"f {i}/{k} {j}/{k + 1} {l}/{k + 2}"
        for (i, j, l), k in zip((faces + 1).tolist(), range(1, 3 * len(faces) + 1, 3))
    ]
    return "\n".join(lines) + "\n"


def _rgba(part: Part) -> np.ndarray:
    return np.c_[part.vertex_colors, np.full(len(part.vertices), round(255 * part.opacity), np.uint8)]
