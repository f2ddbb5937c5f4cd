"""Labels of what nothing else tells: a scan's colours, or else its shape, are pictured, parsed, and brought back.

Where names tell a part of it, the rest alone takes labels, of the classes that it may hold.
"""

from dataclasses import dataclass, replace

import numpy as np

from sofgan import labels
from sofgan.rendering.process_renderer import process_renderer
from sofgan.scans.config import ParseScans
from sofgan.scans.face_frame import FaceFrame, NoFrame, describe, frame_of_labels, rotation_angle
from sofgan.scans.head_space import Orientation
from sofgan.scans.labelling import Labelled
from sofgan.scans.mesh_ops import area_vectors, middles
from sofgan.scans.orientation import (
    ASSUMED,
    GIVEN,
    PARTS,
    UPRIGHT,
    VIEWS,
    Standing,
    standing_of_labels,
    upright,
)
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.unlabelled.colored_views import PLAIN, has_colors, photograph, seen_triangles
from sofgan.scans.unlabelled.face_finding import (
    Sight,
    at_unit_size,
    find_face,
    portrait_cameras,
    restrict,
    ways_to_stand,
)
from sofgan.scans.unlabelled.label_fusion import accumulate_votes, fuse
from sofgan.scans.unlabelled.scan_parser import ScanParser

SHAPE = "shape"  # The source of labels that are parsed from views without colours.
_SEARCH_SIZE = 128  # Pixels of the views in which the face is looked for.
# Yaws of the views in degrees, and what their votes weigh: parsers are trained on faces, not on profiles.
_YAWS = (0.0, -20.0, 20.0, -42.0, 42.0, -65.0, 65.0)
_YAW_WEIGHTS = (1.0, 1.0, 1.0, 0.8, 0.8, 0.35, 0.35)
_PITCHES = (-12.0, 0.0, 14.0)
# Views as wide as portraits, and wider ones, which show hair, neck and shoulders whole.
_ZOOMS, _ZOOM_WEIGHTS = (1.1, 1.45), (1.0, 0.5)
# Labels brought back tell better than the search where the face looks; if it was off by more, all is done again.
_AMISS_DEGREES = 6.0
# If it was off by more than this, or parts of known class say another way by more, one of both is wrong: a face that
# looks frontal doesn't turn by so much.
_CONTRARY_DEGREES = 75.0
# What differs from skin by its colour, and not by its shape.
_PAINTED = (
    labels.BROW, labels.EYE, labels.EARRING, labels.EYEGLASS, labels.NECKLACE, labels.CLOTH, labels.HAIR, labels.HAT,
)  # fmt: skip


@dataclass(frozen=True)
class ParsedScan:
    """A scan with labels (its nose all `R_NOSE`), how it stands, and its face's score (`FoundFace`)."""

    labelled: Labelled
    standing: Standing
    score: float


def standing_of_colors(
    scan: RawScan, orientation: Orientation, parser: ScanParser, config: ParseScans
) -> Standing | None:
    """Orientation of a scan by the face that a parser sees in its colors; None where no view shows one clearly."""
    standings = ways_to_stand(orientation.up_axis)
    found = find_face(scan.welded(), _search_sight(parser), standings)
    if found is None or found.score < config.min_face_score:
        return None
    return Standing(upright(found.frame.rotation, orientation), VIEWS)


def _search_sight(parser: ScanParser) -> Sight:
    """Views in which a face is looked for."""
    return Sight(process_renderer(), parser, min(parser.size, _SEARCH_SIZE))


def label_unlabelled(
    scan: RawScan,
    orientation: Orientation,
    parser: ScanParser,
    config: ParseScans,
    may_be: np.ndarray | None = None,
) -> ParsedScan:
    """Find the face of a scan in its colours or shape, and label the scan by what a parser sees around it.

    The parser is one of photos where the scan has colours (`has_colors`), else one of shapes.

    Args:
        scan: without labels on its open parts.
        orientation: what `scan.yaml` says.
        parser: of faces.
        config: thresholds and smoothing.
        may_be: (P, 17) bool, the classes that each part of the scan may hold; None: all.

    Raises:
        ScanError: no view shows a face.
    """
    scan = scan.welded()
    may_be = without_painted_classes(scan, may_be)
    lacking = "no labels, and " if may_be is None else ""
    named = _standing_of_names(scan, may_be, orientation)
    given = named.rotation if named is not None and named.source in (GIVEN, PARTS) else None
    standings = ways_to_stand(orientation.up_axis) if given is None else [[given]]
    found = find_face(scan, _search_sight(parser), standings, may_be)
    if found is None or found.score < config.min_face_score:
        seen = "no face found" if found is None else f"no clear face found (score {found.score:.2f})"
        where = "from any side"
        if given is not None:
            where = f"where {'its parts say' if named.source == PARTS else 'scan.yaml says'} its front is"
        hint = f"; {'give it labels, or' if given is None else 'mend'} `up` and `front` in scan.yaml"
        if named is not None and named.source == PARTS:
            hint = ""
        raise ScanError(f"{lacking}{seen} {where}{hint}")
    rotation = upright(found.frame.rotation, orientation) if given is None else given
    for _ in range(2):
        frame = replace(found.frame, rotation=rotation)
        labelled = label_by_parsing(
            scan, frame, Sight(process_renderer(), parser, parser.size), config, may_be
        )
        if given is not None:
            return ParsedScan(labelled, named, found.score)
        try:
            fused = frame_of_labels(labelled.scan.vertices, labelled.scan.faces, labelled.face_labels)
        except NoFrame as error:
            raise ScanError(f"{lacking}its parsed views don't agree on a face: {error}") from error
        better = upright(fused.rotation, orientation)
        amiss = rotation_angle(better @ rotation.T)
        if amiss > _CONTRARY_DEGREES:
            raise ScanError(
                f"{lacking}its parsed views don't agree on where its face looks "
                f"({describe(rotation)}, or {describe(better)}); say `up` and `front` in scan.yaml"
            )
        found, rotation = replace(found, frame=fused), better
        if amiss <= _AMISS_DEGREES:
            break
    if (
        named is not None
        and named.source not in (ASSUMED, UPRIGHT)
        and rotation_angle(rotation @ named.rotation.T) > _CONTRARY_DEGREES
    ):
        raise ScanError(f"{lacking}its parsed views show a face where its parts say that none is")
    return ParsedScan(labelled, Standing(rotation, VIEWS), found.score)


def without_painted_classes(scan: RawScan, may_be: np.ndarray | None) -> np.ndarray | None:
    """The classes (P, 17) bool that parts may hold, where those of one colour all over hold what shape alone shows.

    A bare shoulder in the colour of the face is no shirt, and nothing is painted on it.

    Args:
        scan: where it has no colours at all, shape is what is parsed, and nothing is struck out.
        may_be: (P, 17) bool; None: all parts may be anything, and nothing is struck out either.
    """
    if may_be is None or not has_colors(scan):
        return may_be
    has_uv, plain = scan.corner_uv is not None, np.zeros(len(may_be), bool)
    for part in np.flatnonzero((may_be.sum(1) > 1) & may_be[:, labels.SKIN]):
        textured = has_uv and part < len(scan.materials) and scan.materials[part].texture is not None
        colors = () if scan.corner_colors is None else scan.corner_colors[scan.part_of_face == part]
        varied = len(colors) and np.ptp(colors.reshape(-1, 3).astype(int), 0).max() > PLAIN
        plain[part] = not textured and not varied
    return may_be & ~(plain[:, None] & np.isin(np.arange(labels.NUM_CLASSES), _PAINTED))


def _standing_of_names(scan: RawScan, may_be: np.ndarray | None, orientation: Orientation) -> Standing | None:
    """Orientation of a scan by its parts of known class, as far as these tell; None if they contradict each other."""
    if may_be is None:
        return None if orientation.rotation is None else Standing(orientation.rotation, GIVEN)
    known = may_be.sum(1) == 1
    # What lies open is mostly skin, and a part of the head in any case.
    part_labels = np.where(known, may_be.argmax(1), labels.SKIN).astype(np.uint8)
    try:
        return standing_of_labels(scan.vertices, scan.faces, part_labels[scan.part_of_face], orientation)
    except ScanError:
        return None


def label_by_parsing(
    scan: RawScan,
    frame: FaceFrame,
    sight: Sight,
    config: ParseScans,
    may_be: np.ndarray | None = None,
) -> Labelled:
    """Label a scan by what a parser sees in views around its face.

    Args:
        scan: welded.
        frame: of its face, upright.
        config: smoothing and refinements.
        may_be: (P, 17) bool, the classes that each part of the scan may hold; None: all.
    """
    yaw, pitch = (np.radians(axis.ravel()) for axis in np.meshgrid(_YAWS, _PITCHES))
    yaw_weight = np.tile(_YAW_WEIGHTS, len(_PITCHES))
    poses = np.concatenate([portrait_cameras(frame, yaw, pitch, zoom) for zoom in _ZOOMS])
    weights = np.concatenate([yaw_weight * zoom for zoom in _ZOOM_WEIGHTS])
    unit = frame.portrait_side()
    photos, visible = photograph(*at_unit_size(scan, poses, unit, sight))
    probabilities = restrict(sight.parse(photos), visible, scan.part_of_face, may_be)
    for _ in range(config.refinements):
        torn = _torn(scan, probabilities, visible)
        if not torn.any():
            break
        scan = scan.subdivided(torn)
        visible = seen_triangles(*at_unit_size(scan, poses, unit, sight))
    votes = np.zeros((len(scan.faces), labels.NUM_CLASSES))
    centres, normals = middles(scan.vertices, scan.faces), area_vectors(scan.vertices, scan.faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    for pose, weight, one, seen in zip(poses, weights, probabilities, visible):
        towards = pose[:3, 3] - centres
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        accumulate_votes(votes, one, seen, np.abs((towards * normals).sum(1)), weight)
    source = VIEWS if has_colors(scan) else SHAPE
    return Labelled(scan, fuse(scan, votes, frame, config.smoothing, may_be), source, may_be=may_be)


def _torn(scan: RawScan, probabilities: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Triangles (F,) bool that one view shows in several pixels of which a fifth or more differ in label."""
    torn = np.zeros(len(scan.faces), bool)
    for one, seen in zip(probabilities, visible):
        shown = seen >= 0
        triangles, index = np.unique(seen[shown], return_inverse=True)
        pairs = index * labels.NUM_CLASSES + one.argmax(0)[shown]
        counts = np.bincount(pairs, minlength=len(triangles) * labels.NUM_CLASSES)
        counts = counts.reshape(-1, labels.NUM_CLASSES)
        total = counts.sum(1)
        torn[triangles] |= (total >= 6) & (counts.max(1) <= 0.8 * total)
    return torn
