"""Materials of a raw scan's parts: textures and plain colors, from OBJ material libraries, glTF and PLY."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image
from trimesh.resolvers import Resolver

CLEAR_BELOW = 0.5  # Opacity below which one looks through a surface, as through lenses.
# Views of a head are a few hundred pixels wide: finer textures would alias, and take memory in every process.
_LARGEST_TEXTURE = 1024
_MOST_PIXELS = 2**28  # Of an image file: scanners write 16384 a side, which Pillow takes for an attack.
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".tga")


@dataclass(frozen=True)
class Material:
    """One part's look.

    Attributes:
        image: of its texture, or the file that holds one; read when first asked for, as labelled scans need none.
        color: RGB 0..255 where there is no texture, or None if the file says nothing.
        opacity: 1 solid .. 0 clear.
        wanted: name of the texture that the file asks for, "" if it asks for none.
    """

    image: Image.Image | Path | None = None
    color: tuple[int, int, int] | None = None
    opacity: float = 1.0
    wanted: str = ""

    @cached_property
    def texture(self) -> np.ndarray | None:
        """(H, W, 3) uint8, at most 1024 a side, row 0 at the top (v = 1); None if there is none to be read."""
        try:
            if isinstance(self.image, Path):
                with _large_images(), Image.open(self.image) as image:
                    # A large JPEG is decoded at a fraction of its size.
                    image.draft("RGB", (_LARGEST_TEXTURE, _LARGEST_TEXTURE))
                    return as_texture(image)
            return None if self.image is None else as_texture(self.image)
        except Exception:  # Broken images raise anything; `missing` tells of them.
            return None

    @property
    def missing(self) -> str:
        """Name of the texture that is asked for and is not there, or can't be read; "" otherwise."""
        return self.wanted if self.texture is None else ""


def material_of(mesh) -> Material:
    """The material of a `trimesh.Trimesh`, such as the texture that a PLY names."""
    found = getattr(mesh.visual, "material", None)
    image = getattr(found, "image", None)
    return Material() if getattr(mesh.visual, "uv", None) is None else Material(image)


def read_obj_materials(path: Path, text: str) -> dict[str, Material]:
    """Materials by name of the libraries that an OBJ names.

    Where these ask for no texture, but the OBJ has texture coordinates, an image with its own name beside it is that
    of all parts (key "").
    """
    materials = {}
    for match in re.finditer(r"^[ \t]*mtllib[ \t]+(.+?)[ \t]*$", text, re.MULTILINE):
        whole = beside(path, match[1])  # One name with spaces, or several names.
        for library in [whole] if whole else [beside(path, name) for name in match[1].split()]:
            if library is not None:
                materials |= _read_library(library, path)
    if not any(material.wanted for material in materials.values()) and re.search(
        r"^\s*vt\s", text, re.MULTILINE
    ):
        for suffix in IMAGES:
            image = beside(path, path.stem + suffix)
            if image is not None:
                return {"": Material(image, wanted=image.name)}
    return materials


def as_texture(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 pixels, averaged down to at most 1024 a side."""
    factor = -(-max(image.size) // _LARGEST_TEXTURE)
    image = image.convert("RGB")
    return np.asarray(image.reduce(factor) if factor > 1 else image)


def read_pixels(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, all pixels of an image file.

    Raises:
        Exception: whatever Pillow says of a file that it can't read.
    """
    with _large_images(), Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@contextmanager
def _large_images() -> Iterator[None]:
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _MOST_PIXELS
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _read_library(path: Path, scan: Path) -> dict[str, Material]:
    """An MTL's materials; its textures are named from where it lies, by some tools from where the OBJ lies."""
    entries: dict[str, dict] = {}
    name = ""
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        key, value = [*line.strip().split(None, 1), "", ""][:2]
        if key == "newmtl":
            name = value
            entries[name] = {}
        elif name in entries:
            entries[name][key.lower()] = value
    materials = {}
    for name, entry in entries.items():
        color = [round(255 * min(max(value, 0.0), 1.0)) for value in _numbers(entry.get("kd", ""))[:3]]
        opacity = _numbers(entry.get("d", ""))[:1] or [1.0]
        texture = texture_file(entry.get("map_kd", ""))
        materials[name] = Material(
            (beside(path, texture) or beside(scan, texture)) if texture else None,
            tuple(color) if len(color) == 3 else None,
            opacity[0],
            texture,
        )
    return materials


def texture_file(value: str) -> str:
    """The name of a texture in what an MTL has after `map_Kd`."""
    # Options come first: `-bm 1`, `-s 1 1 1`; the name itself may hold spaces.
    return re.sub(r"^(-\w+([ \t]+(-?[\d.]+|on|off))*[ \t]+)*", "", value)


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        return []
    return numbers if np.isfinite(numbers).all() else []


def beside(path: Path, name: str) -> Path | None:
    """A file that another one names: where it says, or by its last part alone beside it, whatever the case.

    A name that is written as in an address (`my%20skin.png`) is taken for what it stands for, if there is no such file.
    """
    return _named(path, name) or (_named(path, unquote(name)) if "%" in name else None)


def _named(path: Path, name: str) -> Path | None:
    plain = name.strip().strip('"').replace("\\", "/")
    last = plain.rsplit("/", 1)[-1]
    for candidate in (path.parent / plain, path.parent / last):
        if candidate.is_file():
            return candidate
    return _whatever_the_case(path.parent, plain) or _whatever_the_case(path.parent, last)


def _whatever_the_case(folder: Path, name: str) -> Path | None:
    """A file by its path from a folder, each part of which may be written in other letters, large or small."""
    found = folder
    for part in name.split("/"):
        if part in ("", "."):
            continue
        if part != ".." and not (found / part).exists():
            if not found.is_dir():
                return None
            alike = (file.name for file in sorted(found.iterdir()) if file.name.lower() == part.lower())
            part = next(alike, "")
            if not part:
                return None
        found = found / part
    return found if found.is_file() else None


class Beside(Resolver):
    """Files that a scan names, for trimesh: textures and buffers, in whatever folder they lie.

    trimesh's own takes none that lies outside of the scan's folder (`../textures/skin.png`), none whose name is
    written as in an address (`my%20skin.png`), and none in other letters.

    Args:
        path: of the scan.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def get(self, key: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: it isn't there.
        """
        found = beside(self.path, key)
        if found is None:
            raise FileNotFoundError(f"the file that it names isn't there: {key}")
        return found.read_bytes()

    def keys(self) -> list[str]:
        """Names of the files beside the scan."""
        return sorted(file.name for file in self.path.parent.iterdir() if file.is_file())

    def __contains__(self, key: str) -> bool:
        return beside(self.path, key) is not None

    def namespaced(self, namespace: str) -> "Beside":
        """The same of another folder beside the scan."""
        return Beside(self.path.parent / namespace / self.path.name)

    def write(self, name: str, data) -> None:
        """Refused: scans are only read.

        Raises:
            PermissionError: always.
        """
        raise PermissionError(f"scans are only read, {name} is not written")
