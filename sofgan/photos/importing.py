"""From a folder of photos, good and bad, to a store: every file is in the store or in the report."""

import csv
import dataclasses
import hashlib
import io
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from sofgan.files import write_bytes
from sofgan.parallel import ordered_map
from sofgan.photos import alignment
from sofgan.photos.checks import inspect
from sofgan.photos.decoding import PhotoError, encode_labels
from sofgan.photos.folder import read_regular
from sofgan.photos.layouts import Entry, Source, SourceError, read_labels
from sofgan.photos.people import split_people
from sofgan.photos.store import HELD_OUT, VALIDATION, PhotoStoreWriter
from sofgan.progress import SILENT, Progress

REPORT = "report.csv"
_NOTED_OUTSIDE = 0.1  # share of an aligned square


@dataclasses.dataclass(frozen=True)
class ReportRow:
    """A file that is left out, or imported with something to know about it."""

    file: str
    key: str
    status: str  # "left out" or "imported"
    reason: str


@dataclasses.dataclass(frozen=True)
class ImportResult:
    """Counts of an import: `photos` in the store, of which `held_out` and `validation`; `people` on them, where the
    source tells them apart, else 0; `left_out`; `noted` in the report."""

    photos: int
    held_out: int
    validation: int
    people: int
    left_out: int
    noted: int
    reasons: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Selection:
    """Photos of a source that are taken, and what for.

    Attributes:
        min_side_px: photos with a shorter side are left out.
        held_out_share, validation_share: of people whose photos' split is `HELD_OUT` or `VALIDATION`; a photo of
            whom the source says nothing counts as one of its own (`split_people`).
        limit: photos at most, the first ones; 0 takes all.
    """

    min_side_px: int
    held_out_share: float
    validation_share: float = 0.0
    limit: int = 0


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Alignment of photos: by the faces that `finder` finds, to squares of `size_px`."""

    finder: alignment.FaceFinder
    size_px: int


@dataclasses.dataclass(frozen=True)
class _Read:
    """A file as read: either a problem, or a photo with all that is stored of it.

    Until they are aligned, a photo to be aligned has its pixels, and its label map is none yet.
    """

    entry: Entry
    problem: str | None = None
    photo: bytes = b""
    labels: bytes | None = None
    notes: tuple[str, ...] = ()
    digest: str = ""
    image: Image.Image | None = None
    map: np.ndarray | None = None


def import_photos(
    source: Source,
    path: str | Path,
    selection: Selection,
    align: Alignment | None = None,
    workers: int = 1,
    progress: Progress = SILENT,
) -> ImportResult:
    """Write a store of a source's usable photos, with `report.csv` beside its shards.

    Photos keep their original bytes, unless they are aligned: those are encoded anew. A photo whose bytes occurred
    before is left out. The order is the source's, whatever the workers.

    Args:
        align: cut out the largest face of each photo; a photo without one is left out.
        progress: listener, which gets the count of files with the name of their folder.

    Raises:
        SourceError: no photo of the source can be used.
    """
    rows: list[ReportRow] = []
    seen: dict[str, str] = {}
    people = [source.people.get(entry.key, entry.key) for entry in source.entries if not entry.problem]
    shares, limit = (selection.held_out_share, selection.validation_share), selection.limit
    splits = split_people(people, *shares) | (split_people(people[:limit], *shares) if limit else {})
    sides, seen_people = Counter(), set()
    unit = f"photos of {source.folder.name}"
    progress.items(0, len(source.entries), unit)
    with PhotoStoreWriter(path) as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL warns of what the report tells.
        reads = (
            _aligned_reads(source, selection.min_side_px, align, workers)
            if align
            else _reads(source, selection.min_side_px, workers)
        )
        for done, item in enumerate(reads, 1):
            problem = item.problem
            if problem is None and item.digest in seen:
                problem = f"duplicate: the same bytes as {seen[item.digest]}"
            if problem is not None:
                rows.append(ReportRow(item.entry.name, item.entry.key, "left out", problem))
            else:
                seen[item.digest] = item.entry.name
                person = source.people.get(item.entry.key, item.entry.key)
                split = splits[person]
                sides[split] += 1
                seen_people.add(person)
                writer.add(item.entry.key, item.photo, item.labels, split)
                if item.notes:
                    rows.append(ReportRow(item.entry.name, item.entry.key, "imported", "; ".join(item.notes)))
            progress.items(done, len(source.entries), unit)
            if limit and len(writer) == limit:
                break
        reads.close()
        reasons = Counter(row.reason.split(":")[0] for row in rows if row.status == "left out")
        if not len(writer):
            common = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
            raise SourceError(f"{source.folder}: none of {len(source.entries)} files can be used: {common}")
        write_bytes(writer.folder / REPORT, _csv(rows))
        left_out = sum(row.status == "left out" for row in rows)
        return ImportResult(
            len(writer),
            sides[HELD_OUT],
            sides[VALIDATION],
            len(seen_people) if source.people else 0,
            left_out,
            len(rows) - left_out,
            dict(reasons),
        )


def _reads(source: Source, min_side_px: int, workers: int) -> Iterator[_Read]:
    def read(entry: Entry) -> _Read:
        item = _read(entry, min_side_px, source)
        if item.problem is not None:
            return item
        width, height = item.image.size
        notes = item.notes
        if width != height:
            notes += (f"not square ({width}x{height}): its centred square is used",)
        return _finished(item, item.photo, item.map, notes)

    return ordered_map(read, source.entries, workers)


def _aligned_reads(source: Source, min_side_px: int, align: Alignment, workers: int) -> Iterator[_Read]:
    """Read photos as `_reads` does, aligned: files are read and cut in threads, faces found here, in order."""
    # Whole photos wait here, so fewer are read ahead.
    reads = ordered_map(lambda entry: _read(entry, min_side_px, source), source.entries, workers, 2)
    located = _with_faces(reads, align.finder)
    return ordered_map(lambda pair: _align(*pair, align, min_side_px), located, workers, 2)


def _with_faces(
    reads: Iterator[_Read], finder: alignment.FaceFinder
) -> Iterator[tuple[_Read, alignment.Face | None]]:
    while group := list(islice(reads, finder.batch)):
        good = [item for item in group if item.problem is None]
        faces = iter(
            finder([item.entry.name for item in good], [item.image for item in good]) if good else ()
        )
        for item in group:
            yield item, next(faces) if item.problem is None else None


def _read(entry: Entry, min_side_px: int, source: Source) -> _Read:
    if entry.problem is not None:
        return _Read(entry, entry.problem)
    try:
        photo = read_regular(entry.file)
        inspection = inspect(photo, min_side_px)
        labels = read_labels(entry, source.void_ids) if source.labelled else None
    except PhotoError as error:
        return _Read(entry, str(error))
    except OSError as error:
        return _Read(entry, f"can't be read: {error.strerror or error}")
    except Exception as error:  # Whatever a file does to a decoder, the import goes on.
        return _Read(entry, f"can't be read: {type(error).__name__}: {error}")
    notes = inspection.notes
    if labels is not None and not _same_shape(inspection.image.size, labels.shape[::-1]):
        notes += (f"mask has another shape: {labels.shape[1]}x{labels.shape[0]}",)
    return _Read(entry, None, photo, notes=notes, image=inspection.image, map=labels)


def _same_shape(photo: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Whether sides (width, height) are in one proportion, but for a rounding of the smaller's by a pixel."""
    (width, height), (mask_width, mask_height) = photo, mask
    return abs(width * mask_height - height * mask_width) <= max(width, height)


def _align(item: _Read, face: alignment.Face | None, align: Alignment, min_side_px: int) -> _Read:
    if item.problem is not None:
        return item
    if face is None:
        return _Read(item.entry, align.finder.missing)
    size, photo_size = align.size_px, item.image.size
    try:
        transform = alignment.ffhq_transform(face, size)
        side = alignment.square_side(transform, size)
        if side < min_side_px:
            raise PhotoError(f"too small: the face's square has {side:.0f} px, under {min_side_px}")
        aligned = alignment.align_photo(item.image, transform, size)
    except PhotoError as error:
        return _Read(item.entry, str(error))
    notes = list(item.notes)
    if face.others:
        notes.append(f"{face.others + 1} faces: the largest is taken")
    if (outside := alignment.share_outside(transform, size, photo_size)) >= _NOTED_OUTSIDE:
        notes.append(f"{outside:.0%} of the square lie beyond the photo: mirrored and blurred")
    labels = item.map
    if labels is not None:
        labels = alignment.align_labels(labels, transform, size, photo_size)
    return _finished(item, alignment.encode_photo(aligned), labels, tuple(notes))


def _finished(item: _Read, photo: bytes, labels: np.ndarray | None, notes: tuple[str, ...]) -> _Read:
    encoded = None if labels is None else encode_labels(labels)
    # The digest is of what is stored: FFHQ cuts several faces out of one photo.
    return _Read(item.entry, None, photo, encoded, notes, hashlib.sha256(photo).hexdigest())


def _csv(rows: list[ReportRow]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.name for field in dataclasses.fields(ReportRow)])
    table.writerows(dataclasses.astuple(row) for row in rows)
    return text.getvalue().encode()
