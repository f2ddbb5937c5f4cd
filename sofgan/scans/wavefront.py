"""Scans from Wavefront OBJ files, as many programs write them."""

import codecs
import re
from pathlib import Path

import numpy as np

from sofgan.scans.materials import Material, read_obj_materials
from sofgan.scans.raw_parts import RawPart, ScanError, color_bytes, unique_names

# Share of vertices that no face uses from which a file is suspected to lack faces: a report says so.
_MANY_UNUSED = 0.2


def read_obj(path: Path) -> tuple[list[RawPart], str]:
    """The parts of a file, one for each object, group and material, sorted by these names; and what is odd about it.

    Numbers may be separated by any white space, lines end in any way or go on after a backslash, and faces may
    count vertices from the end. Polygons are divided into triangles around their first corner.

    Raises:
        ScanError: there are no faces, numbers can't be read, faces name vertices that are not there, or the file
            ends in the middle of a line.
    """
    text = _text(path)
    found = _Lines(text)
    if not found.polygons:
        raise ScanError(_no_faces(len(found.rows["v"]), found.cut))
    if found.cut:
        raise ScanError(
            "can't be parsed: the file is cut off: it ends in the middle of a line, and faces are missing"
        )
    rows = _numbers(found.rows["v"], "v")
    if rows.shape[1] < 3:
        raise ScanError("can't be parsed: a vertex (`v`) has fewer than three numbers")
    corners, sizes = _corners(found.polygons)
    polygons = _fans(sizes)
    faces, uv_faces = corners[polygons, 0], corners[polygons, 1]
    if faces.max() > len(rows) or faces.min() < 1:
        wrong = int(faces.max() if faces.max() > len(rows) else faces.min())
        raise ScanError(
            f"faces refer to vertices that are not there (number {wrong} of {len(rows)}): the file is cut off, or "
            "damaged"
        )
    faces = faces - 1
    part_of_face = np.repeat(np.array(found.part_ids), sizes - 2)
    uv = _uv(found.rows["vt"], uv_faces)
    materials = read_obj_materials(path, text)
    colors = color_bytes(rows[:, 3:6]) if rows.shape[1] >= 6 else None
    parts = []
    for key in sorted(found.parts, key="|".join):
        own = part_of_face == found.parts[key]
        if not own.any():
            continue
        material = _material(key[2], materials)
        part_uv = uv[own] if uv is not None and np.isfinite(uv[own]).all() else None
        # A texture shows finer what colours of vertices show beside it.
        textured = colors is not None and part_uv is not None and material.texture is not None
        vertices, pieces = _used(rows[:, :3], faces[own])
        parts.append(
            RawPart(
                vertices,
                pieces,
                unique_names(*(name for text in key for name in text.split("|"))),
                part_uv,
                None if colors is None or textured else _opaque(colors[faces[own]]),
                material,
            )
        )
    return parts, _odd(1 - len(np.unique(faces)) / len(rows), found.last)


def _odd(unused: float, last: str) -> str:
    """Sign that faces are missing: the share of unused vertices, or the kind of the last line."""
    if unused >= _MANY_UNUSED:
        return f"{unused:.0%} of its vertices are part of no face: its faces may end early"
    return "it ends with vertices: faces of theirs may be missing" if last in ("v", "vt", "vn") else ""


class _Lines:
    """The lines of a file, sorted by what they say.

    Attributes:
        rows: for `v` and `vt` the text of each line's numbers.
        polygons: for each `f` of three corners or more its text, in which all indices count from the start.
        part_ids: for each polygon its number in `parts`.
        parts: numbers of (object, group, material).
        cut: the file ends in the middle of a line.
        last: first word of the last line of vertices or faces.
    """

    def __init__(self, text: str):
        self.rows: dict[str, list[str]] = {"v": [], "vt": []}
        self.polygons: list[str] = []
        self.part_ids: list[int] = []
        self.parts: dict[tuple[str, str, str], int] = {("", "", ""): 0}
        current = {"o": "", "g": "", "usemtl": ""}
        part, normals = 0, 0
        lines = text.split("\n")
        kinds = (line.partition(" ")[0] for line in reversed(lines))
        self.last = next((kind for kind in kinds if kind in ("v", "vt", "vn", "f")), "")
        for line in lines:
            key, _, rest = line.partition(" ")
            if key in self.rows:
                self.rows[key].append(rest)
            elif key == "f":
                if "#" in rest:
                    rest = rest.partition("#")[0]
                if "-" in rest:
                    counts = (len(self.rows["v"]), len(self.rows["vt"]), normals)
                    rest = " ".join(_from_the_start(corner, counts) for corner in rest.split())
                if len(rest.split(None, 2)) == 3:
                    self.polygons.append(rest)
                    self.part_ids.append(part)
            elif key == "vn":
                normals += 1
            elif key in current:
                current[key] = rest.strip()
                part = self.parts.setdefault(tuple(current.values()), len(self.parts))
        self.cut = self._is_cut(lines)

    def _is_cut(self, lines: list[str]) -> bool:
        """Whether the last line lacks its end, and part of what lines of its kind have."""
        words = lines[-1].split()
        if not words:
            return False
        like = next(
            (other for line in lines[-2::-1] if (other := line.split())[:1] == words[:1] and len(other) > 1),
            None,
        )
        if words[0] == "f":
            slashes = {corner.count("/") for corner in words[1:]}
            other = {corner.count("/") for corner in (like or words)[1:]}
            return len(words) < 4 or words[-1].endswith("/") or slashes != other
        if words[0] in ("v", "vt", "vn"):
            return len(words) < (3 if words[0] == "vt" else 4) or (
                like is not None and len(words) < len(like)
            )
        return False


def _text(path: Path) -> str:
    """A file's lines: each whole, its first word at its start and followed by a space, a newline sign at its end."""
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\\" in text:
        text = re.sub(r"\\[^\S\n]*\n", " ", text)
    text = re.sub(r"[^\S\n ]", " ", text)
    return re.sub(r"^ +", "", text, flags=re.MULTILINE)


def _no_faces(vertices: int, cut: bool) -> str:
    if not vertices:
        return "it has no faces"
    what = f"it has {vertices} vertices but no faces: "
    return what + ("the file is cut off before them" if cut else "a point cloud, or cut off before its faces")


def _from_the_start(corner: str, counts: tuple[int, ...]) -> str:
    """A corner whose negative indices, which count back from the last line so far, are made positive."""
    indices = corner.split("/")
    for place, (index, count) in enumerate(zip(indices, counts)):
        if index.startswith("-") and index[1:].isdigit():
            # Before the first there is nothing: 0 is refused later.
            indices[place] = str(max(count + 1 + int(index), 0))
    return "/".join(indices)


def _numbers(rows: list[str], what: str) -> np.ndarray:
    """(N, K) float64 of lines; K is the least that any of them has."""
    text = " ".join(rows)
    if re.fullmatch(r"[-+.\deE ]*", text):
        # All at once where lines are alike, as they mostly are.
        words = text.split()
        counts = {len(row.split()) for row in rows}
        if len(counts) == 1:
            try:
                return np.array(words, "S").astype(np.float64).reshape(len(rows), -1)
            except ValueError:
                pass  # Told of below.
    split = [row.partition("#")[0].split() for row in rows]
    width = min(map(len, split), default=0)
    try:
        return np.array([words[:width] for words in split], np.float64).reshape(len(split), width)
    except ValueError as error:
        raise ScanError(f"can't be parsed: a line of `{what}` that is no numbers ({error})") from error


def _corners(polygons: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The corners of all polygons (C, 2) int64, numbers from 1 of their vertices and texture coordinates (0: none),
    and how many each polygon has (N,)."""
    sizes = np.array([len(polygon.split()) for polygon in polygons])
    words = " ".join(polygons).split()
    text = " ".join(words).replace("//", "/0/") + " "
    for pattern, numbers in ((r"(?:\d+/\d+/\d+ )*", 3), (r"(?:\d+/\d+ )*", 2), (r"(?:\d+ )*", 1)):
        if re.fullmatch(pattern, text):
            found = np.fromstring(text.replace("/", " "), np.int64, sep=" ").reshape(-1, numbers)
            return (found if numbers > 1 else np.pad(found, ((0, 0), (0, 1))))[:, :2], sizes
    pairs = []
    for corner in words:
        vertex, texture, *_ = (*corner.split("/"), "")
        try:
            pairs.append((int(vertex), int(texture) if texture else 0))
        except ValueError as error:
            raise ScanError(f"can't be parsed: a face has the corner '{corner[:40]}'") from error
    return np.array(pairs, np.int64), sizes


def _fans(sizes: np.ndarray) -> np.ndarray:
    """(F, 3) places of corners: each polygon of `sizes` corners as a fan around its first one."""
    first = np.repeat(np.cumsum(sizes) - sizes, sizes - 2)
    step = np.arange(len(first)) - np.repeat(np.cumsum(sizes - 2) - (sizes - 2), sizes - 2)
    return np.stack([first, first + step + 1, first + step + 2], -1)


def _uv(rows: list[str], faces: np.ndarray) -> np.ndarray | None:
    """(F, 3, 2) texture coordinates; NaN in faces that have none."""
    if not rows:
        return None
    values = _numbers(rows, "vt")
    if values.shape[1] < 2 or not faces.any():
        return None
    known = ((faces >= 1) & (faces <= len(values))).all(1)
    uv = np.full((len(faces), 3, 2), np.nan)
    uv[known] = values[faces[known] - 1, :2]
    return uv


def _material(name: str, library: dict[str, Material]) -> Material:
    """The library's entry of that name; an only entry serves every part."""
    only = next(iter(library.values())) if len(library) == 1 else Material()
    return library.get(name, only)


def _used(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used], index.reshape(-1, 3)


def _opaque(colors: np.ndarray) -> np.ndarray:
    return np.concatenate([colors, np.full((*colors.shape[:-1], 1), 255, np.uint8)], -1)
