"""Labels of a scan without any: its colours, or else its shape, are pictured, parsed, and the labels brought back."""

from dataclasses import dataclass, replace

import numpy as np

from sofgan import labels
from sofgan.scans.colored_views import has_colors, photograph, seen_triangles
from sofgan.scans.config import ParseScans
from sofgan.scans.face_finding import Parse, at_unit_size, find_face, portrait_cameras, ways_to_stand
from sofgan.scans.face_frame import FaceFrame, NoFrame, frame_of_labels, rotation_angle
from sofgan.scans.label_fusion import accumulate_votes, fuse
from sofgan.scans.labelling import Labelled
from sofgan.scans.normalising import Orientation
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.scan_parser import ScanParser
from sofgan.scans.standing import GIVEN, VIEWS, Standing, upright
from sofgan.scans.triangles import area_vectors, middles
from sofgan.views.process_renderer import process_renderer
from sofgan.views.renderer import MeshRenderer

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


@dataclass(frozen=True)
class ParsedScan:
    """A scan with labels (its nose all `R_NOSE`), how it stands, and its face's score (`FoundFace`)."""

    labelled: Labelled
    standing: Standing
    score: float


def label_unlabelled(
    scan: RawScan, orientation: Orientation, parser: ScanParser, config: ParseScans
) -> ParsedScan:
    """Find the face of a scan in its colours or shape, and label the scan by what a parser sees around it.

    The parser is one of photos where the scan has colours (`has_colors`), else one of shapes.

    Raises:
        ScanError: no view shows a face.
    """
    scan, renderer = scan.welded(), process_renderer()
    given = orientation.rotation
    standings = ways_to_stand(orientation.up_axis) if given is None else [[given]]
    found = find_face(scan, renderer, parser, min(parser.size, _SEARCH_SIZE), standings)
    if found is None or found.score < config.min_face_score:
        seen = "no face found" if found is None else f"no clear face found (score {found.score:.2f})"
        where = "from any side" if given is None else "where scan.yaml says its front is"
        hint = "give it labels, or" if given is None else "mend"
        raise ScanError(f"no labels, and {seen} {where}; {hint} `up` and `front` in scan.yaml")
    rotation = upright(found.frame.rotation, orientation) if given is None else given
    for _ in range(2):
        frame = replace(found.frame, rotation=rotation)
        labelled = label_by_parsing(scan, frame, renderer, parser, parser.size, config)
        if given is not None:
            return ParsedScan(labelled, Standing(given, GIVEN), found.score)
        try:
            fused = frame_of_labels(labelled.scan.vertices, labelled.scan.faces, labelled.face_labels)
        except NoFrame as error:
            raise ScanError(f"no labels, and its parsed views don't agree on a face: {error}") from error
        better = upright(fused.rotation, orientation)
        amiss = rotation_angle(better @ rotation.T)
        found, rotation = replace(found, frame=fused), better
        if amiss <= _AMISS_DEGREES:
            break
    return ParsedScan(labelled, Standing(rotation, VIEWS), found.score)


def label_by_parsing(
    scan: RawScan, frame: FaceFrame, renderer: MeshRenderer, parse: Parse, size: int, config: ParseScans
) -> Labelled:
    """Label a scan by what a parser sees in views around its face.

    Args:
        scan: welded.
        frame: of its face, upright.
        renderer: of this process.
        parse: a face parser.
        size: pixels of the views.
        config: smoothing and refinements.
    """
    yaw, pitch = (np.radians(axis.ravel()) for axis in np.meshgrid(_YAWS, _PITCHES))
    yaw_weight = np.tile(_YAW_WEIGHTS, len(_PITCHES))
    poses = np.concatenate([portrait_cameras(frame, yaw, pitch, zoom) for zoom in _ZOOMS])
    weights = np.concatenate([yaw_weight * zoom for zoom in _ZOOM_WEIGHTS])
    unit = frame.portrait_side()
    photos, visible = photograph(*at_unit_size(scan, poses, unit, renderer), size)
    probabilities = parse(photos)
    for _ in range(config.refinements):
        torn = _torn(scan, probabilities, visible)
        if not torn.any():
            break
        scan = scan.subdivided(torn)
        visible = seen_triangles(*at_unit_size(scan, poses, unit, renderer), size)
    votes = np.zeros((len(scan.faces), labels.NUM_CLASSES))
    centres, normals = middles(scan.vertices, scan.faces), area_vectors(scan.vertices, scan.faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    for pose, weight, one, seen in zip(poses, weights, probabilities, visible):
        towards = pose[:3, 3] - centres
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        accumulate_votes(votes, one, seen, np.abs((towards * normals).sum(1)), weight)
    return Labelled(scan, fuse(scan, votes, frame, config.smoothing), VIEWS if has_colors(scan) else SHAPE)


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
