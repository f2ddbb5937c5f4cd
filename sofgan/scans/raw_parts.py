"""Pieces that readers of scan files hand over, whatever the format."""

from dataclasses import dataclass

import numpy as np

from sofgan.errors import UserError
from sofgan.scans.materials import Material


class ScanError(UserError, ValueError):
    """A scan can't be used; the message is the reason that the user reads."""


@dataclass(frozen=True)
class RawPart:
    """One named piece of a file, in the file's own axes and unit.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64, indices into `vertices`.
        names: what the piece goes by: its object, group, node, mesh and material.
        corner_uv: (F, 3, 2) float64 texture coordinates (origin at the image's lower left), or None.
        corner_colors: (F, 3, 4) uint8 RGBA of vertices or faces, or None.
        material: how it looks where the colours don't say.
    """

    vertices: np.ndarray
    faces: np.ndarray
    names: tuple[str, ...]
    corner_uv: np.ndarray | None = None
    corner_colors: np.ndarray | None = None
    material: Material = Material()


def unique_names(*names: str | None) -> tuple[str, ...]:
    """Names that say something, each once, in their order."""
    return tuple(dict.fromkeys(name for name in names if name))


def color_bytes(values: np.ndarray) -> np.ndarray:
    """Colours as uint8, from whatever numbers a file has them in.

    Args:
        values: integers 0..255, or 0..65535 where any 16-bit one is above 255; others 0..1, or 0..255 where any is
            above 2.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16 and values.size and values.max() > 255:
        return np.round(values / 257.0).astype(np.uint8)
    whole = np.issubdtype(values.dtype, np.integer)
    values = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if not whole and not (values.size and values.max() > 2.0):
        values = values * 255
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
