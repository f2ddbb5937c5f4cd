"""Values of a surface continued to where they are not known: they flow along it until all is even."""

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

FAINT = 1e-3  # flow between vertices of two classes, by that within one
TIE = 1e-6  # to the nearest known value, so that pieces which touch none have one


def diffused(
    vertices: np.ndarray, faces: np.ndarray, classes: np.ndarray, values: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Values (V, C) where those that are not known are as near as can be to their neighbors'.

    They solve Laplace's equation on the mesh's edges, so they have no step inside and keep within the known ones'
    range.

    Args:
        vertices: (V, 3).
        faces: (F, 3) vertices of each.
        classes: (V,); values of one hardly flow into another.
        values: (V, C), heeded where known.
        known: (V,) bool, of which one at least is true.
    """
    wanted = np.flatnonzero(~known)
    if not len(wanted):
        return values
    count = len(vertices)
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    flow = np.where(classes[ends[:, 0]] == classes[ends[:, 1]], 1.0, FAINT)
    graph = coo_matrix((flow, ends.T), (count, count)).tocsr()
    rows = (graph + graph.T)[wanted]
    nearest = values[known][cKDTree(vertices[known]).query(vertices[wanted])[1]]
    total = np.asarray(rows.sum(1)).ravel() + TIE
    system = (diags(total) - rows[:, wanted]).tocsc()
    found = values.astype(np.float64)
    found[wanted] = spsolve(system, rows[:, known] @ found[known] + TIE * nearest).reshape(len(wanted), -1)
    return found
