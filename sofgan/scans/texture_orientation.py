"""Orientation of a segmentation texture: some tools count texture coordinates from above, most from below.

The right way is told by what it makes of the surface: classes in patches with short borders, little painted as
background, and a face, one that stands upright in the file if both ways show one. `benchmarks.texture_way` measures
it on generated avatars whose textures are painted on other layouts.
"""

import numpy as np

from sofgan import labels
from sofgan.scans.face_frame import NoFrame, frame_of_labels
from sofgan.scans.mesh_ops import area_vectors
from sofgan.scans.reading import RawScan

# What a surface that is all background costs, in lengths of borders over the square root of the area.
_BACKGROUND_COST = 20.0
# What a face that stands upright along +Y or +Z counts, in logarithms of a cost, and how upright it must stand.
_UPRIGHT_BONUS, _UPRIGHT = 0.3, 0.7
# How much better the turned texture must be to be taken. Standing upright alone is not enough: some files stand
# upside down.
TURNED_ABOVE = 0.35


def turning_score(scan: RawScan, as_it_is: np.ndarray, turned: np.ndarray) -> float:
    """Score of how much better a segmentation texture fits upside down; above `TURNED_ABOVE` it is turned.

    Args:
        scan: welded.
        as_it_is, turned: (F,) uint8 labels that the texture gives in either way.

    Returns:
        a difference of logarithms of costs; infinite where only the turned texture shows a face, minus infinity where
        it shows none.
    """
    fit, fit_before = _plausibility(scan, turned), _plausibility(scan, as_it_is)
    if fit is None or fit_before is None:
        return -np.inf if fit is None else np.inf
    (cost, upright), (cost_before, upright_before) = fit, fit_before
    return float(np.log(cost_before / cost) + _UPRIGHT_BONUS * (int(upright) - int(upright_before)))


def _plausibility(scan: RawScan, face_labels: np.ndarray) -> tuple[float, bool] | None:
    """Cost of labels, and whether the face stands upright; None if they show no face."""
    seen = face_labels != labels.BACKGROUND
    if not seen.any():
        return None
    try:
        up = frame_of_labels(scan.vertices, scan.faces[seen], face_labels[seen]).rotation[1]
    except NoFrame:
        return None
    return _cost(scan, face_labels), bool(max(up[1], up[2]) > _UPRIGHT)


def _cost(scan: RawScan, face_labels: np.ndarray) -> float:
    """Length of all borders between classes, over the square root of the area, and a price for background."""
    areas = np.linalg.norm(area_vectors(scan.vertices, scan.faces), axis=1) / 2
    total = max(areas.sum(), 1e-300)
    ends = np.sort(scan.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, owner = ends[order], np.repeat(np.arange(len(scan.faces)), 3)[order]
    shared = np.flatnonzero((ends[1:] == ends[:-1]).all(1))
    border = shared[face_labels[owner[shared]] != face_labels[owner[shared + 1]]]
    length = np.linalg.norm(scan.vertices[ends[border, 0]] - scan.vertices[ends[border, 1]], axis=1).sum()
    background = areas[face_labels == labels.BACKGROUND].sum() / total
    return float(length / np.sqrt(total) + _BACKGROUND_COST * background) + 1e-6
