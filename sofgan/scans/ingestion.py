"""A folder of raw scans becomes a folder of labelled scans in head space, and a report on each of them."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from sofgan import labels
from sofgan.config import from_mapping, read_yaml
from sofgan.errors import MissingInput, UserError
from sofgan.files import FIGURES, atomic_path, sha256_file, write_json, write_npz
from sofgan.parallel import Mapper, map_in_processes
from sofgan.progress import SILENT, Progress
from sofgan.scans.config import IngestScans
from sofgan.scans.face_frame import describe
from sofgan.scans.folder import ScanFile, find_scans, none_found
from sofgan.scans.head_space import Orientation, likely_unit, to_head_space
from sofgan.scans.labelling import Labelled, NoLabels, OffPalette, label_scan
from sofgan.scans.materials import read_pixels
from sofgan.scans.mesh_ops import area_vectors, middles
from sofgan.scans.orientation import Standing, standing_of_labels
from sofgan.scans.reading import RawScan, ScanError, read_scan
from sofgan.scans.unlabelled.scan_parser import ScanParser

# What the name of a segmentation texture has after its scan's, before the suffix of its format: the first is taken.
SEGMENTATION = "_seg"
SEGMENTATION_FORMATS = (".png", ".tif", ".tiff", ".bmp", ".tga", ".webp", ".jpg", ".jpeg")
_LOSSY = (".jpg", ".jpeg", ".webp")
NO_SHAPE_PARSER = (
    "no colours to parse; `train_shape_parser: people` above 0 in params.yaml makes a parser of bare shapes"
)

OK, PARTIAL, REJECTED = "ok", "partial", "rejected"
USABLE = (OK, PARTIAL)
UNKNOWN = "unknown"  # As a source of labels: of surface that is `VOID`.


@dataclass(frozen=True)
class ScanReport:
    """One row of `report.csv`."""

    scan: str  # its name, that of its scan file
    file: str  # from the batch's folder
    status: str  # ok, partial (used, with surface of unknown class) or rejected
    reason: str = ""  # why it is rejected or partial
    faces: int = 0
    label_source: str = ""  # names, ...; of several each with its share of the head's surface
    off_palette: int = 0  # samples of a texture or colours that were near a palette colour, not on it
    classes: str = ""  # present, separated by spaces
    lacks: str = ""  # of a partial scan: classes of a face that its unlabelled surface may hold
    axes: str = ""  # of the file: which is up, where the face looks
    axes_source: str = ""  # scan.yaml, labelled parts, eyes and shape, parsed views, assumed
    unit: str = ""  # of the file, as scan.yaml says or as heads are large
    face_score: str = ""  # of a scan that was labelled by parsing: 0..1, how much its front looks like a face
    note: str = ""  # what is odd about the file or its segmentation texture


class NoUsableScan(UserError, ValueError):
    """A batch holds no scan that can be used."""


def ingest_batch(
    raw: Path,
    scans: Path,
    config: IngestScans,
    workers: int | Mapper,
    progress: Progress = SILENT,
    parser: ScanParser | None = None,
) -> dict[str, float]:
    """Ingest every scan of a batch.

    Args:
        raw: folder with the scans of one batch, also in folders of their own, and, if they don't stand as usual, a
            `scan.yaml`; one in a folder within holds for the scans in that.
        scans: folder that receives `<scan>.npz`, `report.csv` and `figures.json`, whole or not at all.
        config: rules and tolerances.
        workers: processes.
        progress: listener, which gets the count of scans.
        parser: for scans that have colours but no labels, and by its `of_shape` for those without colours; without
            one they are rejected.

    Returns:
        what is in `figures.json`: usable and rejected scans, mean faces, and the share of usable scans that hold
        each class (`has_<class>`).

    Raises:
        NoUsableScan: none could be used; the message lists why.
        ConfigError: `scan.yaml` has an unknown key or value.
        MissingInput: the folder isn't there.
    """
    if not raw.is_dir():
        raise MissingInput(f"no such batch: {raw} (put the scans there, or take it off `batches`)")
    found = find_scans(raw)
    if not found:
        raise NoUsableScan(f"{raw} holds no usable scan: {none_found(raw)}")
    orientations = {scan.path.parent: _orientation_of(scan.path, raw) for scan in found}
    rows = []
    with atomic_path(scans) as folder:
        folder.mkdir()
        task = partial(_ingest_file, folder=folder, config=config, orientations=orientations, parser=parser)
        for row in map_in_processes(task, [scan for scan in found if not scan.unread], workers):
            rows.append(row)
            progress.items(len(rows), len(found), "scans")
        rows += [ScanReport(scan.name, scan.file, REJECTED, scan.unread) for scan in found if scan.unread]
        rows.sort(key=lambda row: row.file)
        if not any(row.status in USABLE for row in rows):
            reasons = "; ".join(f"{row.file}: {row.reason}" for row in rows[:5])
            raise NoUsableScan(f"{raw} holds no usable scan ({reasons})")
        write_report(folder / "report.csv", rows)
        figures = _summary(rows)
        write_json(folder / FIGURES, figures)
    return figures


def read_orientation(path: Path) -> Orientation:
    """`scan.yaml` of a batch; the usual axes where there is none.

    Raises:
        ConfigError: naming the key.
    """
    if not path.exists():
        return Orientation()
    return from_mapping(Orientation, read_yaml(path) or {}, str(path))


def _orientation_of(path: Path, raw: Path) -> Orientation:
    """Orientation in the nearest `scan.yaml` above a scan, up to the batch's folder."""
    for folder in path.parents:
        if folder == raw or (folder / "scan.yaml").exists():
            return read_orientation(folder / "scan.yaml")
    return Orientation()


def ingest_scan(
    path: Path, config: IngestScans, orientation: Orientation, parser: ScanParser | None = None
) -> tuple[dict, ScanReport]:
    """One raw scan as the arrays of a scan file, and its row of the report.

    Args:
        path: of the scan.
        config: rules and tolerances.
        orientation: what `scan.yaml` says; the rest is found.
        parser: for a scan that has colours but no labels; its `of_shape` for one that has neither.

    Raises:
        ScanError: with the reason why it can't be used.
    """
    companion = find_segmentation(path)
    texture = _read_texture(companion) if companion else None
    scan = read_scan(path)
    try:
        return _ingest(path, scan, texture, config, orientation, parser)
    except OffPalette as error:
        if companion is None or companion.suffix.lower() not in _LOSSY:
            raise ScanError(_with(scan.note, str(error))) from error
        lossy = f"{companion.name} is of a format that blurs colours, beyond a distance of {config.palette_tolerance:g}"
        raise ScanError(_with(scan.note, f"{error}; {lossy}: save it as PNG")) from error
    except ScanError as error:
        if not scan.note:
            raise
        raise ScanError(_with(scan.note, str(error))) from error


def _with(note: str, reason: str) -> str:
    return f"{reason}; {note}" if note else reason


def find_segmentation(path: Path) -> Path | None:
    """The segmentation texture beside a scan, whatever the case of its name; None if there is none."""
    wanted = [(path.stem + SEGMENTATION + suffix).lower() for suffix in SEGMENTATION_FORMATS]
    found = {
        file.name.lower(): file for file in sorted(path.parent.iterdir(), reverse=True) if file.is_file()
    }
    return next((found[name] for name in wanted if name in found), None)


def _ingest(
    path: Path,
    scan: RawScan,
    texture: np.ndarray | None,
    config: IngestScans,
    orientation: Orientation,
    parser: ScanParser | None,
) -> tuple[dict, ScanReport]:
    standing, face_score, why = None, "", ""
    try:
        labelled = label_scan(
            scan,
            config.rules,
            texture,
            config.palette_tolerance,
            config.max_off_palette,
            config.texture_refinements,
        )
    except NoLabels as lacking:
        parsed = _parse(scan, config, orientation, parser, str(lacking))
        labelled, standing, face_score = parsed.labelled, parsed.standing, f"{parsed.score:.2f}"
    source = labelled.source
    if labelled.may_be is not None and standing is None:
        named = labelled
        untold = f"its names don't tell what is what in {named.open_parts}"
        try:
            parsed = _parse(named.scan, config, orientation, parser, untold, named.may_be)
            labelled, standing, face_score = parsed.labelled, parsed.standing, f"{parsed.score:.2f}"
        except ScanError as error:  # What names tell is still right.
            why = str(error)
    if standing is None:
        standing = standing_of_labels(
            labelled.scan.vertices,
            labelled.scan.faces,
            labelled.face_labels,
            orientation,
            partial(_search_face, scan, config, orientation, parser),
        )
    vertices, faces, face_labels, raw_to_head = to_head_space(
        labelled.scan.vertices,
        labelled.scan.faces,
        labelled.face_labels,
        standing.rotation,
        orientation.unit,
        config.head_radius,
    )
    arrays = {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "face_labels": labels.check_ids(face_labels.astype(np.uint8), path.name, void=True),
        "raw_to_head": raw_to_head,
        "source_sha256": np.array(sha256_file(path)),
    }
    row = ScanReport(
        path.stem,
        path.name,
        PARTIAL if why else OK,
        why,
        faces=len(faces),
        label_source=_sources(labelled, source, raw_to_head),
        off_palette=labelled.off_palette,
        classes=_names(id for id in np.unique(face_labels) if id != labels.VOID),
        lacks=_names(labelled.lacks),
        axes=describe(standing.rotation),
        axes_source=standing.source,
        unit=orientation.unit or likely_unit(raw_to_head, config.head_radius) or "unknown",
        face_score=face_score,
        note="; ".join(note for note in (scan.note, labelled.note) if note),
    )
    return arrays, row


def _search_face(
    scan: RawScan, config: IngestScans, orientation: Orientation, parser: ScanParser | None
) -> Standing | None:
    """Orientation of a scan by the face that its colors show; None where they show none, or it has no colors."""
    from sofgan.scans.unlabelled.colored_views import has_colors

    if parser is None or not has_colors(scan):
        return None
    from sofgan.scans.unlabelled.parsed_labels import standing_of_colors

    return standing_of_colors(scan, orientation, parser, config.parsing)


def _parse(
    scan: RawScan,
    config: IngestScans,
    orientation: Orientation,
    parser: ScanParser | None,
    lacking: str,
    may_be: np.ndarray | None = None,
):
    # Who has labelled scans only needs no OpenGL.
    from sofgan.scans.unlabelled.colored_views import has_colors

    missing = sorted({material.missing for material in scan.materials} - {""})
    gone = f"its texture {missing[0]} is not there or can't be read" if missing else ""
    if not has_colors(scan):
        parser = parser and parser.of_shape
        if gone or parser is None:
            raise ScanError(f"{lacking}; {gone or NO_SHAPE_PARSER}")
    if parser is None:
        raise ScanError(f"{lacking}; it has colours, but there is no parser")
    from sofgan.scans.unlabelled.parsed_labels import label_unlabelled

    try:
        return label_unlabelled(scan, orientation, parser, config.parsing, may_be)
    except ScanError as error:
        reason = str(error) if may_be is None else f"{lacking}; {error}"
        raise ScanError(f"{reason}; {gone}" if gone else reason) from error


def _sources(labelled: Labelled, source: str, raw_to_head: np.ndarray) -> str:
    """Text on where labels are from; of two sources each with its share of the area inside the ball."""
    if labelled.may_be is None:
        return source
    scan = labelled.scan
    known = (labelled.may_be.sum(1) == 1)[scan.part_of_face]
    centres = middles(scan.vertices, scan.faces) @ raw_to_head[:3, :3].T + raw_to_head[:3, 3]
    areas = np.linalg.norm(area_vectors(scan.vertices, scan.faces), axis=1)
    areas = np.where(np.linalg.norm(centres, axis=1) <= 1, areas, 0)
    share = areas[known].sum() / max(areas.sum(), 1e-300)
    rest = UNKNOWN if (labelled.face_labels == labels.VOID).any() else labelled.source
    return f"{source} {share:.2f}, {rest} {1 - share:.2f}"


def _names(ids: Iterable[int]) -> str:
    return " ".join(labels.NAMES[id] for id in ids)


def _ingest_file(
    scan: ScanFile,
    folder: Path,
    config: IngestScans,
    orientations: dict[Path, Orientation],
    parser: ScanParser | None,
) -> ScanReport:
    try:
        arrays, row = ingest_scan(scan.path, config, orientations[scan.path.parent], parser)
    except ScanError as error:
        return ScanReport(scan.name, scan.file, REJECTED, str(error))
    write_npz(folder / f"{scan.name}.npz", **arrays)
    return replace(row, scan=scan.name, file=scan.file)


def _read_texture(path: Path) -> np.ndarray:
    try:
        return read_pixels(path)
    except Exception as error:  # Broken images raise anything.
        raise ScanError(f"its segmentation texture can't be read: {error}") from error


def write_report(path: Path, rows: list[ScanReport]) -> None:
    """Write `report.csv`."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(ScanReport)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _summary(rows: list[ScanReport]) -> dict[str, float]:
    usable = [row for row in rows if row.status in USABLE]
    shares = {
        f"has_{name}": sum(name in row.classes.split() for row in usable) / len(usable)
        for name in labels.NAMES[1:]
    }
    return {
        "scans_usable": float(len(usable)),
        "scans_rejected": float(len(rows) - len(usable)),
        "faces_mean": float(np.mean([row.faces for row in usable])),
        **shares,
    }
