"""A folder of raw scans becomes a folder of labelled scans in head space, and a report on each of them."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from sofgan import labels
from sofgan.config import from_mapping
from sofgan.files import FIGURES, atomic_path, sha256_file, write_json, write_npz
from sofgan.processes import Mapper, map_in_processes
from sofgan.scans.config import IngestScans
from sofgan.scans.face_frame import describe
from sofgan.scans.labelling import Labelled, NoLabels, label_scan
from sofgan.scans.normalising import Orientation, likely_unit, to_head_space
from sofgan.scans.reading import FORMATS, RawScan, ScanError, read_scan
from sofgan.scans.scan_parser import ScanParser
from sofgan.scans.standing import standing_of_labels
from sofgan.scans.triangles import area_vectors, middles

SEGMENTATION_SUFFIX = "_seg.png"
# Files that belong to scans or describe them; anything else in the folder is listed as unusable.
_COMPANIONS = (
    (".mtl", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff", ".webp")
    + (".bin", ".yaml", ".json", ".ljson", ".pts", ".csv", ".txt", ".md")
)  # fmt: skip


OK, PARTIAL, REJECTED = "ok", "partial", "rejected"
USABLE = (OK, PARTIAL)
UNKNOWN = "unknown"  # As a source of labels: of surface that is `VOID`.


@dataclass(frozen=True)
class ScanReport:
    """One row of `report.csv`."""

    scan: str
    file: str
    status: str  # ok, partial (used, with surface of unknown class) or rejected
    reason: str = ""  # why it is rejected or partial
    faces: int = 0
    label_source: str = ""  # names, ...; of several each with its share of the head's surface
    off_palette: int = 0  # samples of a texture or colours that were near a palette colour, not on it
    classes: str = ""  # present, separated by spaces
    lacks: str = ""  # of a partial scan: classes of a face that its unlabelled surface may hold
    axes: str = ""  # of the file: which is up, where the face looks
    axes_source: str = ""  # scan.yaml, labelled parts, parsed views, assumed
    unit: str = ""  # of the file, as scan.yaml says or as heads are large
    face_score: str = ""  # of a scan that was labelled by parsing: 0..1, how much its front looks like a face


class NoUsableScan(ValueError):
    """A batch holds no scan that can be used."""


def ingest_batch(
    raw: Path,
    scans: Path,
    config: IngestScans,
    workers: int | Mapper,
    report: Callable[[int, int], None] = lambda done, total: None,
    parser: ScanParser | None = None,
) -> dict[str, float]:
    """Ingest every scan of a batch.

    Args:
        raw: folder with the scans of one batch and, if they don't stand as usual, a `scan.yaml`.
        scans: folder that receives `<scan>.npz`, `report.csv` and `figures.json`, whole or not at all.
        config: rules and tolerances.
        workers: processes.
        report: called with scans done and in all.
        parser: for scans that have colours but no labels; without one they are rejected.

    Returns:
        what is in `figures.json`: usable and rejected scans, mean faces, and the share of usable scans that hold
        each class (`has_<class>`).

    Raises:
        NoUsableScan: none could be used; the message lists why.
        ConfigError: `scan.yaml` has an unknown key or value.
        FileNotFoundError: the folder isn't there.
    """
    if not raw.is_dir():
        raise FileNotFoundError(f"no such batch: {raw} (put the scans there, or take it off `batches`)")
    orientation = read_orientation(raw / "scan.yaml")
    paths = find_scans(raw)
    rows = []
    with atomic_path(scans) as folder:
        folder.mkdir()
        task = partial(_ingest_file, folder=folder, config=config, orientation=orientation, parser=parser)
        for row in map_in_processes(task, _first_of_each_name(paths), workers):
            rows.append(row)
            report(len(rows), len(paths))
        rows += [_unread(path) for path in sorted(set(paths) - set(_first_of_each_name(paths)))]
        rows.sort(key=lambda row: row.file)
        if not any(row.status in USABLE for row in rows):
            reasons = "; ".join(f"{row.file}: {row.reason}" for row in rows[:5])
            raise NoUsableScan(f"{raw} holds no usable scan" + (f" ({reasons})" if reasons else ""))
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
    return from_mapping(Orientation, yaml.safe_load(path.read_text()) or {}, str(path))


def find_scans(raw: Path) -> list[Path]:
    """The files of a folder that are, or look as if they were meant to be, scans; sorted by name."""
    return sorted(
        path
        for path in raw.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in _COMPANIONS
    )


def _first_of_each_name(paths: list[Path]) -> list[Path]:
    """The readable scans, one of each name."""
    first = {}
    for path in paths:
        if path.suffix.lower() in FORMATS:
            first.setdefault(path.stem, path)
    return list(first.values())


def _unread(path: Path) -> ScanReport:
    reason = "another scan of this batch has the same name"
    if path.suffix.lower() not in FORMATS:
        reason = f"'{path.suffix}' is not read; formats are {', '.join(FORMATS)}"
    return ScanReport(path.stem, path.name, REJECTED, reason)


def ingest_scan(
    path: Path, config: IngestScans, orientation: Orientation, parser: ScanParser | None = None
) -> tuple[dict, ScanReport]:
    """One raw scan as the arrays of a scan file, and its row of the report.

    Args:
        path: of the scan.
        config: rules and tolerances.
        orientation: what `scan.yaml` says; the rest is found.
        parser: for a scan that has colours but no labels.

    Raises:
        ScanError: with the reason why it can't be used.
    """
    companion = path.with_name(path.stem + SEGMENTATION_SUFFIX)
    texture = _read_texture(companion) if companion.exists() else None
    scan = read_scan(path)
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
            labelled.scan.vertices, labelled.scan.faces, labelled.face_labels, orientation
        )
    vertices, faces, face_labels, raw_to_head = to_head_space(
        labelled.scan.vertices,
        labelled.scan.faces,
        labelled.face_labels,
        standing.rotation,
        orientation.unit,
        config.head_radius,
    )
    labels.check_ids(face_labels[face_labels != labels.VOID], path.name)
    arrays = {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "face_labels": face_labels.astype(np.uint8),
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
    )
    return arrays, row


def _parse(
    scan: RawScan,
    config: IngestScans,
    orientation: Orientation,
    parser: ScanParser | None,
    lacking: str,
    may_be: np.ndarray | None = None,
):
    # Who has labelled scans only needs no OpenGL.
    from sofgan.scans.colored_views import has_colors

    missing = sorted({material.missing for material in scan.materials} - {""})
    gone = f"its texture {missing[0]} is not there or can't be read" if missing else ""
    if not has_colors(scan):
        raise ScanError(f"{lacking}; {gone or 'no colours to parse'}")
    if parser is None:
        raise ScanError(f"{lacking}; it has colours, but there is no parser")
    from sofgan.scans.parsed_labels import label_unlabelled

    try:
        return label_unlabelled(scan, orientation, parser, config.parsing, may_be)
    except ScanError as error:
        reason = str(error) if may_be is None else f"{lacking}; {error}"
        raise ScanError(f"{reason}; {gone}" if gone else reason) from error


def _sources(labelled: Labelled, source: str, raw_to_head: np.ndarray) -> str:
    """Where labels are from; of two sources each with its share of the area inside the ball."""
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
    path: Path, folder: Path, config: IngestScans, orientation: Orientation, parser: ScanParser | None
) -> ScanReport:
    try:
        arrays, row = ingest_scan(path, config, orientation, parser)
    except ScanError as error:
        return ScanReport(path.stem, path.name, REJECTED, str(error))
    write_npz(folder / f"{path.stem}.npz", **arrays)
    return row


def _read_texture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
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
