"""Scan batches in and out: `python -m pipelines add-batch PATH` and `remove-batch NAME`.

A batch is a folder data/raw/scans/NAME, held by DVC so that `dvc push` shares it, and its name in `batches` of
params.yaml. Adding one leaves everything that was made of the others as it is.
"""

import fcntl
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fsspec

from pipelines import demo, profiles
from sofgan.files import sha256_file, write_bytes

RAW = Path("data/raw/scans")
MADE = (Path("data/scans"), Path("data/views"))  # what stages make of a batch, in a folder of its own
FIELD, FIELDS = Path("models/sof.pt"), Path("data/fields")  # the field, and earlier ones to go on from
LOCK = Path(".work/params.lock")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
ARCHIVES = tuple(suffix for _, suffixes, _ in shutil.get_unpack_formats() for suffix in suffixes)


class BatchError(ValueError):
    """A batch can't be added or removed."""


@dataclass(frozen=True)
class Batch:
    """A batch that is in use; `added` tells whether it was not before."""

    name: str
    files: int
    added: bool


def add(root: Path, source: str, name: str | None = None, warm_start: bool = False) -> Batch:
    """Copy scans into the project and put them to use. Doing it again changes nothing.

    Args:
        root: the project's folder.
        source: a folder, an archive or a file, by its path or by what else fsspec opens (s3://, https://, ...).
        name: of the batch; None: from the source.
        warm_start: the field's training then goes on from the field that there is now.

    Raises:
        BatchError: there are no files, the name is other scans', or the scans are in use by another name.
    """
    name = name or slug(source)
    if not NAME.fullmatch(name):
        raise BatchError(f"'{name}' is no name for a batch: small letters, digits, dots, dashes, underscores")
    (root / ".work").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / ".work") as work, locked(root):
        arrived, target = Path(work) / "scans", root / RAW / name
        fetch(source, arrived)
        count = len(listing(arrived))
        if not count:
            raise BatchError(f"{source} holds no files")
        for there in sorted((root / RAW).glob("*/")):
            if there != target and same(there, arrived):
                raise BatchError(f"the scans of {source} are there already: batch '{there.name}'")
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(arrived, target)
        elif not same(target, arrived):
            raise BatchError(f"there is a batch '{name}' of other scans; choose another --name")
        with edited_params(root) as document:
            added = name not in document["batches"]
            if added and warm_start:
                document["train_sof"]["warm_start"].update(keep_field(root, name))
            if added:
                hold(root, target)
                document["batches"].append(name)
    return Batch(name, count, added)


def remove(root: Path, name: str) -> None:
    """Take a batch out of use. Its scans stay in data/raw/scans, what was made of it in DVC's cache.

    Raises:
        BatchError: it is not in use, or it is the only one.
    """
    with locked(root), edited_params(root) as document:
        if name not in document["batches"]:
            raise BatchError(f"no batch '{name}' in use; there are: {', '.join(document['batches'])}")
        if len(document["batches"]) == 1:
            raise BatchError(f"'{name}' is the only batch; add another one first")
        document["batches"].remove(name)
        for folder in MADE:
            shutil.rmtree(root / folder / name, ignore_errors=True)


def arrived(root: Path, folder: Path, settled_seconds: float) -> list[Path]:
    """Folders in `folder` that are no batches in use yet, and in which nothing has changed for so long."""
    in_use = profiles.parse((root / profiles.PARAMS).read_text(), profiles.PARAMS)["batches"]
    settled = time.time() - settled_seconds
    return [
        path
        for path in sorted((root / folder).glob("*/"))
        if slug(path.name) not in in_use
        and max(file.stat().st_mtime for file in (path, *path.rglob("*"))) <= settled
    ]


def slug(source: str) -> str:
    """A batch's name from where it comes from: the last part of the path, without an archive's suffix."""
    last = PurePosixPath(source.rstrip("/")).name.lower()
    suffix = next((end for end in ARCHIVES if last.endswith(end)), "")
    return re.sub(r"[^a-z0-9._-]+", "-", last.removesuffix(suffix)).strip("-._")


def fetch(source: str, target: Path) -> None:
    """Copy a folder's files, an archive's or a single one, from wherever fsspec reads, into a new folder."""
    try:
        system, inner = fsspec.core.url_to_fs(source)
        if not system.exists(inner):
            raise BatchError(f"{source} is not there")
        target.mkdir()
        if system.isdir(inner):
            for path in system.find(inner):
                local = target / PurePosixPath(path).relative_to(PurePosixPath(inner))
                local.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(path, str(local))
            return
        file = target / PurePosixPath(inner).name
        system.get_file(inner, str(file))
        if file.name.lower().endswith(ARCHIVES):
            shutil.unpack_archive(file, target, **({} if file.suffix == ".zip" else {"filter": "data"}))
            file.unlink()
    except (OSError, ValueError, ImportError, shutil.ReadError) as error:
        if isinstance(error, BatchError):
            raise
        raise BatchError(f"{source} can't be read: {error}") from error


def listing(folder: Path) -> dict[str, int]:
    """Relative paths and sizes of a folder's files, hidden ones left out."""
    files = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        name.as_posix(): path.stat().st_size
        for name, path in files
        if not any(part.startswith(".") for part in name.parts)
    }


def same(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files; those of unlike names or sizes, most of many, are not read."""
    names = listing(first)
    return names == listing(second) and all(
        sha256_file(first / name) == sha256_file(second / name) for name in names
    )


def keep_field(root: Path, before: str) -> dict[str, str]:
    """Keep the field that there is, which the next training replaces: keys of `train_sof.warm_start`.

    Raises:
        BatchError: there is none.
    """
    if not (root / FIELD).is_file():
        raise BatchError(f"no field at {FIELD} to go on from; `dvc repro train_sof` trains one")
    kept = root / FIELDS / f"before-{before}.pt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(root / FIELD, kept)
    hold(root, kept)
    return {"field": kept.relative_to(root).as_posix(), "sha256": sha256_file(kept)}


def hold(root: Path, path: Path) -> None:
    """Have DVC keep a file or folder that no stage makes, so that `dvc push` shares it.

    Raises:
        BatchError: DVC can't, for instance while a stage runs that it locks.
    """
    command = demo.dvc("add", "--quiet", str(path.relative_to(root)))
    done = subprocess.run(command, cwd=root, env=demo.environment(), capture_output=True, text=True)
    if done.returncode:
        raise BatchError(f"dvc can't hold {path.relative_to(root)}: {done.stderr.strip()}")


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Alone, among the processes of this machine, to change batches."""
    (root / LOCK).parent.mkdir(exist_ok=True)
    with open(root / LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def edited_params(root: Path) -> Iterator[dict]:
    """params.yaml, comments and all, to be changed; it is written whole if the block ends well and it is valid."""
    path = root / profiles.PARAMS
    text = path.read_text()
    document = profiles.parse(text, path)
    yield document
    stream = io.StringIO()
    profiles.round_trip().dump(document, stream)
    if profiles.parse(stream.getvalue(), path) != profiles.parse(text, path):
        profiles.check(stream.getvalue())
        write_bytes(path, stream.getvalue().encode())


def run_add(source: str, name: str | None, warm_start: bool) -> int:
    """`add-batch`: say what was added and what comes next."""
    try:
        batch = add(Path.cwd(), source, name, warm_start)
    except BatchError as error:
        print(error, file=sys.stderr)
        return 1
    if not batch.added:
        print(f"batch '{batch.name}' of {batch.files} files is in use already")
        return 0
    print(f"batch '{batch.name}' of {batch.files} files is in use. Next:")
    print(f"  dvc repro render_views@{batch.name}    # reads and renders its scans, no others")
    print("  dvc repro report                 # brings everything that depends on them up to date")
    return 0


def run_remove(name: str) -> int:
    """`remove-batch`: say what became of it."""
    try:
        remove(Path.cwd(), name)
    except BatchError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"batch '{name}' is out of use; its scans are still in {RAW / name}. Next: dvc repro report")
    return 0
