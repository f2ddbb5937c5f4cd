"""Operations on meshes that are linear in the vertices, kept as sparse matrices so that one set-up serves all heads."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph


def edge_keys(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique undirected edges (E, 2) of polygons (F, K), and for each polygon side (F, K) the edge's index."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1)
    low, high = ends.min(-1).astype(np.int64), ends.max(-1).astype(np.int64)
    base = int(faces.max()) + 1
    keys, inverse = np.unique(low * base + high, return_inverse=True)
    return np.stack([keys // base, keys % base], axis=1), inverse.reshape(faces.shape)


def catmull_clark(quads: np.ndarray, count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One Catmull-Clark step: the (V', count) matrix from old to new vertices, and the (4F, 4) new quads.

    New quad k of old face f has index 4 f + k. New vertices: the `count` old ones, then edges, then faces.
    """
    edges, sides = edge_keys(quads)
    n_faces, n_edges = len(quads), len(edges)

    def matrix(rows: np.ndarray, columns: np.ndarray, values, shape: tuple[int, int]) -> sparse.csr_matrix:
        values = np.broadcast_to(np.asarray(values, dtype=np.float64), rows.shape)
        return sparse.csr_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=shape)

    face_index = np.arange(n_faces)[:, None].repeat(4, axis=1)
    edge_index = np.arange(n_edges)[:, None].repeat(2, axis=1)
    face_points = matrix(face_index, quads, 0.25, (n_faces, count))
    midpoints = matrix(edge_index, edges, 0.5, (n_edges, count))
    edge_faces = matrix(sides, face_index, 1.0, (n_edges, n_faces))
    border_edge = np.asarray(edge_faces.sum(1)).ravel() < 2
    inner = sparse.diags((~border_edge).astype(float))
    edge_points = inner @ (0.5 * midpoints + 0.25 * edge_faces @ face_points)
    edge_points = edge_points + sparse.diags(border_edge.astype(float)) @ midpoints

    identity = sparse.identity(count, format="csr")
    faces_at = matrix(quads, face_index, 1.0, (count, n_faces))
    edges_at = matrix(edges, edge_index, 1.0, (count, n_edges))
    valence = np.maximum(np.asarray(faces_at.sum(1)).ravel(), 1)
    degree = np.maximum(np.asarray(edges_at.sum(1)).ravel(), 1)
    smooth = (
        sparse.diags(1 / valence**2) @ faces_at @ face_points
        + sparse.diags(2 / (degree * valence)) @ edges_at @ midpoints
        + sparse.diags((valence - 3) / valence) @ identity
    )
    border_at = edges_at @ sparse.diags(border_edge.astype(float))
    on_border = np.asarray(border_at.sum(1)).ravel()
    # A border vertex keeps to the border curve: 3/4 of itself and 1/8 of each neighbour along it.
    curve = 0.5 * identity + 0.25 * border_at @ midpoints
    used = np.asarray(faces_at.sum(1)).ravel() > 0
    vertex_points = sparse.diags((used & (on_border == 0)).astype(float)) @ smooth
    vertex_points = vertex_points + sparse.diags((on_border == 2).astype(float)) @ curve
    vertex_points = vertex_points + sparse.diags((~used | ((on_border > 0) & (on_border != 2))).astype(float))

    face_vertex = np.broadcast_to(count + n_edges + np.arange(n_faces)[:, None], quads.shape)
    side_vertex = count + sides
    new_quads = np.stack([quads, side_vertex, face_vertex, np.roll(side_vertex, 1, axis=1)], axis=-1)
    return sparse.vstack([vertex_points, edge_points, face_points]).tocsr(), new_quads.reshape(-1, 4)


def triangulate(quads: np.ndarray) -> np.ndarray:
    """(F, 4) quadrilaterals as (2F, 3) triangles; those of quad f are 2 f and 2 f + 1."""
    return np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)


def split_at_level(faces: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Cut triangles along the curve where `level` (V,) passes zero, so that a region's border is smooth.

    Returns the new (F', 3) faces, for each the index of the face it came from, and the (V', V) matrix from old
    to new vertices (the old ones first). No new face has vertices strictly on both sides.
    """
    count = len(level)
    level = np.where(level == 0, 1e-12, level)
    inside = level > 0
    votes = inside[faces].sum(1)
    mixed = (votes == 1) | (votes == 2)
    whole = np.flatnonzero(~mixed)
    if not mixed.any():
        return faces, np.arange(len(faces)), sparse.identity(count, format="csr")
    cut_index = np.flatnonzero(mixed)
    cut = faces[cut_index]
    # Turn each triangle so that its lone vertex comes first.
    lone = np.where(votes[cut_index] == 1, inside[cut].argmax(1), (~inside[cut]).argmax(1))
    cut = cut[np.arange(len(cut))[:, None], (lone[:, None] + np.arange(3)) % 3]
    sides = np.stack([cut[:, [0, 1]], cut[:, [0, 2]]], axis=1)
    ordered = np.sort(sides, axis=-1).astype(np.int64)
    keys, inverse = np.unique(ordered[..., 0] * count + ordered[..., 1], return_inverse=True)
    first, second = keys // count, keys % count
    share = np.clip(level[first] / (level[first] - level[second]), 0.02, 0.98)
    middle = count + inverse.reshape(-1, 2)
    a, b = middle[:, 0], middle[:, 1]
    v0, v1, v2 = cut.T
    pieces = np.stack(
        [np.stack([v0, a, b], 1), np.stack([a, v1, v2], 1), np.stack([a, v2, b], 1)], axis=1
    ).reshape(-1, 3)
    rows = np.arange(len(keys))
    between = sparse.csr_matrix(
        (np.r_[1 - share, share], (np.r_[rows, rows], np.r_[first, second])), shape=(len(keys), count)
    )
    matrix = sparse.vstack([sparse.identity(count, format="csr"), between]).tocsr()
    origin = np.r_[whole, cut_index.repeat(3)]
    order = np.argsort(origin, kind="stable")
    return np.r_[faces[whole], pieces][order], origin[order], matrix


def compact(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces renumbered to use only the vertices they touch, and the (V',) old indices of those vertices."""
    used = np.unique(faces)
    lookup = np.full(count, -1, dtype=np.int64)
    lookup[used] = np.arange(len(used))
    return lookup[faces], used


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) normals whose length is twice the triangle's area."""
    a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, the area-weighted mean of the faces around each vertex (zero where there is none)."""
    weighted = face_normals(vertices, faces)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(weighted[:, k], 3), len(vertices)) for k in range(3)], axis=1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)


def mean_neighbours(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """(V, V) matrix that replaces each vertex by the mean of its neighbours (itself where it has none)."""
    edges, _ = edge_keys(faces)
    ones = np.ones(len(edges))
    adjacency = sparse.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    adjacency = adjacency + adjacency.T
    degree = np.asarray(adjacency.sum(1)).ravel()
    lonely = sparse.diags((degree == 0).astype(float))
    return (sparse.diags(1 / np.maximum(degree, 1)) @ adjacency + lonely).tocsr()


def wound_outwards(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces (F, 3) turned so that every connected piece has its outer side in front.

    A piece's volume about its own centroid tells: it is negative where the piece is inside out. That holds
    for closed surfaces, and for sheets that bulge round their middle, as hair and hats do.
    """
    count = len(vertices)
    ones = np.ones(2 * len(faces), dtype=np.int8)
    links = sparse.coo_matrix((ones, (faces[:, :2].ravel(), faces[:, 1:].ravel())), shape=(count, count))
    pieces = csgraph.connected_components(links, directed=False)[1][faces[:, 0]]
    corners = vertices[faces].astype(np.float64)
    size = np.bincount(pieces)
    centre = np.stack([np.bincount(pieces, corners.mean(1)[:, axis]) for axis in range(3)], 1)
    corners -= (centre / np.maximum(size, 1)[:, None])[pieces][:, None]
    volume = np.bincount(pieces, np.linalg.det(corners))
    return np.where((volume < 0)[pieces][:, None], faces[:, ::-1], faces)
