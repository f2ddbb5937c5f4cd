"""Labels of parsed views brought together on the surface of a scan.

Every pixel votes for the triangle that it shows, the more the straighter it looks at it. The votes are then spread
along the surface by a random walk with restarts (Grady 2006, here with soft votes in place of seeds), which stops
where colours or parts change: what no view shows, such as the back of a head, gets the labels of what surrounds it.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from sofgan import labels
from sofgan.scans.colored_views import colors_at
from sofgan.scans.face_frame import FaceFrame
from sofgan.scans.reading import RawScan

# How little a difference of colour (RGB, 0..255) must be for labels to spread across it.
_COLOR_SCALE = 24.0


def accumulate_votes(
    votes: np.ndarray, probabilities: np.ndarray, visible: np.ndarray, straightness: np.ndarray, weight: float
) -> None:
    """Add one view's votes to `votes` (F, 17), in place.

    A pixel's say is its view's weight times the cosine at which it meets the surface; what it gives to the
    background is void, as it does show a surface.

    Args:
        probabilities: (17, S, S).
        visible: (S, S) triangles, -1 for none.
        straightness: (F,) cosines between the triangles' normals and the direction to the camera.
        weight: of the view.
    """
    shown = visible >= 0
    triangles = visible[shown]
    say = weight * straightness[triangles]
    for label in range(1, labels.NUM_CLASSES):
        votes[:, label] += np.bincount(triangles, say * probabilities[label][shown], len(votes))


def fuse(scan: RawScan, votes: np.ndarray, frame: FaceFrame, smoothing: float) -> np.ndarray:
    """Labels (F,) uint8 of all triangles; a nose is all `R_NOSE`.

    Args:
        scan: welded.
        votes: (F, 17) as accumulated; both sides of the nose count as one.
        frame: of its face.
        smoothing: votes that agreement with a neighbour is worth.
    """
    votes = votes.copy()
    votes[:, labels.R_NOSE] += votes[:, labels.L_NOSE]
    votes[:, [labels.L_NOSE, labels.BACKGROUND]] = 0
    allowed = plausible_classes(scan.vertices[scan.faces].mean(1), frame)
    spread = random_walk(surface_graph(scan, frame), np.where(allowed, votes, 0), smoothing)
    face_labels = np.where(allowed, spread, -1).argmax(1).astype(np.uint8)
    return without_specks(scan, face_labels, frame)


def plausible_classes(middles: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """Which classes triangles may have by where their middles (F, 3) lie: (F, 17) bool.

    The bounds are those of generated avatars, with room for other people; lengths are from mouth to eyes.
    """
    left, up, front = ((middles - frame.eyes) @ frame.rotation.T / frame.height).T
    left = np.abs(left)
    allowed = np.ones((len(middles), labels.NUM_CLASSES), bool)
    for label, region in (
        (labels.BROW, (left < 1.2) & (up > -0.1) & (up < 0.7) & (front > -0.6)),
        (labels.EYE, (left < 1.0) & (np.abs(up) < 0.45) & (front > -0.6)),
        (labels.R_NOSE, (left < 0.6) & (up > -1.1) & (up < 0.3) & (front > -0.3)),
        (labels.MOUTH, (left < 0.8) & (up > -1.9) & (up < -0.3) & (front > -0.9)),
        (labels.U_LIP, (left < 0.7) & (up > -1.4) & (up < -0.6) & (front > -0.5)),
        (labels.L_LIP, (left < 0.7) & (up > -1.75) & (up < -0.7) & (front > -0.5)),
        (labels.EAR, (left > 0.7) & (up > -1.1) & (up < 0.4) & (front > -2.0) & (front < -0.7)),
        (labels.EARRING, (left > 0.8) & (up > -2.2) & (up < 0.1) & (front > -1.9) & (front < -0.5)),
        (labels.EYEGLASS, (left < 1.6) & (np.abs(up) < 0.8) & (front > -1.9)),
        (labels.NECK, up < -0.5),
        (labels.NECKLACE, up < -1.1),
        (labels.CLOTH, up < -0.8),
        (labels.HAT, up > -0.6),
        (labels.BACKGROUND, False),
        (labels.L_NOSE, False),
    ):
        allowed[:, label] = region
    return allowed


def surface_graph(scan: RawScan, frame: FaceFrame) -> sparse.csr_matrix:
    """Neighbouring triangles and how alike they look: (F, F) symmetric, 0..1.

    Triangles are neighbours across an edge. Pieces that touch nothing, such as eyeballs and glasses, are tied
    faintly to what is nearest, so that none is left without a say.
    """
    count = len(scan.faces)
    middles = scan.vertices[scan.faces].mean(1)
    colors = colors_at(scan, np.arange(count), np.full((count, 3), 1 / 3))
    ends = np.sort(scan.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    keys = ends[:, 0].astype(np.int64) * len(scan.vertices) + ends[:, 1]
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    a, b = order[:-1][same] // 3, order[1:][same] // 3
    alike = np.exp(-((np.linalg.norm(colors[a] - colors[b], axis=1) / _COLOR_SCALE) ** 2))
    weights = 0.02 + 0.98 * alike
    graph = sparse.coo_matrix((weights, (a, b)), (count, count))
    pieces = connected_components(graph, directed=False)[1]
    ties = _ties_between(middles, pieces)
    rows, columns = np.concatenate([a, ties[:, 0]]), np.concatenate([b, ties[:, 1]])
    weights = np.concatenate([weights, np.full(len(ties), 1e-3)])
    graph = sparse.coo_matrix((weights, (rows, columns)), (count, count)).tocsr()
    return graph + graph.T


def _ties_between(middles: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """Pairs (N, 2) that tie every piece but the largest to the nearest triangle of another, chain by chain."""
    sizes = np.bincount(pieces)
    largest = sizes.argmax()
    main = np.flatnonzero(pieces == largest)
    tree = cKDTree(middles[main])
    distance, nearest = tree.query(middles)
    ties = []
    order = np.lexsort((distance, pieces))
    first = order[np.append(True, pieces[order][1:] != pieces[order][:-1])]
    for triangle in first:
        if pieces[triangle] != largest:
            ties.append((triangle, main[nearest[triangle]]))
    return np.array(ties, int).reshape(-1, 2)


def random_walk(graph: sparse.csr_matrix, votes: np.ndarray, smoothing: float) -> np.ndarray:
    """Votes spread over a graph: X of (diag(votes) + smoothing * Laplacian) X = votes, (F, C) shares.

    Args:
        graph: (F, F) symmetric weights; every triangle is tied, if through others, to one with votes.
        votes: (F, C).
        smoothing: the larger, the farther labels spread against votes.

    Raises:
        ValueError: there are no votes at all.
    """
    total = votes.sum(1)
    if not total.any():
        raise ValueError("no view shows any of the surface")
    laplacian = sparse.diags(np.asarray(graph.sum(1)).ravel()) - graph
    # A trace of itself keeps the system regular where numbers get small.
    system = sparse.diags(total + 1e-9) + smoothing * laplacian
    used = np.flatnonzero(votes.any(0))
    shares = np.zeros_like(votes)
    shares[:, used] = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
        np.ascontiguousarray(votes[:, used])
    )
    return shares


def without_specks(scan: RawScan, face_labels: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """Small islands of a label take the label around them.

    An island stays if its area is a twentieth of the largest of its class or more (an eye, the lesser of two), and
    at least a five-hundredth of the face's square.
    """
    corners = scan.vertices[scan.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    face_labels = face_labels.copy()
    ends = np.sort(scan.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    keys = ends[:, 0].astype(np.int64) * len(scan.vertices) + ends[:, 1]
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    a, b = order[:-1][same] // 3, order[1:][same] // 3
    for _ in range(2):  # What an island gives way to may be one itself.
        inside = face_labels[a] == face_labels[b]
        count = len(face_labels)
        graph = sparse.coo_matrix((np.ones(inside.sum()), (a[inside], b[inside])), (count, count))
        pieces, piece = connected_components(graph, directed=False)
        size = np.bincount(piece, areas, pieces)
        label_of = np.zeros(pieces, int)
        label_of[piece] = face_labels
        largest = np.zeros(labels.NUM_CLASSES)
        np.maximum.at(largest, label_of, size)
        small = (size < 0.05 * largest[label_of]) | (size < frame.height**2 / 500)
        borders = np.zeros((pieces, labels.NUM_CLASSES))
        np.add.at(borders, (piece[a[~inside]], face_labels[b[~inside]]), 1)
        np.add.at(borders, (piece[b[~inside]], face_labels[a[~inside]]), 1)
        change = small & (borders.sum(1) > 0)
        face_labels = np.where(change[piece], borders.argmax(1)[piece], face_labels).astype(np.uint8)
    return face_labels
