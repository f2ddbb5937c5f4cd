"""Raw scans from files: OBJ, PLY, GLB, glTF and STL, whatever their parts, textures and colours."""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh

from sofgan.errors import UserError
from sofgan.scans.cutting import subdivide
from sofgan.scans.materials import CLEAR_BELOW, Beside, Material, material_of, read_obj_materials

_UNCOLORED = (128, 128, 128)  # What a part shows that has neither colours nor a material, beside others.


class ScanError(UserError, ValueError):
    """A scan can't be used; the message is the reason that the user reads."""


@dataclass(frozen=True)
class RawScan:
    """All triangles of a file, in the file's own axes and unit.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64.
        part_of_face: (F,) int64, index into `part_names`.
        part_names: for each part the names it goes by: of its object, group, node, mesh and material.
        corner_uv: (F, 3, 2) float64 texture coordinates (origin at the image's lower left), NaN where a part
            has none, or None.
        corner_colors: (F, 3, 3) uint8 colours of vertices or faces, or None.
        materials: how each part looks where `corner_colors` don't say.
        clear: (F,) bool, triangles that one sees through, such as lenses, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part_of_face: np.ndarray
    part_names: tuple[tuple[str, ...], ...]
    corner_uv: np.ndarray | None
    corner_colors: np.ndarray | None
    materials: tuple[Material, ...] = ()
    clear: np.ndarray | None = None

    def select(self, keep: np.ndarray) -> "RawScan":
        """The scan with only the faces that `keep` (F,) marks."""
        return self._with_faces(self.vertices, self.faces[keep], np.flatnonzero(keep))

    def welded(self) -> "RawScan":
        """The scan with one vertex a place: files repeat vertices where texture coordinates jump."""
        places, index = np.unique(self.vertices, axis=0, return_inverse=True)
        return replace(self, vertices=places, faces=index.reshape(-1)[self.faces])

    def subdivided(self, marked: np.ndarray) -> "RawScan":
        """The scan with the marked (F,) triangles divided into four, and their neighbours to fit."""
        vertices, faces, origin, weights = subdivide(self.vertices, self.faces, marked)
        divided = self._with_faces(vertices, faces, origin)
        if self.corner_uv is not None:
            divided = replace(divided, corner_uv=weights @ self.corner_uv[origin])
        # Colours stay whole numbers: a new corner takes the colour of the old one it is nearest to.
        if self.corner_colors is not None:
            colors = np.take_along_axis(self.corner_colors[origin], weights.argmax(-1)[..., None], 1)
            divided = replace(divided, corner_colors=colors)
        return divided

    def _with_faces(self, vertices: np.ndarray, faces: np.ndarray, origin: np.ndarray) -> "RawScan":
        """Other faces that look as those of this scan whose numbers are `origin`."""
        per_face = {"part_of_face": self.part_of_face[origin], "vertices": vertices, "faces": faces}
        for name in ("corner_uv", "corner_colors", "clear"):
            values = getattr(self, name)
            per_face[name] = None if values is None else values[origin]
        return replace(self, **per_face)


def read_scan(path: Path) -> RawScan:
    """Read one scan.

    Raises:
        ScanError: the file can't be parsed, or holds no usable triangles.
    """
    try:
        scene, library = _load(path)
    except Exception as error:  # Parsers of foreign files raise anything at all.
        raise ScanError(f"can't be parsed: {_first_line(error)}") from error
    parts = [
        _Part(
            scene.geometry[geometry],
            transform,
            _names(scene.geometry[geometry], node, geometry, path),
            geometry.rpartition("|")[2],  # See `_materials_as_objects`.
        )
        for node, (transform, geometry) in (
            (node, scene.graph[node]) for node in sorted(scene.graph.nodes_geometry)
        )
    ]
    meshes = [part for part in parts if isinstance(part.mesh, trimesh.Trimesh) and len(part.mesh.faces)]
    if not meshes:
        if any(isinstance(part.mesh, trimesh.PointCloud) for part in parts):
            raise ScanError("a point cloud: it has vertices but no faces")
        raise ScanError("it has no faces")
    scan = _merge(meshes, library)
    _check_vertices(scan)
    return scan


@dataclass(frozen=True)
class _Part:
    mesh: trimesh.Trimesh
    transform: np.ndarray
    names: tuple[str, ...]
    material: str  # of an OBJ's part


def _load(path: Path) -> tuple[trimesh.Scene, dict[str, Material] | None]:
    """The file's meshes, and of an OBJ its materials, which trimesh would read worse."""
    # `process=False` keeps the file's own faces and vertices, in their order.
    if path.suffix.lower() == ".obj":
        text = path.read_bytes().decode("utf-8", errors="replace")
        scene = trimesh.load_scene(
            io.BytesIO(_materials_as_objects(text).encode()),
            file_type="obj",
            process=False,
            split_objects=True,
            group_material=False,
            skip_materials=True,
        )
        return scene, read_obj_materials(path, text)
    return trimesh.load_scene(path, process=False, resolver=Beside(path)), None


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


def _merge(parts: list[_Part], library: dict[str, Material] | None) -> RawScan:
    vertices, faces, offset = [], [], 0
    for part in parts:
        points = trimesh.transform_points(part.mesh.vertices, part.transform)
        vertices.append(points)
        faces.append(np.asarray(part.mesh.faces, np.int64) + offset)
        offset += len(points)
    counts = [len(part) for part in faces]
    uvs = [_corner_uv(part.mesh) for part in parts]
    colors = [_corner_colors(part.mesh) for part in parts]
    materials = tuple(material_of(part.mesh, part.material, library) for part in parts)
    if any(uv is not None for uv in uvs):
        uvs = [np.full((count, 3, 2), np.nan) if uv is None else uv for uv, count in zip(uvs, counts)]
    clear = [
        np.full(count, material.opacity < CLEAR_BELOW)
        if color is None
        else color[..., 3].mean(1) < 255 * CLEAR_BELOW
        for count, material, color in zip(counts, materials, colors)
    ]
    return RawScan(
        np.concatenate(vertices).astype(np.float64),
        np.concatenate(faces),
        np.repeat(np.arange(len(parts)), counts),
        tuple(part.names for part in parts),
        np.concatenate(uvs) if uvs[0] is not None else None,
        _merged_colors(colors, materials, counts),
        materials,
        np.concatenate(clear),
    )


def _merged_colors(colors, materials, counts) -> np.ndarray | None:
    """(F, 3, 3) uint8; parts that have no colours beside others that have some get their materials'."""
    if all(color is None for color in colors):
        return None
    return np.concatenate(
        [
            np.full((count, 3, 3), material.color or _UNCOLORED, np.uint8)
            if color is None
            else color[..., :3]
            for color, material, count in zip(colors, materials, counts)
        ]
    )


def _corner_uv(mesh: trimesh.Trimesh) -> np.ndarray | None:
    uv = getattr(mesh.visual, "uv", None)
    if uv is None or len(uv) != len(mesh.vertices):
        return None
    return np.asarray(uv, np.float64)[mesh.faces, :2]


def _corner_colors(mesh: trimesh.Trimesh) -> np.ndarray | None:
    """(F, 3, 4) uint8 RGBA, or None."""
    visual = mesh.visual
    if visual.kind == "face":
        return np.repeat(visual.face_colors[:, None], 3, axis=1).astype(np.uint8)
    if visual.kind == "vertex":
        return visual.vertex_colors[mesh.faces].astype(np.uint8)
    # A glTF mesh may have both a texture and colours; trimesh keeps the latter as an attribute.
    attribute = mesh.vertex_attributes.get("color", getattr(visual, "vertex_attributes", {}).get("color"))
    if attribute is None or len(attribute) != len(mesh.vertices):
        return None
    return trimesh.visual.color.to_rgba(attribute)[mesh.faces].astype(np.uint8)


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
