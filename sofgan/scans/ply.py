"""PLY and STL files before trimesh reads them: other names of their properties, and whether they are cut off."""

import re
import struct
from dataclasses import dataclass

from sofgan.scans.raw_parts import ScanError

_SIZES = {
    "char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2, "uint16": 2, "float16": 2,
    "int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8, "int64": 8,
    "uint64": 8,
}  # fmt: skip
_CUT = "can't be parsed: the file is cut off: "
# What programs call the channels of a colour, without case, and what trimesh knows them as.
_COLORS = {
    f"{before}{name}": channel
    for channel, letter in (("red", "r"), ("green", "g"), ("blue", "b"), ("alpha", "a"))
    for before, name in (
        ("", channel), ("", letter), ("diffuse_", channel), ("diffuse_", letter), ("ambient_", channel),
        ("color_", channel), ("color_", letter), ("col_", letter), ("vertex_", channel), ("face_", channel),
    )
}  # fmt: skip
_CORNERS = {"vertex_index", "vertex_indices", "vertexindices", "vertexindex", "vertices"}


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[list[str]]  # words of each line, without "property"


def known_names(content: bytes) -> bytes:
    """A PLY file whose colours and corners have the names that trimesh knows, without case.

    Raises:
        ScanError: it is cut off: it has fewer vertices or faces than its header says.
    """
    end = re.search(rb"^[ \t]*end_header[ \t]*(\r\n|\n|\r)", content, re.MULTILINE)
    if not content.lstrip().startswith(b"ply"):
        return content
    if end is None:
        raise ScanError(_CUT + "its header does not end")
    lines = re.split(r"\r\n|\n|\r", content[: end.end()].decode("latin-1"))
    elements, own, ascii = [], None, True
    for number, line in enumerate(lines):
        words = line.split()
        if words[:1] == ["format"]:
            ascii = words[1:2] == ["ascii"]
        elif words[:1] == ["element"] and len(words) == 3 and words[2].isdigit():
            elements.append(_Element(words[1], int(words[2]), []))
        elif words[:1] == ["property"] and elements and len(words) >= 3:
            elements[-1].properties.append(words[1:])
            lines[number] = " ".join(words)
    for number, line in enumerate(lines):
        words = line.split()
        if words[:1] == ["element"]:
            own = next((one for one in elements if one.name == words[1]), None)
        elif words[:1] == ["property"] and own is not None:
            lines[number] = " ".join([*words[:-1], _known(words[-1], own)])
    body = content[end.end() :]
    _check_whole(elements, body, ascii)
    return "\n".join(lines).encode("latin-1") + body


def _known(name: str, element: _Element) -> str:
    """The name that trimesh knows for an element's property."""
    present = {words[-1] for words in element.properties}
    plain = name.lower()
    if element.name == "face" and plain in _CORNERS:
        return name if name in ("vertex_index", "vertex_indices") else "vertex_indices"
    channel = _COLORS.get(plain)
    if channel is None or channel in present or element.name not in ("vertex", "face"):
        return name if plain not in ("x", "y", "z") or plain in present else plain
    # A full set of one kind: a lone `r` may be anything, such as a radius.
    before = plain[: len(plain) - len(channel)] if plain.endswith(channel) else plain[:-1]
    others = {before + (each if plain.endswith(channel) else each[0]) for each in ("red", "green", "blue")}
    if not others <= {other.lower() for other in present}:
        return name
    ranked = sorted(
        (other.lower() for other in present if _COLORS.get(other.lower()) == channel),
        key=list(_COLORS).index,
    )
    return channel if plain == ranked[0] else name


def _check_whole(elements: list[_Element], body: bytes, ascii: bool) -> None:
    if ascii:
        rows = [line for line in body.splitlines() if line.strip()]
        # Rows may share lines, so numbers count too.
        if not _has_numbers(elements, body):
            there = len(rows)
            for element in elements:
                if there < element.count:
                    raise ScanError(_CUT + f"it has {there} of its {element.count} lines of {element.name}")
                there -= element.count
            raise ScanError(_CUT + "its last line is not whole")
        return
    left = len(body)
    for element in elements:
        least = sum(_least_bytes(words, element.name) for words in element.properties)
        if left < least * element.count:
            raise ScanError(
                _CUT
                + f"it has at most {left // max(least, 1)} of its {element.count} elements of {element.name}"
            )
        left -= least * element.count


def _has_numbers(elements: list[_Element], body: bytes) -> bool:
    """Whether an ASCII body has as many numbers as its elements need."""
    numbers, at = body.split(), 0
    for one in elements:
        if all(words[0] != "list" for words in one.properties):
            at += one.count * len(one.properties)
            continue
        for _ in range(one.count):
            for words in one.properties:
                if words[0] == "list":
                    if at >= len(numbers):
                        return False
                    at += int(float(numbers[at]))
                at += 1
    return len(numbers) >= at


def _least_bytes(words: list[str], element: str) -> int:
    if words[0] != "list":
        return _SIZES.get(words[0], 0)
    corners = 3 if element == "face" and words[-1].lower() in _CORNERS else 0
    return _SIZES.get(words[1], 0) + corners * _SIZES.get(words[2], 0)


def check_stl(content: bytes) -> None:
    """Tell an STL file that is cut off.

    Raises:
        ScanError: it has fewer triangles than its header says, or its last solid does not end.
    """
    if content[:512].lstrip()[:5].lower() == b"solid" and b"facet" in content[:1024].lower():
        end = content.rstrip()[-4096:].lower()
        if b"endsolid" not in end[end.rfind(b"endfacet") + 1 :]:
            raise ScanError(_CUT + "its last solid does not end with `endsolid`")
        return
    if len(content) < 84:
        raise ScanError(_CUT + "it ends within its header" if content else "it has no faces")
    count = struct.unpack_from("<I", content, 80)[0]
    there = (len(content) - 84) // 50
    if there < count:
        raise ScanError(_CUT + f"it has {there} of its {count} triangles")
