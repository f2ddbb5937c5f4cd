"""Scans from glTF 2.0 (.gltf, .glb, .vrm): triangles as they stand at rest, and what they look like."""

import io
import json
import re
import struct
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image

from sofgan.scans.gltf_buffers import TYPES, Buffers, normalized
from sofgan.scans.gltf_colors import factor_color, holds_light, vertex_colors
from sofgan.scans.materials import Material
from sofgan.scans.raw_parts import RawPart, ScanError, unique_names

_JSON, _BIN = 0x4E4F534A, 0x004E4942  # Kinds of chunks of a GLB.
_POINTS, _TRIANGLES, _STRIP, _FAN = 0, 4, 5, 6
_DRACO = "KHR_draco_mesh_compression"
# Extensions that a file may require: those that are read, and those that leave triangles and base colours as they are.
_KNOWN = re.compile(
    r"KHR_(draco_mesh_compression|mesh_quantization|meshopt_compression|texture_transform|texture_basisu)$"
    r"|(EXT|MSFT)_(meshopt_compression|texture_\w+)$|MESHOPT_compression$"
    r"|KHR_(materials|lights|animation|audio|xmp|node|physics|implicit|collision)\w*$"
    r"|EXT_lights\w*$|VRM\w*$|MSFT_(lod|packing\w*|audio\w*)$|\w+_materials?_\w+$"
)
# Where a texture's picture is, besides its own `source`, if Pillow may be able to read it.
_PICTURES = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds")
_BASIS = "KHR_texture_basisu"


def read_gltf(path: Path) -> list[RawPart]:
    """The parts of a file, in its scene's axes, one a primitive of triangles, sorted by their nodes' names.

    Skinned meshes stand as their joints do in the file, and morphed ones at their default weights.

    Raises:
        ScanError: the file is cut off, asks for an extension that is not known here, or holds points alone.
    """
    document = _Document(path, *_read_document(path))
    try:
        return document.parts()
    except (LookupError, TypeError, AttributeError) as error:
        raise ScanError(
            "can't be parsed: its JSON lacks what other places of it refer to "
            f"({type(error).__name__}: {error}): it is damaged, export it again"
        ) from error


def _read_document(path: Path) -> tuple[dict, bytes | None]:
    """The file's JSON, and the bytes that a GLB has beside it."""
    content = path.read_bytes()
    if content[:4] != b"glTF":
        return _parse_json(content), None
    if len(content) < 20:
        raise ScanError("can't be parsed: the file is cut off within its header")
    version = struct.unpack_from("<I", content, 4)[0]
    if version != 2:
        raise ScanError(f"can't be parsed: it is glTF {version}; export it as glTF 2")
    chunks, at = {}, 12
    while at + 8 <= len(content):
        length, kind = struct.unpack_from("<II", content, at)
        chunk = content[at + 8 : at + 8 + length]
        if kind in (_JSON, _BIN) and len(chunk) < length:
            total = struct.unpack_from("<I", content, 8)[0]
            raise ScanError(
                f"can't be parsed: the file is cut off: it has {len(content)} of its {total} bytes"
            )
        chunks.setdefault(kind, chunk)
        at += 8 + length
    if _JSON not in chunks:
        raise ScanError("can't be parsed: a GLB without its JSON")
    return _parse_json(chunks[_JSON]), chunks.get(_BIN)


def _parse_json(content: bytes) -> dict:
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except ValueError as error:
        raise ScanError(f"can't be parsed: its JSON is broken or cut off ({error})") from error
    if not isinstance(document, dict):
        raise ScanError("can't be parsed: its JSON is no glTF")
    if str(document.get("asset", {}).get("version", "2")).startswith("1"):
        raise ScanError("can't be parsed: it is glTF 1; export it as glTF 2")
    return document


class _Document:
    """A glTF file whose nodes, meshes and materials are read on demand."""

    def __init__(self, path: Path, document: dict, binary: bytes | None):
        self.document, self.buffers = document, Buffers(path, document, binary)
        self.nodes, self.light = document.get("nodes", []), holds_light(document)
        self._decoded: dict[int, tuple[dict[str, np.ndarray], np.ndarray]] = {}  # Draco, by buffer view.
        self._images: dict[int, Image.Image | None] = {}
        unknown = [name for name in document.get("extensionsRequired", []) if not _KNOWN.match(name)]
        if unknown:
            raise ScanError(
                f"it requires the glTF extension {unknown[0]}, which is not read here; write it without, for example "
                "with `gltf-transform copy` or another export"
            )

    def parts(self) -> list[RawPart]:
        order = sorted(self._seen_nodes(), key=lambda node: (self.nodes[node].get("name", str(node)), node))
        found, others = [], set()
        for node in order:
            if "mesh" not in self.nodes[node]:
                continue
            mesh = self.document["meshes"][self.nodes[node]["mesh"]]
            for primitive in mesh["primitives"]:
                if primitive.get("mode", _TRIANGLES) in (_TRIANGLES, _STRIP, _FAN):
                    found.append(self._part(node, mesh, primitive))
                else:
                    others.add(primitive["mode"])
        if not found and _POINTS in others:
            raise ScanError("a point cloud: it has vertices but no faces")
        return found

    def _seen_nodes(self) -> list[int]:
        """Nodes of the default scene; of a file without scenes, all."""
        scenes = self.document.get("scenes")
        if not scenes:
            return list(range(len(self.nodes)))
        seen: dict[int, None] = {}
        waiting = list(scenes[self.document.get("scene", 0)].get("nodes", []))
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen[node] = None
                waiting += self.nodes[node].get("children", [])
        return list(seen)

    @cached_property
    def _worlds(self) -> list[np.ndarray]:
        """Transforms (4, 4) from each node's own axes to the scene's."""
        parents = {child: i for i, node in enumerate(self.nodes) for child in node.get("children", [])}
        worlds: list[np.ndarray] = []
        for node in range(len(self.nodes)):
            matrix, above, passed = _local(self.nodes[node]), parents.get(node), {node}
            while above is not None and above not in passed:
                passed.add(above)
                matrix = _local(self.nodes[above]) @ matrix
                above = parents.get(above)
            worlds.append(matrix)
        return worlds

    def _part(self, node: int, mesh: dict, primitive: dict) -> RawPart:
        attributes, faces = self._primitive(primitive)
        if "POSITION" not in attributes:
            raise ScanError("can't be parsed: a mesh without positions")
        vertices = attributes["POSITION"][:, :3].astype(np.float64)
        weights = self.nodes[node].get("weights", mesh.get("weights", []))
        for weight, target in zip(weights, primitive.get("targets", [])):
            if weight and "POSITION" in target:
                vertices = vertices + weight * self.buffers.accessor(target["POSITION"])
        skin = self.nodes[node].get("skin")
        if skin is not None and "JOINTS_0" in attributes and "WEIGHTS_0" in attributes:
            vertices = self._skinned(vertices, attributes, self.document["skins"][skin])
        else:
            vertices = _moved(vertices, self._worlds[node])
        material = (
            self.document["materials"][primitive["material"]] if primitive.get("material") is not None else {}
        )
        base = _base_texture(material)
        uv = self._uv(attributes, base)
        colors = attributes.get("COLOR_0")
        if colors is not None:
            if len(colors) != len(vertices) or colors.shape[1] not in (3, 4):
                colors = None
            elif colors.shape[1] == 3:
                colors = np.concatenate([colors, np.full((len(colors), 1), 255, np.uint8)], 1)
        if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise ScanError("faces refer to vertices that are not there")
        name = self.nodes[node].get("name")
        return RawPart(
            vertices,
            faces,
            unique_names(name, mesh.get("name"), material.get("name")) or (str(node),),
            None if uv is None else uv[faces],
            None if colors is None else colors[faces],
            self._material(material, base, uv is not None),
        )

    def _primitive(self, primitive: dict) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """A primitive's attributes by name, and its triangles (F, 3)."""
        names = [
            name
            for name in primitive["attributes"]
            if re.match(r"(POSITION|COLOR_0|TEXCOORD_\d+|JOINTS_\d+|WEIGHTS_\d+)$", name)
        ]
        draco = primitive.get("extensions", {}).get(_DRACO)
        packed, faces = ({}, None) if draco is None else self._draco(draco)
        attributes = {}
        for name in names:
            accessor = primitive["attributes"][name]
            values = packed.get(name)
            kind = self.document["accessors"][accessor]
            if values is None:
                values = self.buffers.raw(accessor)
            else:  # DracoPy widens numbers of 16 bits.
                values = values.astype(TYPES[kind["componentType"]])
            if name == "COLOR_0":
                attributes[name] = vertex_colors(values, self.light, kind.get("normalized", False))
            else:
                attributes[name] = normalized(values) if kind.get("normalized") else values
        if faces is None:
            if primitive.get("indices") is not None:
                indices = self.buffers.raw(primitive["indices"]).reshape(-1).astype(np.int64)
            else:
                indices = np.arange(len(attributes["POSITION"]) if "POSITION" in attributes else 0)
            faces = _triangles(indices, primitive.get("mode", _TRIANGLES))
        return attributes, faces

    def _draco(self, extension: dict) -> tuple[dict[str, np.ndarray], np.ndarray]:
        key = extension["bufferView"]
        if key not in self._decoded:
            try:
                import DracoPy
            except ImportError as error:
                raise ScanError(
                    f"its triangles are compressed by {_DRACO}: install the package DracoPy, or undo it with "
                    "`gltf-transform copy`"
                ) from error
            data = self.buffers.view(key)
            try:
                mesh = DracoPy.decode(data)
                by_id = {each["unique_id"]: np.asarray(each["data"]) for each in mesh.attributes}
                self._decoded[key] = by_id, np.asarray(mesh.faces, np.int64).reshape(-1, 3)
            except Exception as error:  # Whatever a decoder says of bytes that are not what they should be.
                raise ScanError(f"can't be parsed: its {_DRACO} data is broken") from error
        by_id, faces = self._decoded[key]
        named = {name: by_id[ident] for name, ident in extension["attributes"].items() if ident in by_id}
        return {name: data.reshape(len(data), -1) for name, data in named.items()}, faces

    def _skinned(self, vertices: np.ndarray, attributes: dict[str, np.ndarray], skin: dict) -> np.ndarray:
        """Vertices where the joints hold them; the node that a skinned mesh hangs on does not move it."""
        worlds = np.stack([self._worlds[joint] for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            # Columns come first in the file.
            inverse = self.buffers.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
            worlds = worlds @ inverse[: len(worlds)].astype(np.float64)
        moved, total = np.zeros_like(vertices), np.zeros(len(vertices))
        points = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
        sets = [name[7:] for name in attributes if name.startswith("JOINTS_")]
        for key in sets:
            joints, weights = attributes[f"JOINTS_{key}"], attributes.get(f"WEIGHTS_{key}")
            for joint, weight in zip(joints.T, () if weights is None else weights.T):
                if not weight.any():
                    continue
                joint = np.where(weight > 0, joint, 0).astype(np.int64)
                if joint.max(initial=0) >= len(worlds):
                    raise ScanError("can't be parsed: a mesh hangs on a joint that its skin lacks")
                moved += weight[:, None] * np.einsum("vij,vj->vi", worlds[joint], points)[:, :3]
                total += weight
        free = total <= 0
        if free.any():  # What hangs on no joint goes with the first, as viewers show it.
            moved[free], total[free] = _moved(vertices[free], worlds[0]), 1.0
        return moved / total[:, None]

    def _uv(self, attributes: dict[str, np.ndarray], base: dict | None) -> np.ndarray | None:
        """Texture coordinates (V, 2) of the base colour, origin at the image's lower left."""
        own, transform = 0, {}
        if base is not None:
            transform = base.get("extensions", {}).get("KHR_texture_transform", {})
            own = transform.get("texCoord", base.get("texCoord", 0))
        uv = attributes.get(f"TEXCOORD_{own}", attributes.get("TEXCOORD_0"))
        if uv is None:
            return None
        # The same values as before in files that ask for nothing special: v is turned over in the file's precision.
        uv = uv[:, :2].astype(np.float64) if uv.dtype != np.float32 else uv[:, :2].copy()
        if transform:
            scale, offset = transform.get("scale", (1, 1)), transform.get("offset", (0, 0))
            cos, sin = np.cos(transform.get("rotation", 0.0)), np.sin(transform.get("rotation", 0.0))
            turned = np.array([[cos, sin], [-sin, cos]]) @ np.diag(scale)
            uv = uv @ turned.T + offset
        uv[:, 1] = 1.0 - uv[:, 1]
        return uv.astype(np.float64)

    def _material(self, material: dict, base: dict | None, has_uv: bool) -> Material:
        image, wanted = (None, "") if base is None else self._picture(base["index"])
        factor = material.get("pbrMetallicRoughness", {}).get("baseColorFactor")
        gloss = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
        if gloss is not None:
            factor = gloss.get("diffuseFactor", factor)
        if not has_uv:
            image, wanted = None, ""
        if factor is None:
            return Material(image, wanted=wanted)
        rgba = np.asarray(factor, np.float64)
        opacity = float(rgba[3]) if len(rgba) > 3 else 1.0
        return Material(image, factor_color(rgba, self.light), opacity, wanted)

    def _picture(self, texture: int) -> tuple[Image.Image | None, str]:
        """A texture's image, and what it is called for a report, should it not be readable."""
        entry = self.document["textures"][texture]
        extensions = entry.get("extensions", {})
        sources = [entry.get("source")]
        sources += [extensions[name].get("source") for name in _PICTURES if name in extensions]
        for source in sources:
            if source is not None and self._image(source) is not None:
                return self._image(source), self._image_name(source)
        if _BASIS in extensions:
            return None, f"of {_BASIS} (undo it with `gltf-transform ktxdecompress`)"
        source = next((source for source in sources if source is not None), None)
        return None, "" if source is None else self._image_name(source)

    def _image_name(self, source: int) -> str:
        entry = self.document["images"][source]
        uri = entry.get("uri", "")
        return unquote(uri) if uri and not uri.startswith("data:") else entry.get("name") or f"image {source}"

    def _image(self, source: int) -> Image.Image | None:
        if source not in self._images:
            entry = self.document["images"][source]
            try:
                data = (
                    self.buffers.view(entry["bufferView"])
                    if "bufferView" in entry
                    else self.buffers.file(entry["uri"])
                )
                self._images[source] = Image.open(io.BytesIO(data))
            except Exception:  # Images that can't be had are told of where they are missed.
                self._images[source] = None
        return self._images[source]


def _base_texture(material: dict) -> dict | None:
    gloss = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
    return gloss.get("diffuseTexture") or material.get("pbrMetallicRoughness", {}).get("baseColorTexture")


def _local(node: dict) -> np.ndarray:
    """(4, 4) from a node's axes to its parent's."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)
    length = x * x + y * y + z * z + w * w
    matrix = np.eye(4)
    if length > 0:
        s = 2.0 / length
        matrix[:3, :3] = [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    matrix[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    if (matrix == np.eye(4)).all():
        return points
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _triangles(indices: np.ndarray, mode: int) -> np.ndarray:
    """Triangles (F, 3) of a list, a strip or a fan of vertices; those of no area by their indices are left out."""
    if mode == _TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == _FAN:
        faces = np.stack([np.full(len(indices) - 2, indices[0]), indices[1:-1], indices[2:]], -1)
    else:
        faces = np.stack([indices[:-2], indices[1:-1], indices[2:]], -1)
        faces[1::2] = faces[1::2, [1, 0, 2]]
    return faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
