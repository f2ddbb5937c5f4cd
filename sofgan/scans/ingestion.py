"""A folder of raw scans becomes a folder of labelled scans in head space, and a report on each of them."""

import csv
from collections.abc import Callable
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
from sofgan.scans.labelling import NoLabels, label_scan
from sofgan.scans.normalising import Orientation, likely_unit, to_head_space
from sofgan.scans.reading import FORMATS, RawScan, ScanError, read_scan
from sofgan.scans.scan_parser import ScanParser
from sofgan.scans.standing import standing_of_labels

SEGMENTATION_SUFFIX = "_seg.png"
NO_SHAPE_PARSER = (
    "no colours to parse; `train_shape_parser: people` above 0 in params.yaml makes a parser of bare shapes"
)
# Files that belong to scans or describe them; anything else in the folder is listed as unusable.
_COMPANIONS = (
    (".mtl", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff", ".webp")
    + (".bin", ".yaml", ".json", ".ljson", ".pts", ".csv", ".txt", ".md")
)  # fmt: skip


@dataclass(frozen=True)
class ScanReport:
    """One row of `report.csv`."""

    scan: str
    file: str
    status: str  # ok or rejected
    reason: str = ""
    faces: int = 0
    label_source: str = ""
    off_palette: int = 0  # samples of a texture or colours that were near a palette colour, not on it
    classes: str = ""  # present, separated by spaces
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
        parser: for scans that have colours but no labels, and by its `of_shape` for those without colours; without
            one they are rejected.

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
        if not any(row.status == "ok" for row in rows):
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
    return ScanReport(path.stem, path.name, "rejected", reason)


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
    companion = path.with_name(path.stem + SEGMENTATION_SUFFIX)
    texture = _read_texture(companion) if companion.exists() else None
    scan = read_scan(path)
    face_score = ""
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
        parsed = _parse(scan, config, orientation, parser, lacking)
        labelled, standing, face_score = parsed.labelled, parsed.standing, f"{parsed.score:.2f}"
    else:
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
    arrays = {
        "vertices": vertices.astype(np.float32),
        "faces": faces.astype(np.int32),
        "face_labels": labels.check_ids(face_labels.astype(np.uint8), path.name),
        "raw_to_head": raw_to_head,
        "source_sha256": np.array(sha256_file(path)),
    }
    row = ScanReport(
        path.stem,
        path.name,
        "ok",
        faces=len(faces),
        label_source=labelled.source,
        off_palette=labelled.off_palette,
        classes=" ".join(labels.NAMES[id] for id in np.unique(face_labels)),
        axes=describe(standing.rotation),
        axes_source=standing.source,
        unit=orientation.unit or likely_unit(raw_to_head, config.head_radius) or "unknown",
        face_score=face_score,
    )
    return arrays, row


def _parse(
    scan: RawScan, config: IngestScans, orientation: Orientation, parser: ScanParser | None, lacking: NoLabels
):
    # Who has labelled scans only needs no OpenGL.
    from sofgan.scans.colored_views import has_colors

    missing = sorted({material.missing for material in scan.materials} - {""})
    gone = f"its texture {missing[0]} is not there or can't be read" if missing else ""
    if not has_colors(scan):
        parser = parser and parser.of_shape
        if gone or parser is None:
            raise ScanError(f"{lacking}; {gone or NO_SHAPE_PARSER}") from lacking
    if parser is None:
        raise ScanError(f"{lacking}; it has colours, but there is no parser") from lacking
    from sofgan.scans.parsed_labels import label_unlabelled

    try:
        return label_unlabelled(scan, orientation, parser, config.parsing)
    except ScanError as error:
        if not gone:
            raise
        raise ScanError(f"{error}; {gone}") from error


def _ingest_file(
    path: Path, folder: Path, config: IngestScans, orientation: Orientation, parser: ScanParser | None
) -> ScanReport:
    try:
        arrays, row = ingest_scan(path, config, orientation, parser)
    except ScanError as error:
        return ScanReport(path.stem, path.name, "rejected", str(error))
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
    usable = [row for row in rows if row.status == "ok"]
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
