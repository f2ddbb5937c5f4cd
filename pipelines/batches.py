"""Scan batches in and out: `python -m pipelines add-batch PATH` and `remove-batch NAME`.

A batch is a folder data/raw/scans/NAME, held by DVC so that `dvc push` shares it, and its name in `batches` of
params.yaml. Adding one leaves everything that was made of the others as it is.
"""

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import fsspec
import psutil
import yaml
from fsspec.implementations.local import LocalFileSystem

from pipelines import profiles
from pipelines.dvc_files import AT_RISK, MEND, dvc_file, why_unseen
from pipelines.profiles import locked
from sofgan.errors import UserError
from sofgan.files import sha256_file, write_bytes
from sofgan.scans.folder import files_in, find_scans, is_litter, none_found

RAW = Path("data/raw/scans")
VIEWS = Path("data/views")
MADE = (Path("data/scans"), VIEWS)  # what stages make of a batch, in a folder of its own
ODDITIES, SCORES = Path("data/oddities"), Path("metrics/all/score_batch")
FIELD, FIELDS = Path("models/sof.pt"), Path("data/fields")  # the field, and earlier ones to go on from
FAILURES = Path(".work/failed_batches.json")  # by name: what failed, and how often
TRIES = 3  # Of what is the same: a full disk may be a matter of an hour, scans that can't be read are not.
TOLD = 10  # of the files that are left out
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
ARCHIVES = tuple(suffix for _, suffixes, _ in shutil.get_unpack_formats() for suffix in suffixes)


class BatchError(UserError, ValueError):
    """A batch can't be added or removed."""


@dataclass(frozen=True)
class Batch:
    """A batch that is in use.

    Attributes:
        name: of its folder in data/raw/scans.
        formats: how many of its scans are in each format, by suffix; a scan that is not read does not count.
        files: all of its files, textures and the like too.
        added: whether it was not in use before.
        unread: a line for each file that looks like a scan and is not read.
    """

    name: str
    formats: dict[str, int]
    files: int
    added: bool
    unread: tuple[str, ...] = ()

    def __str__(self) -> str:
        ranked = sorted(self.formats.items(), key=lambda kind: (-kind[1], kind[0]))
        kinds = ", ".join(f"{count} {suffix.removeprefix('.')}" for suffix, count in ranked)
        scans, files = (
            f"{count} {what}{'' if count == 1 else 's'}"
            for count, what in ((sum(self.formats.values()), "scan"), (self.files, "file"))
        )
        return f"batch '{self.name}': {scans} ({kinds}), {files}"

    def left_out(self) -> list[str]:
        """`unread` to be said: the first ones, and how many more there are."""
        more = len(self.unread) - TOLD
        return [
            *self.unread[:TOLD],
            *([f"and {more} more; the batch's report.csv lists all"] if more > 0 else []),
        ]


def add(root: Path, source: str, name: str | None = None, warm_start: bool = False) -> Batch:
    """Copy scans into the project and put them to use. Doing it again changes nothing.

    Args:
        root: the project's folder.
        source: a folder, an archive or a file, by its path or by what else fsspec opens (s3://, https://, ...).
        name: of the batch; None: from the source.
        warm_start: the field's training then goes on from the field that there is now.

    Raises:
        BatchError: there are no scans, the name is other scans', the scans are in use by another name, the warm
            start of a batch that is in use already is asked for, or DVC would not see by what it holds the scans.
        ProfileError, ConfigError: params.yaml can't be read, or would not be valid.
        DvcFileError: there is no DVC project.
    """
    name = name or slug(source)
    # `no` and its like would be read as truth values.
    if not NAME.fullmatch(name) or yaml.safe_load(name) != name or name.endswith(".dvc"):
        raise BatchError(
            f"'{name}' is no name for a batch: small letters, digits, dots, dashes, underscores, no `.dvc` at the end"
        )
    document = read_document(root)
    kept = FIELDS / f"before-{name}.pt"
    if warm_start and name in document["batches"]:
        if not goes_on_from_its_field(root, name):
            raise BatchError(f"batch '{name}' is in use already; a warm start is for the field without it")
        warm_start = False
    if warm_start and not (root / FIELD).is_file():
        raise BatchError(f"no field at {FIELD} to go on from; `dvc repro train_sof` trains one")
    target = root / RAW / name
    known = {*document["batches"], *document.get("avatars", {}).get("batches", [])}
    if not target.is_dir() and (name in known or dvc_file(target).is_file()):
        raise BatchError(
            f"there is a batch '{name}', whose scans are not here: `dvc pull`, or another --name"
        )

    (root / ".work").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / ".work") as work:
        arrived = Path(work) / "scans"
        gone = fetch(source, arrived)
        batch = seen_in(arrived, name)
        batch = replace(batch, unread=(*batch.unread, *gone))
        if not batch.formats:
            raise BatchError(f"{source}: {none_found(arrived)}")
        with locked(root):
            for other in read_document(root)["batches"]:
                if other != name and same(root / RAW / other, arrived):
                    raise BatchError(f"the scans of {source} are there already: batch '{other}'")
            if name not in read_document(root)["batches"] and (why := why_unseen(root, dvc_file(RAW / name))):
                held_by = dvc_file(RAW / name)
                raise BatchError(f"DVC would not see {held_by}: {why}, so {AT_RISK}; {MEND}")
            is_new = not target.is_dir()
            if is_new:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(arrived, target)
            elif not same(target, arrived):
                raise BatchError(f"there is a batch '{name}' of other scans; choose another --name")
            if name in read_document(root)["batches"]:
                return batch
            if not dvc_file(target).is_file():
                _hold_all(root, target, batch.files, is_new)
            warm = keep_field(root, root / kept) if warm_start else {}
            with edited_params(root) as document:
                document["batches"].append(name)
                document["train_sof"]["warm_start"].update(warm)
    return replace(batch, added=True)


def seen_in(folder: Path, name: str) -> Batch:
    """Summary of a folder of scans as the batch that it would be."""
    scans = find_scans(folder)
    return Batch(
        name,
        dict(Counter(scan.format for scan in scans if not scan.unread)),
        len(files_in(folder)),
        False,
        tuple(f"{scan.file}: {scan.unread}" for scan in scans if scan.unread),
    )


def remove(root: Path, name: str) -> None:
    """Take a batch out of use. Its scans stay where they are and as DVC holds them, what was made of it in DVC's cache.

    Raises:
        BatchError: it is not in use, it is the only one, or dvc is at work, which would take what is made of all
            batches for made of those that are left.
    """
    with locked(root):
        if at_work := dvc_at_work(root):
            raise BatchError(f"dvc is at work ({at_work}); try again when it has ended")
        with edited_params(root) as document:
            if name not in document["batches"]:
                raise BatchError(f"no batch '{name}' in use; there are: {', '.join(document['batches'])}")
            if len(document["batches"]) == 1:
                raise BatchError(f"'{name}' is the only batch; add another one first")
            document["batches"].remove(name)
        for folder in MADE:
            shutil.rmtree(root / folder / name, ignore_errors=True)
        for file in (root / SCORES / f"{name}.json", root / ODDITIES / f"{name}.csv"):
            file.unlink(missing_ok=True)


def dvc_at_work(root: Path) -> str | None:
    """The command of a dvc process that reads or writes something of the project now, if there is one."""
    path = root / ".dvc/tmp/rwlock"
    try:
        held = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:  # It is being written.
        return "dvc"
    holders = (holder for lock in held.values() for holder in (lock.get("write"), *lock.get("read", [])))
    return next((holder["cmd"] for holder in holders if holder and psutil.pid_exists(holder["pid"])), None)


def arrived(root: Path, folder: Path, settled_seconds: float) -> list[Path]:
    """Folders in `folder` that never were batches, and in which nothing has changed for so long."""
    known = read_document(root)["batches"]
    settled = time.time() - settled_seconds
    return [
        path
        for path in sorted((root / folder).glob("*/"))
        if not path.name.startswith(".")
        and slug(path.name) not in known
        and not dvc_file(root / RAW / slug(path.name)).is_file()  # Taken out again: it stays out.
        and max(file.lstat().st_mtime for file in (path, *path.rglob("*"))) <= settled
    ]


def unfinished(root: Path, folder: Path) -> list[str]:
    """Batches in use that came from folders in `folder`, and that have no views: reading or rendering failed."""
    known = read_document(root)["batches"]
    names = [slug(path.name) for path in sorted((root / folder).glob("*/")) if not path.name.startswith(".")]
    return [name for name in names if name in known and not (root / VIEWS / name).is_dir()]


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


def _what_is_made_of(root: Path, name: str, source: Path | None) -> str:
    """A digest of the batch's scans, by size and time, and of the parameters of its stages."""
    document = read_document(root)
    folder = root / (RAW / name if source is None or name in document["batches"] else source)
    files = [(file, size, (folder / file).stat().st_mtime_ns) for file, size in listing(folder).items()]
    blocks = {key: document.get(key) for key in ("seed", "runtime", "ingest_scans", "render_views")}
    return hashlib.sha256(json.dumps([files, blocks], default=str).encode()).hexdigest()


def goes_on_from_its_field(root: Path, name: str) -> bool:
    """Whether training goes on from the field that there was before the batch was added."""
    kept = read_document(root)["train_sof"]["warm_start"]["field"]
    return kept == (FIELDS / f"before-{name}.pt").as_posix()


def read_document(root: Path) -> dict:
    """params.yaml as it is now."""
    return profiles.parse(profiles.read(root / profiles.PARAMS), profiles.PARAMS)


def slug(source: str) -> str:
    """A batch's name from where it comes from: the last part of the path, without an archive's suffix."""
    last = PurePosixPath(source.split("?")[0].rstrip("/")).name.lower()
    suffix = next((end for end in ARCHIVES if last.endswith(end)), "")
    return re.sub(r"[^a-z0-9._-]+", "-", last.removesuffix(suffix)).strip("-._")


def fetch(source: str, target: Path) -> list[str]:
    """Copy a folder's files, an archive's or a single scan and what it needs, from wherever fsspec reads, into a new
    folder.

    Hidden files and a system's litter stay behind: of a source that is a repository itself DVC would hold nothing.

    Returns:
        a line for each file that is no more than a name: a link to what is not there, what a scan alone names.
    """
    gone = []
    try:
        system, inner = fsspec.core.url_to_fs(source)
        if not system.exists(inner):
            raise BatchError(f"{source} is not there")
        target.mkdir()
        if system.isdir(inner):
            for path in _files_below(system, inner):
                file = PurePosixPath(path).relative_to(PurePosixPath(inner))
                if any(is_litter(part) for part in file.parts):
                    continue
                if os.path.islink(path) and not os.path.exists(path):
                    gone.append(f"{file}: it is a link to what is not there")
                    continue
                local = target / file
                local.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(path, str(local))
            return gone
        name = PurePosixPath(inner.split("?")[0]).name  # Of a signed address the rest is its key.
        packed = name.lower().endswith(ARCHIVES)
        file = target / (name.lower() if packed else name)
        system.get_file(inner, str(file))
        if not packed:
            return fetch_companions(system, inner, file)
        if packed:
            shutil.unpack_archive(file, target, **({} if file.suffix == ".zip" else {"filter": "data"}))
            file.unlink()
            _without_litter(target)
        return gone
    except BatchError:
        raise
    except Exception as error:  # The boundary to every file system and archive that there is.
        raise BatchError(f"{source} can't be read: {type(error).__name__}: {error}") from error


def _files_below(system, folder: str) -> Iterator[str]:
    """Paths of all files of a folder. Of a local one also of folders that it links to, but no link goes round."""
    if not isinstance(system, LocalFileSystem):
        yield from system.find(folder)
        return
    above = {
        folder: {os.path.realpath(folder)}
    }  # of each folder on the way, itself and those that it lies in
    for where, folders, files in os.walk(folder, followlinks=True):
        around = above.pop(where)
        real = {name: os.path.realpath(os.path.join(where, name)) for name in folders}
        folders[:] = [name for name in sorted(folders) if not is_litter(name) and real[name] not in around]
        above |= {os.path.join(where, name): around | {real[name]} for name in folders}
        yield from (os.path.join(where, name) for name in sorted(files))


def fetch_companions(system, inner: str, scan: Path) -> list[str]:
    """Copy what a single scan needs beside it, as far as it is there: into the scan's own folder, as it is named, or
    right beside it where it lies elsewhere.

    Args:
        system: of fsspec, that the scan came from.
        inner: the scan's path there.
        scan: its copy.

    Returns:
        a line for each file that is named and is not there.
    """
    from sofgan.scans.companions import may_lie_beside, named_in  # They load what reads scans.
    from sofgan.scans.materials import beside

    inner = inner.split("?")[0]
    above = inner.rpartition("/")[0]
    gone, copied = [], {scan}

    def find(name: str, by: str) -> tuple[str, Path] | None:
        """Pairs of paths: a file that another one names, as it is there and as it is to be here."""
        if isinstance(system, LocalFileSystem):
            there = beside(Path(by), name) or beside(Path(inner), name)
            return None if there is None else (str(there), scan.parent / _place(there, Path(above)))
        plain = name.strip().strip('"').replace("\\", "/")
        spellings = dict.fromkeys((plain, unquote(plain), plain.rpartition("/")[2]))
        for folder in dict.fromkeys((by.rpartition("/")[0], above)):
            for path in (f"{folder}/{spelling.removeprefix('./')}" for spelling in spellings):
                if ".." not in path.split("/") and system.isfile(path):
                    return path, scan.parent / _place(Path(path), Path(above))
        return None

    def copy(source: str, file: Path) -> None:
        if file not in copied:
            copied.add(file)
            file.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(source, str(file))
            copy_named(source, file)

    def copy_named(source: str, file: Path) -> None:
        for names in named_in(file):
            found = [place for name in names if (place := find(name, source))]
            for place in found[:1] if find(names[0], source) else found:
                copy(*place)
            if not found:
                gone.append(f"{names[0]}: {file.name} names it, and it is not there")

    copy_named(inner, scan)
    for name in may_lie_beside(scan.name):
        if place := find(name, inner):
            copy(*place)
    return gone


def _place(file: Path, folder: Path) -> Path:
    """A file's path from a folder, or its last part where it lies elsewhere."""
    path = Path(os.path.relpath(file, folder))
    return Path(file.name) if ".." in path.parts else path


def _without_litter(folder: Path) -> None:
    """Remove what is no part of a batch from what an archive held."""
    for path in sorted(folder.rglob("*"), reverse=True):  # What is in a folder comes before it.
        if is_litter(path.name) or (path.is_symlink() and not path.exists()):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _hold_all(root: Path, target: Path, files: int, is_new: bool) -> None:
    """Have DVC hold a batch's folder, or leave nothing of it behind.

    Raises:
        BatchError: DVC can't, or not all of it.
    """
    try:
        held = hold(root, target)
        if held != files:
            raise BatchError(
                f"DVC would hold {held} of the {files} files of {target.relative_to(root)}: .dvcignore leaves out the "
                "others; give them other names"
            )
    except BaseException:
        dvc_file(target).unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(target, ignore_errors=True)
        raise


def listing(folder: Path) -> dict[str, int]:
    """Relative paths and sizes of a folder's files, hidden ones and a system's litter left out."""
    return {file.as_posix(): (folder / file).stat().st_size for file in files_in(folder)}


def same(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files; those of unlike names or sizes, most of many, are not read."""
    names = listing(first)
    return names == listing(second) and all(
        sha256_file(first / name) == sha256_file(second / name) for name in names
    )


def keep_field(root: Path, kept: Path) -> dict[str, str]:
    """Keep the field that there is, which the next training replaces: keys of `train_sof.warm_start`."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(root / FIELD, kept)
    hold(root, kept)
    return {"field": kept.relative_to(root).as_posix(), "sha256": sha256_file(kept)}


def hold(root: Path, path: Path) -> int:
    """Have DVC keep a file or folder that no stage makes, so that `dvc push` shares it; returns how many files.

    What `dvc add` does, less the reading of all batches' stages by which it makes sure that none of them makes it.

    Raises:
        BatchError: DVC can't.
    """
    from dvc.repo import Repo  # A second, for this alone.

    where = {"fname": str(dvc_file(path)), "wdir": str(path.parent), "outs": [path.name]}
    try:
        with Repo(str(root), _wait_for_lock=True) as repo, repo.lock, repo.scm_context(quiet=True):
            stage = repo.stage.create(single_stage=True, validate=False, force=True, **where)
            stage.add_outs()
            stage.dump()
            count = stage.outs[0].meta.nfiles  # None of a file
            return 1 if count is None else count
    except Exception as error:  # DVC raises errors of all its parts.
        raise BatchError(f"dvc can't hold {path.relative_to(root)}: {error}") from error


@contextmanager
def edited_params(root: Path) -> Iterator[dict]:
    """params.yaml, comments and all, to be changed; it is written whole if the block ends well and it is valid."""
    path = root / profiles.PARAMS
    text = profiles.read(path)
    document = profiles.parse(text, path)
    yield document
    stream = io.StringIO()
    profiles.round_trip().dump(document, stream)
    if profiles.parse(stream.getvalue(), path) != profiles.parse(text, path):
        profiles.check(stream.getvalue())
        write_bytes(path, stream.getvalue().encode())


def run_add(source: str, name: str | None, warm_start: bool) -> int:
    """`add-batch`: say what was added and what comes next."""
    batch = add(Path.cwd(), source, name, warm_start)
    print(f"{batch}, {'in use' if batch.added else 'in use already'}")
    for line in batch.left_out():
        print(f"  left out: {line}")
    if not batch.added:
        return 0
    print("Next:")
    print(f"  dvc repro render_views@{batch.name}    # reads and renders its scans, no others")
    print("  dvc repro report                 # brings everything that depends on them up to date")
    print(f"  git add params.yaml {dvc_file(RAW / batch.name)}    # for other clones, and for experiments")
    return 0


def run_remove(name: str) -> int:
    """`remove-batch`: say what became of it."""
    remove(Path.cwd(), name)
    print(f"batch '{name}' is out of use. {whereabouts(Path.cwd(), name)}")
    print("What was made of them is in DVC's cache until `dvc gc`. Next: dvc repro report")
    return 0


def whereabouts(root: Path, name: str) -> str:
    """Where the scans of a batch are, and whether they are safe there."""
    folder, held_by = RAW / name, dvc_file(RAW / name)
    if not (root / held_by).is_file():
        if name in read_document(root).get("avatars", {}).get("batches", []):
            return f"Its scans in {folder} are those that make_avatars makes."
        return f"Its scans are in {folder} alone: DVC does not hold them (`dvc add {folder}`)."
    if why := why_unseen(root, held_by):
        return f"Its scans are in {folder}, but DVC does not see {held_by}: {why}, so {AT_RISK}; {MEND}."
    there = f"still in {folder}" if (root / folder).is_dir() else "not here (`dvc pull` brings them)"
    return (
        f"Its scans are {there}, held by {held_by}: `dvc push` takes them along, `dvc checkout` and `dvc gc` keep "
        f"them. To be rid of them too: `dvc remove --outs {held_by}`."
    )
