"""Files that a single scan needs beside it: material libraries, textures, buffers, label textures, its axes."""

import json
import re
import struct
from pathlib import Path

from sofgan.scans.ingestion import SEGMENTATION, SEGMENTATION_FORMATS
from sofgan.scans.materials import IMAGES, texture_file

AXES = "scan.yaml"  # which says how the scans of its folder stand
_GLB_HEADER, _JSON = 12, 0x4E4F534A  # bytes; the chunk that is JSON
_PLY_HEADER = re.compile(rb"\Aply.*?end_header", re.DOTALL)


def named_in(path: Path) -> list[list[str]]:
    """Files that a scan, or a material library, names, as it writes them; of each mention all that it may mean.

    None of what can't be read as what its suffix says: that is told where the scan is read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".obj":
            found = re.findall(r"^[ \t]*mtllib[ \t]+(.+?)[ \t\r]*$", _text(path), re.MULTILINE)
            return [[name, *name.split()] for name in found]  # one name with spaces, or several names
        if suffix in (".mtl", ".mlt"):
            maps = re.findall(r"^[ \t]*map_kd[ \t]+(.+?)[ \t\r]*$", _text(path), re.MULTILINE | re.IGNORECASE)
            return [[texture_file(value)] for value in maps]
        if suffix in (".glb", ".gltf", ".vrm"):
            document = _gltf(path.read_bytes())
            entries = [*document.get("buffers", []), *document.get("images", [])]
            uris = [entry["uri"] for entry in entries if isinstance(entry.get("uri"), str)]
            return [[uri] for uri in uris if not uri.startswith("data:")]
        if suffix == ".ply" and (header := _PLY_HEADER.search(path.read_bytes()[: 2**20])):
            lines = header[0].decode(errors="replace").splitlines()
            found = [re.match(r"comment\s+TextureFile\s+(.+?)\s*$", line) for line in lines]
            return [[match[1]] for match in found if match]
    except (ValueError, KeyError, AttributeError, TypeError, struct.error):
        pass
    return []


def may_lie_beside(name: str) -> list[str]:
    """Files that are looked for beside a scan of that file name without being named in it."""
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    own = [stem + image for image in IMAGES] if suffix == ".obj" else []
    return [*own, *(stem + SEGMENTATION + image for image in SEGMENTATION_FORMATS), AXES]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _gltf(content: bytes) -> dict:
    if content[:4] == b"glTF":
        length, kind = struct.unpack_from("<II", content, _GLB_HEADER)
        content = content[_GLB_HEADER + 8 : _GLB_HEADER + 8 + length] if kind == _JSON else b"{}"
    return json.loads(content.decode("utf-8-sig"))
