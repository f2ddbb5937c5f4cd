"""Parts of a raw scan: named triangle meshes with a label for each face and a colour for each vertex."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Part:
    """One named piece of a scan.

    Args:
        name: what the file calls it ("skin", "left_brow", "hat"); ingestion's rules read it.
        vertices: (V, 3) float32, metres, +Y up, the face looks along +Z (the subject's right is -X).
        faces: (F, 3) int32 indices into `vertices`, counter-clockwise seen from outside.
        face_labels: (F,) uint8, one of the 17 classes of `sofgan.labels`.
        vertex_colors: (V, 3) uint8, albedo (sRGB), free of light and shade.
        roughness: 0 mirror .. 1 chalk, for whoever shades the scan.
        opacity: 1 solid .. 0 clear, of the colour alone: a clear spectacle lens still is `eyeglass` in a label map.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    face_labels: np.ndarray
    vertex_colors: np.ndarray
    roughness: float = 0.8
    opacity: float = 1.0


@dataclass(frozen=True)
class Avatar:
    """A generated head: its parts, and the numbers and words that it was drawn from."""

    name: str
    parts: tuple[Part, ...]
    parameters: dict[str, float | str] = field(default_factory=dict)
