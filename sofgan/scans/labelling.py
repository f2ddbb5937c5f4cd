"""Which of the 17 classes each triangle of a raw scan is: from names, a segmentation texture or colours."""

import re
from dataclasses import dataclass, replace

import numpy as np

from sofgan import labels
from sofgan.scans.reading import RawScan, ScanError

# What a rule may give besides the 17 classes: a nose that is to be split, and parts to leave out.
NOSE, DROP = "nose", "drop"
_DROPPED = 255

# Where a triangle reads its texture: its middle (which decides ties), near its corners, near its edges' middles.
_SAMPLES = np.array(
    [[4, 4, 4], [10, 1, 1], [1, 10, 1], [1, 1, 10], [5.5, 5.5, 1], [1, 5.5, 5.5], [5.5, 1, 5.5]]
) / 12  # fmt: skip


class NoLabels(ScanError):
    """Nothing in a scan tells its classes; its colours or its shape may still show a face."""


@dataclass(frozen=True)
class Labelled:
    """A scan with a label on each triangle.

    Attributes:
        scan: the triangles that are kept.
        face_labels: (F,) uint8 class ids; an undivided nose is all `R_NOSE`.
        source: "names", "segmentation texture", "colours", "parsed views" or "shape".
        off_palette: samples of a texture or of colours that were near a palette colour but not on it.
    """

    scan: RawScan
    face_labels: np.ndarray
    source: str
    off_palette: int = 0


def class_id(name: str) -> int:
    """Id of a class that a rule names; 255 for `DROP`.

    Raises:
        ValueError: there is no such class.
    """
    if name == DROP:
        return _DROPPED
    if name == NOSE:
        return labels.R_NOSE
    if name not in labels.NAMES:
        raise ValueError(f"a rule gives the class '{name}'; known: {', '.join(labels.NAMES)}, {NOSE}, {DROP}")
    return labels.NAMES.index(name)


def label_scan(
    scan: RawScan,
    rules: tuple[tuple[str, str], ...],
    segmentation: np.ndarray | None,
    tolerance: float,
    max_off_palette: float,
    refinements: int = 0,
) -> Labelled:
    """Label a scan from the best source it has: a segmentation texture, else names, else colours.

    Args:
        scan: what was read.
        rules: (regular expression, class) pairs, see `label_by_names`.
        segmentation: (H, W, 3) uint8 texture in palette colours, or None.
        tolerance: Euclidean distance (0..441) within which a colour counts as a palette colour.
        max_off_palette: share of samples that may lie farther than that.
        refinements: how often triangles that a border of the texture crosses are divided.

    Raises:
        NoLabels: no source gives labels; the message says what each lacked.
        ScanError: the segmentation texture is there but no use.
    """
    if segmentation is not None:
        if scan.corner_uv is None or np.isnan(scan.corner_uv).any():
            raise ScanError("it has a segmentation texture but no texture coordinates")
        return _without_background(
            label_by_texture(scan, segmentation, tolerance, max_off_palette, refinements)
        )
    lacks = []
    for label in (
        lambda: label_by_names(scan, rules),
        lambda: label_by_colors(scan, tolerance, max_off_palette),
    ):
        try:
            return _without_background(label())
        except ScanError as error:
            lacks.append(str(error))
    raise NoLabels("no labels: " + "; ".join(lacks) + "; no segmentation texture")


def _without_background(labelled: Labelled) -> Labelled:
    """Leave out what is painted as background: a surface can't be, and would hide what lies behind it."""
    keep = labelled.face_labels != labels.BACKGROUND
    if keep.all():
        return labelled
    if not keep.any():
        raise ScanError("all of it is labelled as background")
    return replace(labelled, scan=labelled.scan.select(keep), face_labels=labelled.face_labels[keep])


def label_by_names(scan: RawScan, rules: tuple[tuple[str, str], ...]) -> Labelled:
    """Label whole parts by what they are called.

    A rule matches a part if its regular expression is found, case ignored, in any of the part's names; the
    first rule that matches decides.

    Raises:
        ScanError: a part matches no rule, or all are of one class.
    """
    ids = [_match(names, rules) for names in scan.part_names]
    strangers = [names for names, found in zip(scan.part_names, ids) if found is None]
    if strangers:
        shown = ", ".join("/".join(names) or "(no name)" for names in strangers[:4])
        raise ScanError(f"no rule matches the part{'s' if len(strangers) > 1 else ''} {shown}")
    face_labels = np.array(ids, np.uint8)[scan.part_of_face]
    keep = face_labels != _DROPPED
    if not keep.any():
        raise ScanError("the rules drop every part")
    if len(np.unique(face_labels[keep])) == 1:
        raise ScanError(f"its part names tell nothing apart: all is {labels.NAMES[face_labels[keep][0]]}")
    return Labelled(scan.select(keep), face_labels[keep], "names")


def _match(names: tuple[str, ...], rules: tuple[tuple[str, str], ...]) -> int | None:
    for pattern, label in rules:
        if any(re.search(pattern, name, re.IGNORECASE) for name in names):
            return class_id(label)
    return None


def label_by_texture(
    scan: RawScan, texture: np.ndarray, tolerance: float, max_off_palette: float, refinements: int = 0
) -> Labelled:
    """Label each triangle by the majority of seven texels inside it; the middle one decides ties.

    Where they disagree a border of the texture crosses the triangle: it is divided, `refinements` times.

    Raises:
        ScanError: too many texels are no palette colours.
    """
    votes, off = _nearest_class(_texels(scan, texture), tolerance, max_off_palette, "texels")
    if refinements and (votes != votes[:, :1]).any():
        scan = scan.welded()
        for _ in range(refinements):
            scan = scan.subdivided((votes != votes[:, :1]).any(1))
            votes, off = _nearest_class(_texels(scan, texture), tolerance, max_off_palette, "texels")
    return Labelled(scan, _majority(votes), "segmentation texture", off)


def _texels(scan: RawScan, texture: np.ndarray) -> np.ndarray:
    """Colours (F, 7, 3) uint8 at seven points of each triangle."""
    height, width = texture.shape[:2]
    points = _SAMPLES @ scan.corner_uv  # (F, 7, 2)
    # Coordinates outside 0..1 repeat the image, as every viewer shows them.
    columns = np.floor(points[..., 0] % 1.0 * width).astype(int).clip(0, width - 1)
    rows = np.floor((1 - points[..., 1] % 1.0) * height).astype(int).clip(0, height - 1)
    return texture[rows, columns]


def label_by_colors(scan: RawScan, tolerance: float, max_off_palette: float) -> Labelled:
    """Label each triangle by the majority of its corners' colours; the first corner decides ties.

    Raises:
        ScanError: there are no colours, or too many are no palette colours.
    """
    if scan.corner_colors is None:
        raise ScanError("no vertex or face colours")
    votes, off = _nearest_class(scan.corner_colors, tolerance, max_off_palette, "colours")
    return Labelled(scan, _majority(votes), "colours", off)


def _nearest_class(
    colors: np.ndarray, tolerance: float, max_off_palette: float, what: str
) -> tuple[np.ndarray, int]:
    packed = colors.reshape(-1, 3).astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    packed, index = np.unique(packed, return_inverse=True)
    unique = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1)
    distances = np.linalg.norm(unique[:, None].astype(float) - labels.PALETTE.astype(float), axis=-1)
    nearest, distance = distances.argmin(1), distances.min(1)
    counts = np.bincount(index.reshape(-1), minlength=len(unique))
    strange = counts[distance > tolerance].sum() / max(counts.sum(), 1)
    if strange > max_off_palette:
        raise ScanError(f"{strange:.1%} of its {what} are no palette colours")
    ids = nearest.astype(np.uint8)[index.reshape(-1)].reshape(colors.shape[:-1])
    return ids, int(counts[distance > 0].sum())


def _majority(votes: np.ndarray) -> np.ndarray:
    """The commonest of each row's votes (F, K); among equals the first."""
    agreement = (votes[:, :, None] == votes[:, None, :]).sum(-1)
    return np.take_along_axis(votes, agreement.argmax(1)[:, None], 1)[:, 0]
