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
from sofgan.scans.face_frame import FaceFrame
from sofgan.scans.mesh_ops import area_vectors, middles
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.unlabelled.colored_views import colors_at

# How little a difference of colour (RGB, 0..255) must be for labels to spread across it.
_COLOR_SCALE = 24.0
# Pieces up to this area, in squares of the distance from mouth to eyes, are of one class if this share of votes agrees.
_PIECE_AREA, _PIECE_AGREES = 2.5, 0.35
_PIECE_SEEN = (
    0.05  # Votes by area of such a piece, beside those of the whole scan, below which too little is seen.
)
_PATCHES = (labels.SKIN, labels.R_NOSE, labels.L_NOSE, labels.EAR, labels.NECK)
# What lies in or on a face and is not painted beside pieces of its own, if these have this share of its votes.
_THINGS, _OWN_SHARE = (labels.BROW, labels.EYE, labels.EARRING, labels.EYEGLASS, labels.NECKLACE), 0.3
_SURE = 100.0  # Votes of a triangle whose class is known.
# Ties of pieces that touch nothing, beside 1 for neighbours that look alike; and how many triangles are near.
_TIE_TO_LARGEST, _TIE_TO_NEAREST, _NEAR = 1e-3, 1e-2, 8


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
    triangles, index = np.unique(visible[shown], return_inverse=True)  # A few of all those of a scan.
    say = weight * straightness[triangles][index]
    for label in range(1, labels.NUM_CLASSES):
        votes[triangles, label] += np.bincount(index, say * probabilities[label][shown], len(triangles))


def fuse(
    scan: RawScan, votes: np.ndarray, frame: FaceFrame, smoothing: float, may_be: np.ndarray | None = None
) -> np.ndarray:
    """Labels (F,) uint8 of all triangles; a nose is all `R_NOSE`, except where parts tell its sides.

    Args:
        scan: welded.
        votes: (F, 17) as accumulated; both sides of the nose count as one.
        frame: of its face.
        smoothing: votes that agreement with a neighbour is worth.
        may_be: (P, 17) bool, the classes that each part of the scan may hold; None: all.
    """
    votes = votes.copy()
    votes[:, labels.R_NOSE] += votes[:, labels.L_NOSE]
    votes[:, [labels.L_NOSE, labels.BACKGROUND]] = 0
    neighbours = neighbouring_triangles(scan.faces)
    allowed = plausible_classes(middles(scan.vertices, scan.faces), frame)
    if may_be is not None:
        within = may_be[scan.part_of_face]
        both = allowed & within
        allowed = np.where(both.any(1, keepdims=True), both, within)
    votes = np.where(allowed, votes, 0)
    known = allowed.sum(1) == 1
    decided = classes_of_pieces(scan, votes, frame, neighbours)
    of_piece = np.flatnonzero((decided >= 0) & ~known)
    for label in _THINGS:
        if votes[decided == label, label].sum() >= _OWN_SHARE * votes[:, label].sum() > 0:
            elsewhere = (decided < 0) & allowed[:, label] & ~known
            allowed[elsewhere, label], votes[elsewhere, label] = False, 0
    allowed[of_piece] = np.arange(labels.NUM_CLASSES) == decided[of_piece, None]
    votes[of_piece] = votes[of_piece].sum(1, keepdims=True) * allowed[of_piece]
    # What is known is sure of itself, and speaks to what lies beside it.
    votes[known] = _SURE * allowed[known]
    spread = random_walk(surface_graph(scan, neighbours), votes, smoothing)
    face_labels = np.where(allowed, spread, -1).argmax(1).astype(np.uint8)
    return without_specks(scan, face_labels, frame, neighbours, allowed)


def classes_of_pieces(
    scan: RawScan, votes: np.ndarray, frame: FaceFrame, neighbours: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The class (F,) int of each triangle of a small piece that most votes agree on; -1 elsewhere.

    What is modelled as a thing of its own (an eyeball, a brow, an earring, a strand of hair) is of one class, also
    where a view shows too little of it to tell. It is rather a thing than a patch of skin or of a hat, and what hangs
    around the neck hangs on both sides of it.

    Args:
        scan: welded.
        votes: (F, 17), of the classes that triangles may have.
        frame: of its face.
        neighbours: its `neighbouring_triangles`.
    """
    count = len(scan.faces)
    graph = sparse.coo_matrix((np.ones(len(neighbours[0])), neighbours), (count, count))
    pieces, piece = connected_components(graph, directed=False)
    areas = np.linalg.norm(area_vectors(scan.vertices, scan.faces), axis=1) / 2
    size = np.maximum(np.bincount(piece, areas, pieces), 1e-30)
    centres = middles(scan.vertices, scan.faces)
    middle = np.stack([np.bincount(piece, areas * axis, pieces) for axis in centres.T], -1) / size[:, None]
    total = np.stack([np.bincount(piece, column, pieces) for column in votes.T], -1)
    seen = total.sum(1) / size >= _PIECE_SEEN * total.sum() / size.sum()
    total *= plausible_classes(middle, frame)
    total[:, list(_PATCHES)] *= 0.5
    total[:, labels.HAT] = 0
    aside = np.abs((middle - frame.eyes) @ frame.rotation[0]) > 0.5 * frame.height
    total[aside, labels.NECKLACE] = 0
    agree = (total.max(1) > 0) & (total.max(1) >= _PIECE_AGREES * total.sum(1))
    small = (size <= _PIECE_AREA * frame.height**2) & (size < size.max())
    return np.where(small & agree & seen, total.argmax(1), -1)[piece]


def plausible_classes(centres: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """Mask (F, 17) bool of the classes that triangles may have by where their centers (F, 3) lie.

    The bounds are those of generated avatars, with room for other people; lengths are from mouth to eyes.
    """
    left, up, front = ((centres - frame.eyes) @ frame.rotation.T / frame.height).T
    left = np.abs(left)
    allowed = np.ones((len(centres), labels.NUM_CLASSES), bool)
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


def neighbouring_triangles(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of faces (F, 3) that share an edge: their numbers (N,) and (N,). Three at one edge make two pairs."""
    ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    keys = ends[:, 0].astype(np.int64) * (int(faces.max()) + 1) + ends[:, 1]
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    return order[:-1][same] // 3, order[1:][same] // 3


def surface_graph(scan: RawScan, neighbours: tuple[np.ndarray, np.ndarray]) -> sparse.csr_matrix:
    """Neighbouring triangles and how alike they look: (F, F) symmetric, 0..1.

    Pieces that touch nothing, such as eyeballs and glasses, are tied faintly to what is nearest, so that none is
    left without a say.

    Args:
        scan: welded.
        neighbours: its `neighbouring_triangles`.
    """
    count = len(scan.faces)
    centres = middles(scan.vertices, scan.faces)
    colors = colors_at(scan, np.arange(count), np.full((count, 3), 1 / 3))
    a, b = neighbours
    alike = np.exp(-((np.linalg.norm(colors[a] - colors[b], axis=1) / _COLOR_SCALE) ** 2))
    weights = 0.02 + 0.98 * alike
    graph = sparse.coo_matrix((weights, (a, b)), (count, count))
    pieces = connected_components(graph, directed=False)[1]
    largest, nearest = _ties_to_largest(centres, pieces), _ties_to_nearest(centres, pieces)
    rows, columns = (np.concatenate([one, *ties]) for one, *ties in zip(neighbours, largest.T, nearest.T))
    weights = np.concatenate(
        [weights, np.full(len(largest), _TIE_TO_LARGEST), np.full(len(nearest), _TIE_TO_NEAREST)]
    )
    graph = sparse.coo_matrix((weights, (rows, columns)), (count, count)).tocsr()
    return graph + graph.T


def _ties_to_largest(centres: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """Pairs (N, 2) that tie every piece to the nearest triangle of the largest: all hangs together then."""
    largest = np.bincount(pieces).argmax()
    main, others = np.flatnonzero(pieces == largest), np.flatnonzero(pieces != largest)
    distance, nearest = cKDTree(centres[main]).query(centres[others])
    first = _first_of_each(pieces[others], distance)
    return np.stack([others[first], main[nearest[first]]], -1)


def _ties_to_nearest(centres: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """Pairs (N, 2) that tie pieces other than the largest to one close by: a strand of hair to the next strand."""
    others = np.flatnonzero(pieces != np.bincount(pieces).argmax())
    distance, near = cKDTree(centres).query(centres[others], range(1, min(_NEAR, len(centres)) + 1))
    row, column = np.nonzero(pieces[near] != pieces[others][:, None])
    first = _first_of_each(pieces[others[row]], distance[row, column])
    return np.stack([others[row[first]], near[row[first], column[first]]], -1)


def _first_of_each(pieces: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Positions of the least distance of each piece."""
    order = np.lexsort((distance, pieces))
    return order[np.append(True, np.diff(pieces[order]) != 0)] if len(order) else order


def random_walk(graph: sparse.csr_matrix, votes: np.ndarray, smoothing: float) -> np.ndarray:
    """Votes spread over a graph: X of (diag(votes) + smoothing * Laplacian) X = votes, (F, C) shares.

    Args:
        graph: (F, F) symmetric weights; every triangle is tied, if through others, to one with votes.
        votes: (F, C).
        smoothing: the larger, the farther labels spread against votes.

    Raises:
        ScanError: there are no votes at all.
    """
    total = votes.sum(1)
    if not total.any():
        raise ScanError("no view of its face shows any of the surface")
    laplacian = sparse.diags(np.asarray(graph.sum(1)).ravel()) - graph
    # A trace of itself keeps the system regular where numbers get small.
    system = sparse.diags(total + 1e-9) + smoothing * laplacian
    used = np.flatnonzero(votes.any(0))
    shares = np.zeros_like(votes)
    shares[:, used] = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
        np.ascontiguousarray(votes[:, used])
    )
    return shares


def without_specks(
    scan: RawScan,
    face_labels: np.ndarray,
    frame: FaceFrame,
    neighbours: tuple[np.ndarray, np.ndarray],
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """Small islands of a label take the label around them, where they may.

    An island stays if its area is a twentieth of the largest of its class or more (an eye, the lesser of two), and
    at least a five-hundredth of the square of the distance from eyes to mouth; or if nothing is around it.

    Args:
        scan: welded.
        face_labels: (F,) uint8.
        frame: of its face.
        neighbours: its `neighbouring_triangles`.
        allowed: (F, 17) bool, the classes that triangles may have; None: all.
    """
    areas = np.linalg.norm(area_vectors(scan.vertices, scan.faces), axis=1) / 2
    a, b = neighbours
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
        new = borders.argmax(1)[piece]
        may = True if allowed is None else allowed[np.arange(count), new]
        face_labels = np.where(change[piece] & may, new, face_labels).astype(np.uint8)
    return face_labels
