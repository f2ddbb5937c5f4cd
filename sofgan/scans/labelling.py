"""Labels of a raw scan's triangles, of the 17 classes: from names, a segmentation texture or colors.

Names often tell a part of it: a head whose eyes and hair are parts of their own, but whose nose and lips are not, or
a part that is called nothing that a rule knows. Such parts stay open, with the classes that they may hold.
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from sofgan import labels
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.texture_orientation import TURNED_ABOVE, turning_score

# What a rule may give besides the 17 classes: a nose that is to be split, lips of which nothing says which is which,
# a part that is skin and whatever else of a head has no part of its own, one that may be anything, and parts to leave
# out.
NOSE, LIPS, FACE, OPEN, DROP = "nose", "lips", "face", "open", "drop"
_LIPS, _FACE, _OPEN, _DROPPED = 251, 252, 253, 254

# Whoever made parts of a nose and of lips meant skin by "face": every face shows both, whereas ears, brows or eyes
# may be hidden.
_SHOWN_BY_ALL = (labels.R_NOSE, labels.U_LIP, labels.L_LIP)
_WORN = ((labels.EYEGLASS, labels.EYE), (labels.HAT, labels.HAIR))
# What a face is described by; a scan that can't say where one of them is, is partial.
FACE_CLASSES = (
    labels.BROW, labels.EYE, labels.R_NOSE, labels.L_NOSE, labels.MOUTH, labels.U_LIP, labels.L_LIP, labels.EAR,
)  # fmt: skip
NAMES, TEXTURE, COLORS = "names", "segmentation texture", "colours"

# Where a triangle reads its texture: its middle (which decides ties), near its corners, near its edges' middles.
_SAMPLES = np.array(
    [[4, 4, 4], [10, 1, 1], [1, 10, 1], [1, 1, 10], [5.5, 5.5, 1], [1, 5.5, 5.5], [5.5, 1, 5.5]]
) / 12  # fmt: skip


_TURNED = "its segmentation texture fits only when turned top to bottom, and was turned"


class NoLabels(ScanError):
    """Nothing in a scan tells its classes; its colours or its shape may still show a face."""


class OffPalette(ScanError):
    """Too many colours are none of the palette's."""


@dataclass(frozen=True)
class Labelled:
    """A scan with a label on each triangle.

    Attributes:
        scan: the triangles that are kept.
        face_labels: (F,) uint8 class ids, `VOID` where nothing tells; an undivided nose is all `R_NOSE`.
        source: "names", "segmentation texture", "colours", "parsed views" or "shape"; of what is labelled.
        off_palette: samples of a texture or of colours that were near a palette colour but not on it.
        note: what was odd about the source, "" if nothing was.
        may_be: (P, 17) bool, the classes that each part of `scan` may hold: one where it is known. None where
            every triangle is labelled.
        open_parts: names of the parts that are not labelled, for the report.
    """

    scan: RawScan
    face_labels: np.ndarray
    source: str
    off_palette: int = 0
    note: str = ""
    may_be: np.ndarray | None = None
    open_parts: str = ""

    @property
    def lacks(self) -> tuple[int, ...]:
        """Classes of a face that open parts may hold and that no labelled part shows."""
        if self.may_be is None:
            return ()
        open_ = np.unique(self.scan.part_of_face[self.face_labels == labels.VOID])
        maybe, known = self.may_be[open_].any(0), np.isin(np.arange(labels.NUM_CLASSES), self.face_labels)
        # A nose that is one part is all `R_NOSE` here.
        known[labels.L_NOSE] |= known[labels.R_NOSE]
        return tuple(label for label in FACE_CLASSES if maybe[label] and not known[label])


def class_id(name: str) -> int:
    """Id of what a rule gives: of a class, or one above all classes for what is no class.

    Raises:
        ValueError: there is no such class.
    """
    special = {NOSE: labels.R_NOSE, LIPS: _LIPS, FACE: _FACE, OPEN: _OPEN, DROP: _DROPPED}
    if name in special:
        return special[name]
    if name not in labels.NAMES:
        known = ", ".join((*labels.NAMES, *special))
        raise ValueError(f"a rule gives the class '{name}'; known: {known}")
    return labels.NAMES.index(name)


def label_scan(
    scan: RawScan,
    rules: tuple[tuple[str, str], ...],
    segmentation: np.ndarray | None,
    tolerance: float,
    max_off_palette: float,
    refinements: int = 0,
) -> Labelled:
    """Label a scan from the sources it has: a segmentation texture, else names, else colours, else names in part.

    Args:
        scan: what was read.
        rules: (regular expression, class) pairs, see `label_by_names`.
        segmentation: (H, W, 3) uint8 texture in palette colours, or None. One that makes a head only when it is
            turned top to bottom is turned.
        tolerance: Euclidean distance (0..441) within which a colour counts as a palette colour.
        max_off_palette: share of samples that may lie farther than that.
        refinements: how often triangles that a border of the texture crosses are divided.

    Returns:
        where names leave parts open, with these `VOID` and `may_be` set.

    Raises:
        NoLabels: no source gives labels; the message says what each lacked.
        ScanError: the segmentation texture is there but no use.
    """
    if segmentation is not None:
        if scan.corner_uv is None or np.isnan(scan.corner_uv).any():
            raise ScanError("it has a segmentation texture but no texture coordinates")
        turned = _fits_turned(scan, segmentation, tolerance, max_off_palette)
        labelled = label_by_texture(
            scan, segmentation[::-1] if turned else segmentation, tolerance, max_off_palette, refinements
        )
        return _without_background(replace(labelled, note=_TURNED) if turned else labelled)
    lacks = []
    named = None
    try:
        named = label_by_names(scan, rules)
        if named.may_be is None:
            return named
    except ScanError as error:
        lacks.append(str(error))
    try:
        return _without_background(label_by_colors(scan, tolerance, max_off_palette))
    except ScanError as error:
        lacks.append(str(error))
    if named is None:
        raise NoLabels("no labels: " + "; ".join(lacks) + "; no segmentation texture")
    return named


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

    A rule matches a part if its regular expression is found, case ignored, in any of the part's names, as written
    or with words set apart by underscores ("EyeLeft" is also "Eye_Left"); the first rule that matches decides. Parts
    that no rule matches are open; so is a `FACE` where no other part is a nose or lips, and else it is skin.

    Raises:
        ScanError: no part tells anything, or all are of one class.
    """
    ids = [_match(names, rules) for names in scan.part_names]
    used = np.bincount(scan.part_of_face, minlength=len(ids)) > 0
    given = np.array([_OPEN if one is None else one for one in ids], np.uint8)
    keep = (given != _DROPPED)[scan.part_of_face]
    if not keep.any():
        raise ScanError("the rules drop every part")
    scan, known = scan.select(keep), set(given[used & (given < labels.NUM_CLASSES)].tolist())
    may_be = _classes_of_parts(
        given, known | ({labels.U_LIP, labels.L_LIP} if _LIPS in given[used] else set())
    )
    sure = may_be.sum(1) == 1
    face_labels = np.where(sure, may_be.argmax(1), labels.VOID).astype(np.uint8)[scan.part_of_face]
    strangers = [names for names, one in zip(scan.part_names, ids) if one is None]
    labelled = np.unique(face_labels[face_labels != labels.VOID])
    if not len(labelled) or (len(labelled) == 1 and (face_labels != labels.VOID).all()):
        if strangers:
            raise ScanError(
                f"no rule matches the part{'s' if len(strangers) > 1 else ''} {_listed(strangers)}, and no other "
                "part tells anything"
            )
        alone = labels.NAMES[labelled[0]] if len(labelled) else labels.NAMES[labels.SKIN]
        raise ScanError(f"its part names tell nothing apart: all is {alone}")
    if sure[np.unique(scan.part_of_face)].all():
        return Labelled(scan, face_labels, NAMES)
    still_open = [scan.part_names[part] for part in np.unique(scan.part_of_face) if not sure[part]]
    return Labelled(scan, face_labels, NAMES, may_be=may_be, open_parts=_listed(still_open))


def _classes_of_parts(given: np.ndarray, known: set[int]) -> np.ndarray:
    """The classes (P, 17) bool that parts may hold, by what rules give (P,); `known` are those of other parts."""
    may_be = np.zeros((len(given), labels.NUM_CLASSES), bool)
    whole = given < labels.NUM_CLASSES
    may_be[np.flatnonzero(whole), given[whole]] = True
    if {labels.R_NOSE, labels.L_NOSE} & known:
        known = known | {labels.R_NOSE, labels.L_NOSE}
    # Teeth and tongue may be a part of their own in a mouth that is not.
    elsewhere = known - {labels.SKIN, labels.MOUTH}
    # Who makes a part of the eyes makes one of the glasses before them, and who does of hair, of the hat upon it.
    elsewhere |= {worn for worn, over in _WORN if over in known}
    may_be[given == _FACE] = (
        np.arange(labels.NUM_CLASSES) == labels.SKIN
        if known.issuperset(_SHOWN_BY_ALL)
        else [label not in elsewhere for label in range(labels.NUM_CLASSES)]
    )
    may_be[given == _LIPS] = np.isin(
        np.arange(labels.NUM_CLASSES), (labels.U_LIP, labels.L_LIP, labels.MOUTH)
    )
    may_be[given == _OPEN] = True
    may_be[may_be.sum(1) > 1, labels.BACKGROUND] = False
    return may_be


def _match(names: tuple[str, ...], rules: tuple[tuple[str, str], ...]) -> int | None:
    spelled = {spelling for name in names for spelling in (name, _words(name))}
    for pattern, label in rules:
        if any(re.search(pattern, name, re.IGNORECASE) for name in spelled):
            return class_id(label)
    return None


def _words(name: str) -> str:
    """A name with its words set apart by underscores: "Eye_Left" of "EyeLeft", "facial_hair" of "facial-hair"."""
    return re.sub(r"[\s.:\-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))


def _listed(parts: list[tuple[str, ...]]) -> str:
    shown = ", ".join("/".join(names) or "(no name)" for names in parts[:4])
    return shown + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")


def label_by_texture(
    scan: RawScan, texture: np.ndarray, tolerance: float, max_off_palette: float, refinements: int = 0
) -> Labelled:
    """Label each triangle by the majority of seven texels inside it; the middle one decides ties.

    Where they disagree a border of the texture crosses the triangle: it is divided, `refinements` times.

    Raises:
        OffPalette: too many texels are no palette colours.
    """
    votes, off = _nearest_class(_texels(scan, texture), tolerance, max_off_palette, "texels")
    if refinements and (votes != votes[:, :1]).any():
        scan = scan.welded()
        for _ in range(refinements):
            scan = scan.subdivided((votes != votes[:, :1]).any(1))
            votes, off = _nearest_class(_texels(scan, texture), tolerance, max_off_palette, "texels")
    return Labelled(scan, _majority(votes), TEXTURE, off)


def _fits_turned(scan: RawScan, texture: np.ndarray, tolerance: float, max_off_palette: float) -> bool:
    try:
        turned, _ = _nearest_class(_texels(scan, texture[::-1]), tolerance, max_off_palette, "texels")
    except OffPalette:
        return False
    # Whatever is off the palette as it is counts as the class that is nearest.
    as_it_is, _ = _nearest_class(_texels(scan, texture), tolerance, 1.0, "texels")
    return turning_score(scan.welded(), _majority(as_it_is), _majority(turned)) > TURNED_ABOVE


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
    return Labelled(scan, _majority(votes), COLORS, off)


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
        raise OffPalette(f"{strange:.1%} of its {what} are no palette colours")
    ids = nearest.astype(np.uint8)[index.reshape(-1)].reshape(colors.shape[:-1])
    return ids, int(counts[distance > 0].sum())


def _majority(votes: np.ndarray) -> np.ndarray:
    """The commonest of each row's votes (F, K); among equals the first."""
    agreement = (votes[:, :, None] == votes[:, None, :]).sum(-1)
    return np.take_along_axis(votes, agreement.argmax(1)[:, None], 1)[:, 0]
