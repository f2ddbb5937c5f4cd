"""Colors of a glTF file as sRGB bytes: it has linear light by the standard, and sRGB by some programs that write it."""

import re

import numpy as np

from sofgan.images import to_srgb
from sofgan.labels import PALETTE
from sofgan.scans.raw_parts import color_bytes

_WRITE_SRGB = re.compile("open3d|assimp|trimesh", re.IGNORECASE)


def holds_light(document: dict) -> bool:
    """Whether a file's colors are light, as glTF 2.0 has it (3.7.2.1 and 3.9.2), by the program that wrote it."""
    return not _WRITE_SRGB.search(str(document.get("asset", {}).get("generator", "")))


def factor_color(factor: np.ndarray, light: bool) -> tuple[int, int, int]:
    """sRGB 0..255 of a material's factor (3 or 4 of 0..1)."""
    color = np.clip(factor[:3], 0, 1)
    return tuple(int(value) for value in np.round(255 * (to_srgb(color) if light else color)))


def vertex_colors(values: np.ndarray, light: bool, normalized: bool = False) -> np.ndarray:
    """sRGB bytes (V, 3 or 4) of COLOR_0; alpha stays as it is.

    Bytes are taken for sRGB in any file, since programs for scans write it; and so are colors that are the palette's
    as they stand, which a script may have written.

    Args:
        values: as they are stored: bytes, 16 bits or fractions.
        light: fractions are light.
        normalized: 16 bits are fractions of 65535 for sure; else they are where any is above 255.
    """
    if values.dtype == np.uint8 or not values.size:
        return color_bytes(values)
    if values.dtype == np.uint16:
        largest = 65535 if normalized or values.max() > 255 else 255
    else:
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        largest = 255 if values.max() > 2 else 1
    fractions = np.clip(values / largest, 0, 1)
    colors = np.round(255 * fractions).astype(np.uint8)
    if light and largest != 255 and not _of_palette(colors[:, :3]):
        colors[:, :3] = np.round(255 * to_srgb(fractions[:, :3]))
    return colors


def _of_palette(colors: np.ndarray) -> bool:
    return bool((colors[:, None] == PALETTE).all(-1).any(-1).all())
