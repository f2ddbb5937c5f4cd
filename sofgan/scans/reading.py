"""Raw scans from files: OBJ, PLY, GLB, glTF, VRM and STL, whatever their parts, textures and colours."""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import trimesh

from sofgan.scans.gltf import read_gltf
from sofgan.scans.materials import CLEAR_BELOW, Beside, Material, material_of
from sofgan.scans.mesh_ops import subdivide
from sofgan.scans.ply import check_stl, known_names
from sofgan.scans.raw_parts import RawPart, ScanError, color_bytes, unique_names
from sofgan.scans.wavefront import read_obj

_UNCOLORED = (128, 128, 128)  # What a part shows that has neither colours nor a material, beside others.
# What trimesh calls a mesh that has no name.
_INVENTED = r"geometry(_\d+)?$"


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
        note: what is odd about the file, "" if nothing is.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part_of_face: np.ndarray
    part_names: tuple[tuple[str, ...], ...]
    corner_uv: np.ndarray | None
    corner_colors: np.ndarray | None
    materials: tuple[Material, ...] = ()
    clear: np.ndarray | None = None
    note: str = ""

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
    suffix, note = path.suffix.lower(), ""
    try:
        _check_beginning(path)
        if suffix == ".obj":
            parts, note = read_obj(path)
        elif suffix in (".glb", ".gltf", ".vrm"):
            parts = read_gltf(path)
        else:
            parts = _read_with_trimesh(path, suffix)
    except ScanError:
        raise
    except Exception as error:  # Parsers of foreign files raise anything at all.
        raise ScanError(f"can't be parsed: {_first_line(error)}") from error
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        raise ScanError("it has no faces")
    scan = _merge(parts, path, note)
    _check_vertices(scan)
    return scan


def _check_beginning(path: Path) -> None:
    """Refuse what downloads leave in place of a scan.

    Raises:
        ScanError: the file is empty, a web page or a pointer of Git LFS.
    """
    with path.open("rb") as file:
        beginning = file.read(256).lstrip().lower()
    if not beginning:
        raise ScanError("it is empty: copy or download it again")
    if beginning.startswith((b"<!doctype html", b"<html")):
        raise ScanError("it is a web page, not a scan: download the file that the page is about")
    if beginning.startswith(b"version https://git-lfs"):
        raise ScanError(
            "it is a pointer of Git LFS: `git lfs pull`, where it comes from, fetches the scan itself"
        )


def _read_with_trimesh(path: Path, suffix: str) -> list[RawPart]:
    """The parts of a PLY or an STL."""
    content = path.read_bytes()
    if suffix == ".ply":
        content = known_names(content)
    else:
        check_stl(content)
    # `process=False` keeps the file's own faces and vertices, in their order.
    scene = trimesh.load_scene(
        io.BytesIO(content),
        file_type=suffix[1:],
        resolver=Beside(path),
        process=False,
    )
    parts = []
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        if not isinstance(mesh, trimesh.Trimesh):
            continue
        names = (each for each in (str(node), str(name)) if not re.match(_INVENTED, each))
        vertices = trimesh.transform_points(mesh.vertices, transform)
        faces = np.asarray(mesh.faces, np.int64)
        _check_corners(vertices, faces)
        parts.append(
            RawPart(
                vertices,
                faces,
                unique_names(*names),
                _corner_uv(mesh),
                _corner_colors(mesh),
                material_of(mesh),
            )
        )
    if not any(len(part.faces) for part in parts) and any(
        isinstance(geometry, trimesh.PointCloud) for geometry in scene.geometry.values()
    ):
        raise ScanError("a point cloud: it has vertices but no faces")
    return parts


def _merge(parts: list[RawPart], path: Path, note: str) -> RawScan:
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    counts = [len(part.faces) for part in parts]
    uvs = [part.corner_uv for part in parts]
    colors = [part.corner_colors for part in parts]
    materials = tuple(part.material for part in parts)
    if any(uv is not None for uv in uvs):
        uvs = [np.full((count, 3, 2), np.nan) if uv is None else uv for uv, count in zip(uvs, counts)]
    clear = [
        np.full(count, material.opacity < CLEAR_BELOW)
        if color is None
        else color[..., 3].mean(1) < 255 * CLEAR_BELOW
        for count, material, color in zip(counts, materials, colors)
    ]
    # A file's own name is given to parts that have none; it is no name of a part.
    of_file = re.compile(rf"({re.escape(path.name)}|{re.escape(path.stem)})(_\d+)?$")
    return RawScan(
        np.concatenate([part.vertices for part in parts]).astype(np.float64),
        np.concatenate([part.faces + offset for part, offset in zip(parts, offsets)]),
        np.repeat(np.arange(len(parts)), counts),
        tuple(tuple(name for name in part.names if not of_file.match(name)) for part in parts),
        np.concatenate(uvs) if uvs[0] is not None else None,
        _merged_colors(colors, materials, counts),
        materials,
        np.concatenate(clear),
        note,
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
    kind = mesh.visual.kind
    if kind not in ("face", "vertex"):
        return None
    colors = mesh.visual.face_colors if kind == "face" else mesh.visual.vertex_colors
    raw = mesh.metadata.get("_ply_raw", {}).get(kind)
    channels = [name for name in ("red", "green", "blue", "alpha") if raw and name in raw["properties"]]
    if len(channels) >= 3:
        # trimesh takes all numbers with a point for 0..1, and drops the upper half of 16 bits.
        values = np.column_stack([np.asarray(raw["data"][name]).reshape(-1) for name in channels])
        if values.dtype != np.uint8 and len(values) == len(colors):
            colors = colors.copy()
            colors[:, : len(channels)] = color_bytes(values)
    colors = colors.astype(np.uint8)
    return np.repeat(colors[:, None], 3, axis=1) if kind == "face" else colors[mesh.faces]


def _check_corners(vertices: np.ndarray, faces: np.ndarray) -> None:
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ScanError("faces refer to vertices that are not there")


def _check_vertices(scan: RawScan) -> None:
    used = scan.vertices[scan.faces]
    if not np.isfinite(used).all():
        raise ScanError("some vertices are not finite numbers")
    if not used.any():
        raise ScanError("all vertices are zero: the file's data is lost; export it again")
    if np.ptp(used.reshape(-1, 3), axis=0).max() == 0:
        raise ScanError("all vertices are in one place")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
