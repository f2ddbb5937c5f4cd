"""From a folder of photos, good and bad, to a store: every file is in the store or in the report."""

import csv
import dataclasses
import hashlib
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sofgan.faces.images import PhotoError, encode_labels, inspect
from sofgan.faces.parallel import ordered_map
from sofgan.faces.sources import Entry, Source, SourceError, read_labels
from sofgan.faces.store import HELD_OUT, PhotoStoreWriter, held_out
from sofgan.files import write_bytes

REPORT = "report.csv"


@dataclasses.dataclass(frozen=True)
class ReportRow:
    """A file that is left out, or imported with something to know about it."""

    file: str
    key: str
    status: str  # "left out" or "imported"
    reason: str


@dataclasses.dataclass(frozen=True)
class ImportResult:
    """Counts of an import: `photos` in the store, of which `held_out`; `left_out`; `noted` in the report."""

    photos: int
    held_out: int
    left_out: int
    noted: int
    reasons: dict[str, int]


@dataclasses.dataclass(frozen=True)
class _Read:
    entry: Entry
    problem: str | None = None
    photo: bytes = b""
    labels: bytes | None = None
    digest: str = ""
    notes: tuple[str, ...] = ()


def import_photos(
    source: Source,
    path: str | Path,
    *,
    min_side_px: int,
    held_out_share: float,
    limit: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportResult:
    """Write a store of a source's usable photos, with `report.csv` beside its shards.

    A photo whose bytes occurred before is left out. The order is the source's, whatever the workers.

    Args:
        min_side_px: photos with a shorter side are left out.
        held_out_share: share of photos whose split is `HELD_OUT`, chosen by the hash of their keys.
        limit: stop after this many photos; 0 takes all.
        progress: called with files done and files in all.

    Raises:
        SourceError: no photo of the source can be used.
    """
    rows: list[ReportRow] = []
    seen: dict[str, str] = {}
    held = 0
    with PhotoStoreWriter(path) as writer:
        reads = ordered_map(lambda entry: _read(entry, min_side_px, source.labelled), source.entries, workers)
        for done, item in enumerate(reads, 1):
            problem = item.problem
            if problem is None and item.digest in seen:
                problem = f"duplicate: the same bytes as {seen[item.digest]}"
            if problem is not None:
                rows.append(ReportRow(item.entry.name, item.entry.key, "left out", problem))
            else:
                seen[item.digest] = item.entry.name
                split = held_out(item.entry.key, held_out_share)
                held += split == HELD_OUT
                writer.add(item.entry.key, item.photo, item.labels, split)
                if item.notes:
                    rows.append(ReportRow(item.entry.name, item.entry.key, "imported", "; ".join(item.notes)))
            progress(done, len(source.entries))
            if limit and len(writer) == limit:
                break
        reads.close()
        reasons = Counter(row.reason.split(":")[0] for row in rows if row.status == "left out")
        if not len(writer):
            common = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
            raise SourceError(f"{source.folder}: none of {len(source.entries)} files can be used: {common}")
        write_bytes(writer.folder / REPORT, _csv(rows))
        left_out = sum(row.status == "left out" for row in rows)
        return ImportResult(len(writer), held, left_out, len(rows) - left_out, dict(reasons))


def _read(entry: Entry, min_side_px: int, labelled: bool) -> _Read:
    if entry.problem is not None:
        return _Read(entry, entry.problem)
    try:
        photo = entry.file.read_bytes()
        notes = inspect(photo, min_side_px).notes
        labels = encode_labels(read_labels(entry)) if labelled else None
    except PhotoError as error:
        return _Read(entry, str(error))
    except OSError as error:
        return _Read(entry, f"can't be read: {error.strerror or error}")
    return _Read(entry, None, photo, labels, hashlib.sha256(photo).hexdigest(), notes)


def _csv(rows: list[ReportRow]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.name for field in dataclasses.fields(ReportRow)])
    table.writerows(dataclasses.astuple(row) for row in rows)
    return text.getvalue().encode()
