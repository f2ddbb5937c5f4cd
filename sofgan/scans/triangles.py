"""Middles and areas of a mesh's triangles."""

import numpy as np


def middles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) centroids of the triangles `faces` (F, 3) of `vertices` (V, 3)."""
    return vertices[faces].mean(1)


def area_vectors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) normals as long as twice the triangles' areas."""
    corners = vertices[faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
