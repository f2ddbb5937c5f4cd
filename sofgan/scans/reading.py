"""Raw scans from files: OBJ, PLY, GLB, glTF and STL, whatever their parts, textures and colours."""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh

from sofgan.scans.cutting import subdivide

FORMATS = (".obj", ".ply", ".glb", ".gltf", ".stl")


class ScanError(ValueError):
    """A scan can't be used; the message is the reason that the user reads."""


@dataclass(frozen=True)
class RawScan:
    """All triangles of a file, in the file's own axes and unit.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64.
        part_of_face: (F,) int64, index into `part_names`.
        part_names: for each part the names it goes by: of its object, group, node, mesh and material.
        corner_uv: (F, 3, 2) float64 texture coordinates (origin at the image's lower left), or None.
        corner_colors: (F, 3, 3) uint8 colours of vertices or faces, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part_of_face: np.ndarray
    part_names: tuple[tuple[str, ...], ...]
    corner_uv: np.ndarray | None
    corner_colors: np.ndarray | None

    def select(self, keep: np.ndarray) -> "RawScan":
        """The scan with only the faces that `keep` (F,) marks."""
        uv = None if self.corner_uv is None else self.corner_uv[keep]
        colors = None if self.corner_colors is None else self.corner_colors[keep]
        return RawScan(self.vertices, self.faces[keep], self.part_of_face[keep], self.part_names, uv, colors)

    def welded(self) -> "RawScan":
        """The scan with one vertex a place: files repeat vertices where texture coordinates jump."""
        places, index = np.unique(self.vertices, axis=0, return_inverse=True)
        return replace(self, vertices=places, faces=index.reshape(-1)[self.faces])

    def subdivided(self, marked: np.ndarray) -> "RawScan":
        """The scan with the marked (F,) triangles divided into four, and their neighbours to fit."""
        vertices, faces, origin, weights = subdivide(self.vertices, self.faces, marked)
        uv = None if self.corner_uv is None else weights @ self.corner_uv[origin]
        # Colours stay whole numbers: a new corner takes the colour of the old one it is nearest to.
        colors = self.corner_colors
        if colors is not None:
            colors = np.take_along_axis(colors[origin], weights.argmax(-1)[..., None], 1)
        return RawScan(vertices, faces, self.part_of_face[origin], self.part_names, uv, colors)


def read_scan(path: Path) -> RawScan:
    """Read one scan.

    Raises:
        ScanError: the file can't be parsed, or holds no usable triangles.
    """
    try:
        scene = _load(path)
    except Exception as error:  # Parsers of foreign files raise anything at all.
        raise ScanError(f"can't be parsed: {_first_line(error)}") from error
    parts = [
        (scene.geometry[geometry], transform, _names(scene.geometry[geometry], node, geometry, path))
        for node, (transform, geometry) in (
            (node, scene.graph[node]) for node in sorted(scene.graph.nodes_geometry)
        )
    ]
    meshes = [part for part in parts if isinstance(part[0], trimesh.Trimesh) and len(part[0].faces)]
    if not meshes:
        if any(isinstance(part[0], trimesh.PointCloud) for part in parts):
            raise ScanError("a point cloud: it has vertices but no faces")
        raise ScanError("it has no faces")
    scan = _merge(meshes)
    _check_vertices(scan)
    return scan


def _load(path: Path) -> trimesh.Scene:
    # `process=False` keeps the file's own faces and vertices, in their order.
    if path.suffix.lower() == ".obj":
        text = path.read_bytes().decode("utf-8", errors="replace")
        return trimesh.load_scene(
            io.BytesIO(_materials_as_objects(text).encode()),
            file_type="obj",
            process=False,
            split_objects=True,
            group_material=False,
            skip_materials=True,
        )
    return trimesh.load_scene(path, process=False)


def _materials_as_objects(text: str) -> str:
    """An OBJ whose objects are named "object|group|material".

    trimesh forgets the name of a material whose MTL file is missing, and the name of a group; scans often
    carry their semantics in just these.
    """
    current = {"o": "", "g": "", "usemtl": ""}

    def rename(line: re.Match) -> str:
        if line[1] == "mtllib":
            return ""
        current[line[1]] = line[2].strip()
        return "o " + "|".join(current.values())

    return re.sub(r"^[ \t]*(o|g|usemtl|mtllib)\b(.*)$", rename, text, flags=re.MULTILINE)


def _names(mesh, node: str, geometry: str, path: Path) -> tuple[str, ...]:
    material = getattr(getattr(mesh.visual, "material", None), "name", None) or ""
    names = [name for text in (node, geometry, material) for name in str(text).split("|")]
    # trimesh calls what has no name after the file, or "geometry_0"; that is no name of a part.
    invented = re.compile(rf"({re.escape(path.name)}|{re.escape(path.stem)}|geometry)(_\d+)?$")
    return tuple(dict.fromkeys(name for name in names if name and not invented.match(name)))


def _merge(parts: list) -> RawScan:
    vertices, faces, part_of_face, names, uvs, colors = [], [], [], [], [], []
    offset = 0
    for index, (mesh, transform, part_names) in enumerate(parts):
        points = trimesh.transform_points(mesh.vertices, transform)
        vertices.append(points)
        faces.append(np.asarray(mesh.faces, np.int64) + offset)
        offset += len(points)
        part_of_face.append(np.full(len(mesh.faces), index, np.int64))
        names.append(part_names)
        uvs.append(_corner_uv(mesh))
        colors.append(_corner_colors(mesh))
    has_uv, has_colors = (all(item is not None for item in items) for items in (uvs, colors))
    return RawScan(
        np.concatenate(vertices).astype(np.float64),
        np.concatenate(faces),
        np.concatenate(part_of_face),
        tuple(names),
        np.concatenate(uvs) if has_uv else None,
        np.concatenate(colors) if has_colors else None,
    )


def _corner_uv(mesh: trimesh.Trimesh) -> np.ndarray | None:
    uv = getattr(mesh.visual, "uv", None)
    if uv is None or len(uv) != len(mesh.vertices):
        return None
    return np.asarray(uv, np.float64)[mesh.faces, :2]


def _corner_colors(mesh: trimesh.Trimesh) -> np.ndarray | None:
    visual = mesh.visual
    if visual.kind == "face":
        return np.repeat(visual.face_colors[:, None, :3], 3, axis=1).astype(np.uint8)
    if visual.kind == "vertex":
        return visual.vertex_colors[mesh.faces, :3].astype(np.uint8)
    # A glTF mesh may have both a texture and colours; trimesh keeps the latter as an attribute.
    attribute = mesh.vertex_attributes.get("color", getattr(visual, "vertex_attributes", {}).get("color"))
    if attribute is None or len(attribute) != len(mesh.vertices):
        return None
    return trimesh.visual.color.to_rgba(attribute)[mesh.faces, :3].astype(np.uint8)


def _check_vertices(scan: RawScan) -> None:
    used = scan.vertices[scan.faces]
    if not np.isfinite(used).all():
        raise ScanError("some vertices are not finite numbers")
    if not used.any():
        raise ScanError(
            "all vertices are zero: probably Draco-compressed; export without compression or install DracoPy"
        )
    if np.ptp(used.reshape(-1, 3), axis=0).max() == 0:
        raise ScanError("all vertices are in one place")
    if scan.faces.min() < 0:
        raise ScanError("faces refer to vertices that are not there")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
