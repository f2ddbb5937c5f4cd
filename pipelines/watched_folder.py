"""A folder that is watched for new batches: which have arrived whole, and which failed and are worth another try."""

import hashlib
import json
import time
from pathlib import Path

from pipelines.batch_sources import slug
from pipelines.batches import goes_on_from_its_field, listing, read_document
from pipelines.dvc_files import dvc_file
from sofgan.files import write_bytes
from stages import paths

FAILURES = paths.WORK / "failed_batches.json"  # by name: what failed, and how often


TRIES = 3  # Of what is the same: a full disk may be a matter of an hour, scans that can't be read are not.


def arrived(root: Path, folder: Path, settled_seconds: float) -> list[Path]:
    """Folders in `folder` that never were batches, and in which nothing has changed for so long."""
    known = read_document(root)["batches"]
    settled = time.time() - settled_seconds
    return [
        path
        for path in sorted((root / folder).glob("*/"))
        if not path.name.startswith(".")
        and slug(path.name) not in known
        and not dvc_file(root / paths.RAW_SCANS / slug(path.name)).is_file()  # Taken out again: it stays out.
        and max(file.lstat().st_mtime for file in (path, *path.rglob("*"))) <= settled
    ]


def unfinished(root: Path, folder: Path, fine_tune: bool = False) -> list[str]:
    """Batches in use that came from folders in `folder`, and that have no views: reading or rendering failed; with
    `fine_tune` those too that came with a warm start, of whose training there is no field."""
    known = read_document(root)["batches"]
    untrained = fine_tune and not (root / paths.SOF).is_file()
    names = [slug(path.name) for path in sorted((root / folder).glob("*/")) if not path.name.startswith(".")]
    return [
        name
        for name in names
        if name in known
        and (not _is_rendered(root, name) or (untrained and goes_on_from_its_field(root, name)))
    ]


def worth_a_try(root: Path, name: str, source: Path | None = None) -> bool:
    """Whether a batch has changed since it failed, or has not failed often yet.

    Args:
        root: the project's folder.
        name: of the batch.
        source: the folder that it is to be made of; once it is a batch its own counts.
    """
    what, times = _failures(root).get(name, ("", 0))
    return times < TRIES or what != _what_is_made_of(root, name, source)


def note_failure(root: Path, name: str, source: Path | None = None) -> None:
    """Remember what the batch was when it was refused, or its rendering failed; arguments as of `worth_a_try`."""
    failures, what = _failures(root), _what_is_made_of(root, name, source)
    before, times = failures.get(name, (what, 0))
    failures[name] = (what, times + 1 if before == what else 1)
    write_bytes(root / FAILURES, json.dumps(failures).encode())


def _failures(root: Path) -> dict[str, tuple[str, int]]:
    return json.loads((root / FAILURES).read_text()) if (root / FAILURES).is_file() else {}


def _is_rendered(root: Path, name: str) -> bool:
    return (root / paths.VIEWS / name).is_dir()


def _what_is_made_of(root: Path, name: str, source: Path | None) -> str:
    """A digest of the batch's scans, by size and time, and of the parameters of its stages: once it is rendered, of the
    field's training too, which is what failed then."""
    document = read_document(root)
    folder = root / (paths.RAW_SCANS / name if source is None or name in document["batches"] else source)
    files = [(file, size, (folder / file).stat().st_mtime_ns) for file, size in listing(folder).items()]
    keys = ("seed", "runtime", "ingest_scans", "render_views", *(["train_sof"] * _is_rendered(root, name)))
    blocks = {key: document.get(key) for key in keys}
    return hashlib.sha256(json.dumps([files, blocks], default=str).encode()).hexdigest()
