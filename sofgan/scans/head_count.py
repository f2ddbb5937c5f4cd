"""Whether a labelled scan shows more than one head: where its eyes lie, and whether each place has its own face."""

import numpy as np
from scipy.spatial import cKDTree

from sofgan import labels
from sofgan.scans.face_cues import BARE, MOUTH, NOSE
from sofgan.scans.mesh_ops import area_vectors, middles

_POINTS = 200  # of the eyes, spread over them: what is looked at
_STRAY = 0.04  # of the eyes' area: less of it, somewhere else, is a mistake of the labels
# Two groups of eyes are of two heads if they are farther apart than this many times their own extent, and noses or
# mouths have a gap of at least this share of that distance where the groups have theirs. (On one head the two groups
# are its two eyes, its mouth and its nose lie between them, and their gaps are fragments' gaps.)
_APART, _GAP = 1.3, 0.4
# Eyes alone: two pairs, equally wide within this factor, farther apart than this many times that.
_ALIKE, _PAIRS_APART = 3.0, 2.2
_PAIR_GAP = 0.15  # of a pair's extent is between its eyes
_PAIR_SHARE = 0.2  # of a pair's points are of either eye: of one eye a corner may lie as far from the rest
# Around a pair there is a head, no sheet, as there is about parts of one eye: its least extent over its largest.
_SOLID, _HEAD_REACH = 0.35, 2.2
# Three heads: a group that is two heads, again. Its groups are this much of the distance apart.
_AGAIN = 0.45


def has_two_heads(vertices: np.ndarray, faces: np.ndarray, face_labels: np.ndarray) -> bool:
    """Whether labelled eyes (V, 3), (F, 3), (F,) lie in two places, each with a nose or mouth, or a skull, of its own.

    Copies of a head at one place, such as levels of detail, are one head.
    """
    centres = middles(vertices, faces)
    areas = np.linalg.norm(area_vectors(vertices, faces), axis=1)
    eyes = face_labels == labels.EYE
    if not eyes.any():
        return False
    others = [centres[np.isin(face_labels, classes)] for classes in (MOUTH, NOSE)]
    bare = np.isin(face_labels, BARE) & ~eyes
    return _several(_spread(centres[eyes], areas[eyes]), others, centres[bare], areas[bare], 0.0)


def _several(eyes: np.ndarray, others, bare, areas, least: float) -> bool:
    split = two_groups(eyes)
    if split is None:
        return False
    groups = [eyes[split], eyes[~split]]
    places = [group.mean(0) for group in groups]
    apart = float(np.linalg.norm(places[0] - places[1]))
    if apart < least:
        return False
    extents = [_extent(group) for group in groups]
    if apart > _APART * max(extents) and any(_divided(points, places, apart) for points in others):
        return True
    if not any(len(points) for points in others) and _two_pairs(groups, apart, bare, areas):
        return True
    return any(_several(group, others, bare, areas, _AGAIN * apart) for group in groups)


def _spread(points: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """At most `_POINTS` points, each the farthest from those before it; strays left out."""
    chosen, distance = [int(areas.argmax())], np.full(len(points), np.inf)
    while len(chosen) < min(_POINTS, len(points)):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        if distance.max() <= 0:
            break
        chosen.append(int(distance.argmax()))
    spread = points[chosen]
    nearest = _nearest(points, spread)
    for _ in range(8):
        split = two_groups(spread)
        if split is None:
            break
        share = areas[split[nearest]].sum() / max(areas.sum(), 1e-300)
        if _STRAY <= share <= 1 - _STRAY:
            break
        kept = split if share > 0.5 else ~split
        inside = kept[nearest]
        points, areas, spread = points[inside], areas[inside], spread[kept]
        nearest = _nearest(points, spread)
    return spread


def _nearest(points: np.ndarray, among: np.ndarray) -> np.ndarray:
    return cKDTree(among).query(points)[1]


def two_groups(points: np.ndarray) -> np.ndarray | None:
    """Mask (N,) bool of the points (N, D) on one side of the widest gap; None where all lie in one place."""
    if len(points) < 2:
        return None
    # The longest edge of the shortest tree through all points (Prim) is the widest gap.
    distance, parent = np.linalg.norm(points - points[0], axis=1), np.zeros(len(points), int)
    order, waiting = [0], np.ones(len(points), bool)
    waiting[0] = False
    edges = []
    while waiting.any():
        one = int(np.where(waiting, distance, np.inf).argmin())
        edges.append((distance[one], one, parent[one]))
        waiting[one] = False
        order.append(one)
        nearer = np.linalg.norm(points - points[one], axis=1)
        closer = waiting & (nearer < distance)
        distance[closer], parent[closer] = nearer[closer], one
    longest, child, _ = max(edges)
    if longest <= 0:
        return None
    below = np.zeros(len(points), bool)
    below[child] = True
    for _, one, above in edges[[edge[1] for edge in edges].index(child) + 1 :]:
        below[one] = below[above]
    return below


def _divided(points: np.ndarray, places: list[np.ndarray], apart: float) -> bool:
    """Whether there are points near either place, with a gap where the middle between them is."""
    if len(points) < 2:
        return False
    along = (points - places[0]) @ (places[1] - places[0]) / apart**2
    near, far = along[along < 0.5], along[along >= 0.5]
    return bool(len(near) and len(far)) and float(far.min() - near.max()) >= _GAP


def _two_pairs(groups, apart: float, bare: np.ndarray, areas: np.ndarray) -> bool:
    widths = []
    for group in groups:
        split = two_groups(group)
        if split is None:
            return False
        one, other = group[split], group[~split]
        if min(len(one), len(other)) < _PAIR_SHARE * len(group):
            return False
        widths.append(float(np.linalg.norm(one.mean(0) - other.mean(0))))
        gap = np.linalg.norm(one[:, None] - other, axis=-1).min()
        if gap < _PAIR_GAP * _extent(group):
            return False
    if max(widths) > _ALIKE * min(widths) or apart < _PAIRS_APART * max(widths):
        return False
    return all(_is_solid(group.mean(0), width, bare, areas) for group, width in zip(groups, widths))


def _is_solid(middle: np.ndarray, width: float, bare: np.ndarray, areas: np.ndarray) -> bool:
    near = np.linalg.norm(bare - middle, axis=1) < _HEAD_REACH * width
    if near.sum() < 4:
        return False
    offset = bare[near] - np.average(bare[near], axis=0, weights=areas[near] + 1e-300)
    variances = np.linalg.eigvalsh((offset * areas[near, None]).T @ offset / areas[near].sum())
    return bool(variances[0] > (_SOLID**2) * variances[-1])


def _extent(points: np.ndarray) -> float:
    """The longest side of the box around points, along their own axes."""
    offset = points - points.mean(0)
    _, axes = np.linalg.eigh(offset.T @ offset)
    return float(np.ptp(offset @ axes, axis=0).max())
