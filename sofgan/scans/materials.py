"""How the parts of a raw scan look: textures and plain colours, from OBJ material libraries, glTF and PLY."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CLEAR_BELOW = 0.5  # Opacity below which one looks through a surface, as through lenses.
# Views of a head are a few hundred pixels wide: finer textures would alias, and take memory in every process.
_LARGEST_TEXTURE = 1024
_IMAGES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Material:
    """One part's look.

    Attributes:
        texture: (H, W, 3) uint8, row 0 at the top (v = 1), or None.
        color: RGB 0..255 where there is no texture, or None if the file says nothing.
        opacity: 1 solid .. 0 clear.
        missing: name of a texture that the file asks for and that isn't there.
    """

    texture: np.ndarray | None = None
    color: tuple[int, int, int] | None = None
    opacity: float = 1.0
    missing: str = ""


def material_of(mesh, names: tuple[str, ...], library: dict[str, Material] | None) -> Material:
    """The material of a mesh that trimesh read; of an OBJ's part, the entry of its name in the OBJ's library.

    Args:
        mesh: a `trimesh.Trimesh`.
        names: of the part.
        library: of an OBJ; its entry "" serves every part that has no other. None for other formats.
    """
    if library is not None:
        found = [library[name] for name in names if name in library]
        return found[0] if found else library.get("", Material())
    found = getattr(mesh.visual, "material", None)
    if found is None:
        return Material()
    image = getattr(found, "baseColorTexture", None) or getattr(found, "image", None)
    texture = None
    if image is not None and getattr(mesh.visual, "uv", None) is not None:
        texture = as_texture(image)
    color = getattr(found, "baseColorFactor", None)
    if color is None:
        return Material(texture)
    rgba = np.asarray(color, np.float64)
    rgba = rgba * 255 if np.issubdtype(np.asarray(color).dtype, np.floating) and rgba.max() <= 1 else rgba
    return Material(texture, tuple(int(value) for value in rgba[:3].round()), float(rgba[3]) / 255)


def read_obj_materials(path: Path, text: str) -> dict[str, Material]:
    """Materials by name of the libraries that an OBJ names.

    Where these give no texture, an image with the OBJ's own name beside it is that of all parts (key "").
    """
    materials = {}
    for match in re.finditer(r"^[ \t]*mtllib[ \t]+(.+?)[ \t]*$", text, re.MULTILINE):
        library = _beside(path, match[1])
        if library is not None:
            materials |= _read_library(library)
    if not any(material.texture is not None or material.missing for material in materials.values()):
        for suffix in _IMAGES:
            image = _beside(path, path.stem + suffix)
            if image is not None:
                return {"": _textured(image)}
    return materials


def as_texture(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 pixels, averaged down to at most 1024 a side."""
    factor = -(-max(image.size) // _LARGEST_TEXTURE)
    image = image.convert("RGB")
    return np.asarray(image.reduce(factor) if factor > 1 else image)


def _read_library(path: Path) -> dict[str, Material]:
    materials, name = {}, ""
    entries: dict[str, dict] = {}
    for line in path.read_text(errors="replace").splitlines():
        key, _, value = line.strip().partition(" ")
        value = value.strip()
        if key == "newmtl":
            name = value
            entries[name] = {}
        elif key and name in entries:
            entries[name][key.lower()] = value
    for name, entry in entries.items():
        color = _numbers(entry.get("kd", ""))
        color = (
            tuple(round(255 * min(max(value, 0.0), 1.0)) for value in color[:3]) if len(color) >= 3 else None
        )
        opacity = _numbers(entry.get("d", ""))[:1] or [1.0]
        texture = _texture_file(entry.get("map_kd", ""))
        material = Material(None, color, opacity[0])
        if texture:
            image = _beside(path, texture)
            material = (
                Material(None, color, opacity[0], texture) if image is None else _textured(image, opacity[0])
            )
        materials[name] = material
    return materials


def _textured(image: Path, opacity: float = 1.0) -> Material:
    try:
        with Image.open(image) as opened:
            return Material(as_texture(opened), None, opacity)
    except OSError:
        return Material(None, None, opacity, image.name)


def _texture_file(value: str) -> str:
    # Options come first: `-bm 1`, `-s 1 1 1`; the name itself may hold spaces.
    return re.sub(r"^(-\w+([ \t]+(-?[\d.]+|on|off))*[ \t]+)*", "", value)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split()]
    except ValueError:
        return []


def _beside(path: Path, name: str) -> Path | None:
    """A file that another one names: as it says, or by its last part alone, whatever the case."""
    plain = name.strip().strip('"').replace("\\", "/")
    for candidate in (path.parent / plain, path.parent / plain.rsplit("/", 1)[-1]):
        if candidate.is_file():
            return candidate
    wanted = plain.rsplit("/", 1)[-1].lower()
    return next((file for file in sorted(path.parent.iterdir()) if file.name.lower() == wanted), None)
