"""Cutting labelled meshes along a surface, so that the cut is an edge and not a row of teeth."""

import numpy as np


def cut_at_plane(
    vertices: np.ndarray, faces: np.ndarray, normal: np.ndarray, offset: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the triangles that cross the plane `normal . x = offset`.

    Args:
        vertices, faces: (V, 3) float and (F, 3) int.
        normal, offset: (3,) and a number.

    Returns:
        vertices with those of the cut appended, faces, and for each new face the old one it is part of. No
        new face has corners on both sides.
    """
    heights = vertices @ normal - offset
    return _cut(vertices, faces, heights, lambda a, b: heights[a] / (heights[a] - heights[b]))


def clip_to_ball(
    vertices: np.ndarray, faces: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep what lies in the ball around the origin; the triangles that cross it are cut on its surface.

    Args:
        vertices, faces: (V, 3) float and (F, 3) int.
        radius: of the ball.

    Returns:
        vertices (unused ones left out), faces, and for each face the old one it is part of.
    """
    heights = (vertices * vertices).sum(-1) - radius**2

    def crossing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # |p + t d| = r has one root in 0..1, as one end is inside; p is the inner end.
        inner, outer = np.where(heights[a] < 0, a, b), np.where(heights[a] < 0, b, a)
        p, d = vertices[inner], vertices[outer] - vertices[inner]
        dd, pd = (d * d).sum(-1), (p * d).sum(-1)
        root = (-pd + np.sqrt(pd**2 - dd * heights[inner])) / dd
        return np.where(heights[a] < 0, root, 1 - root)

    points, pieces, origin = _cut(vertices, faces, heights, crossing)
    # Vertices of the cut are on the sphere: a piece is inside if its other corners are.
    inside = np.append(heights <= 0, np.ones(len(points) - len(vertices), bool))[pieces].all(1)
    return *compact(points, pieces[inside]), origin[inside]


# New triangles of one whose edges 01, 12, 20 are split or not, by its corners 0, 1, 2 and the middles 3, 4, 5
# of those edges. A triangle with one split edge is turned until that is 01, one with two until those are 01, 12.
_SPLITS = {
    0: ((0, 1, 2),),
    1: ((0, 3, 2), (3, 1, 2)),
    2: ((3, 1, 4), (0, 3, 4), (0, 4, 2)),
    3: ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)),
}


def subdivide(
    vertices: np.ndarray, faces: np.ndarray, marked: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Divide the marked triangles into four, and their neighbours so that no gap opens.

    Args:
        vertices, faces: (V, 3) float and (F, 3) int; triangles are neighbours where they share vertices.
        marked: (F,) bool.

    Returns:
        vertices with the middles of edges appended, faces (F', 3), for each face the old one it is part of
        (F',), and its corners' weights among that one's corners (F', 3, 3).
    """
    ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=-1).reshape(-1, 2)
    edges, edge_of = np.unique(ends[:, 0] * (len(vertices) + 1) + ends[:, 1], return_inverse=True)
    edge_of = edge_of.reshape(-1, 3)
    split = np.zeros(len(edges), bool)
    split[edge_of[marked]] = True
    middle = np.cumsum(split) - 1 + len(vertices)
    a, b = edges[split] // (len(vertices) + 1), edges[split] % (len(vertices) + 1)
    points = np.concatenate([vertices, (vertices[a] + vertices[b]) / 2])
    is_split = split[edge_of]
    count = is_split.sum(1)
    # How far to turn: one split edge comes first, one unsplit edge comes last.
    turn = np.where(count == 1, is_split.argmax(1), np.where(count == 2, (~is_split).argmax(1) + 1, 0)) % 3
    order = (np.arange(3) + turn[:, None]) % 3
    local = np.concatenate(
        [np.take_along_axis(faces, order, 1), np.take_along_axis(middle[edge_of], order, 1)], 1
    )
    corner = np.eye(3)
    weights = np.concatenate([corner, (corner + corner[[1, 2, 0]]) / 2])  # of the six points, after turning
    new, origin, new_weights = [], [], []
    for splits, pieces in _SPLITS.items():
        ids = np.flatnonzero(count == splits)
        unturned = np.argsort(order[ids], axis=1)
        for piece in pieces:
            new.append(local[ids][:, piece])
            origin.append(ids)
            turned = np.broadcast_to(weights[list(piece)], (len(ids), 3, 3))
            new_weights.append(np.take_along_axis(turned, unturned[:, None, :], 2))
    return points, np.concatenate(new), np.concatenate(origin), np.concatenate(new_weights)


def compact(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same triangles without the vertices that none of them uses."""
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    return vertices[used], (np.cumsum(used) - 1)[faces]


def _cut(vertices, faces, heights, crossing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split triangles where `heights` (V,) changes sign; `crossing(a, b)` is where on the edge, 0..1."""
    side = np.sign(heights).astype(int)
    corner_side = side[faces]
    crossed = (corner_side.min(1) < 0) & (corner_side.max(1) > 0)
    ids = np.flatnonzero(crossed)
    # Both triangles of an edge must share the new vertex: edges are cut once, by their sorted ends.
    ends = np.sort(faces[ids][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges = np.unique(ends[side[ends[:, 0]] * side[ends[:, 1]] < 0], axis=0)
    a, b = edges[:, 0], edges[:, 1]
    along = crossing(a, b)[:, None]
    points = np.concatenate([vertices, vertices[a] + along * (vertices[b] - vertices[a])])
    number = {(int(p), int(q)): len(vertices) + i for i, (p, q) in enumerate(edges)}
    pieces, origin = [faces[~crossed]], [np.flatnonzero(~crossed)]
    new, new_origin = [], []
    for face in ids:  # Only the few triangles on the cut.
        loop = []
        for corner in range(3):
            p, q = int(faces[face, corner]), int(faces[face, (corner + 1) % 3])
            loop.append((p, side[p]))
            middle = number.get((min(p, q), max(p, q)))
            if middle is not None:
                loop.append((middle, 0))
        for sign in (-1, 1):
            polygon = [vertex for vertex, where in loop if where in (0, sign)]
            for second, third in zip(polygon[1:], polygon[2:]):
                new.append((polygon[0], second, third))
                new_origin.append(face)
    if new:
        pieces.append(np.array(new, faces.dtype))
        origin.append(np.array(new_origin))
    return points, np.concatenate(pieces), np.concatenate(origin)


def middles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) centroids of the triangles `faces` (F, 3) of `vertices` (V, 3)."""
    return vertices[faces].mean(1)


def area_vectors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) normals as long as twice the triangles' areas."""
    corners = vertices[faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
