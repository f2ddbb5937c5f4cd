"""Scan batches in and out: `python -m pipelines add-batch PATH` and `remove-batch NAME`.

A batch is a folder data/raw/scans/NAME, held by DVC so that `dvc push` shares it, and its name in `batches` of
params.yaml. Adding one leaves everything that was made of the others as it is.
"""

import io
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from pipelines import profiles
from pipelines.batch_outs import drop_made
from pipelines.batch_sources import BatchError, fetch, slug
from pipelines.dvc_at_work import refuse_while_at_work
from pipelines.dvc_files import AT_RISK, MEND, dvc_file, why_unseen
from pipelines.profiles import locked
from sofgan.files import sha256_file, write_bytes
from sofgan.scans.folder import files_in, find_scans, none_found
from stages import paths

SCORES = paths.FIGURES / "score_batch"
TOLD = 10  # of the files that are left out
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


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
            start of a batch that is in use already is asked for, DVC would not see by what it holds the scans, or dvc
            is at work, which would take what it makes of the others for made of this one too.
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
    kept = paths.FIELDS / f"before-{name}.pt"
    if warm_start and name in document["batches"]:
        if not goes_on_from_its_field(root, name):
            raise BatchError(f"batch '{name}' is in use already; a warm start is for the field without it")
        warm_start = False
    if warm_start and not (root / paths.SOF).is_file():
        raise BatchError(f"no field at {paths.SOF} to go on from; `dvc repro train_sof` trains one")
    target = root / paths.RAW_SCANS / name
    known = {*document["batches"], *document.get("avatars", {}).get("batches", [])}
    if not target.is_dir() and (name in known or dvc_file(target).is_file()):
        raise BatchError(
            f"there is a batch '{name}', whose scans are not here: `dvc pull`, or another --name"
        )

    if name not in document["batches"]:
        refuse_while_at_work(root, BatchError)  # And again when all have arrived, which may take hours.
    (root / paths.WORK).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / paths.WORK) as work:
        arrived = Path(work) / "scans"
        gone = fetch(source, arrived)
        batch = seen_in(arrived, name)
        batch = replace(batch, unread=(*batch.unread, *gone))
        if not batch.formats:
            raise BatchError(f"{source}: {none_found(arrived)}")
        with locked(root):
            for other in read_document(root)["batches"]:
                if other != name and same(root / paths.RAW_SCANS / other, arrived):
                    raise BatchError(f"the scans of {source} are there already: batch '{other}'")
            held_by = dvc_file(paths.RAW_SCANS / name)
            if name not in read_document(root)["batches"]:
                refuse_while_at_work(root, BatchError)
                if why := why_unseen(root, held_by):
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
        refuse_while_at_work(root, BatchError)
        with edited_params(root) as document:
            if name not in document["batches"]:
                raise BatchError(f"no batch '{name}' in use; there are: {', '.join(document['batches'])}")
            if len(document["batches"]) == 1:
                raise BatchError(f"'{name}' is the only batch; add another one first")
            document["batches"].remove(name)
        drop_made(root, name)
        for file in (root / SCORES / f"{name}.json", root / paths.ODDITIES / f"{name}.csv"):
            file.unlink(missing_ok=True)


def goes_on_from_its_field(root: Path, name: str) -> bool:
    """Whether training goes on from the field that there was before the batch was added."""
    kept = read_document(root)["train_sof"]["warm_start"]["field"]
    return kept == (paths.FIELDS / f"before-{name}.pt").as_posix()


def can_go_on(root: Path, name: str) -> bool:
    """Whether there is a field that training can go on from with the batch in it: the present one, or the one that is
    kept from before the batch was added."""
    return (root / paths.SOF).is_file() or goes_on_from_its_field(root, name)


def read_document(root: Path) -> dict:
    """params.yaml as it is now."""
    return profiles.parse(profiles.read(root / profiles.PARAMS), profiles.PARAMS)


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
    shutil.copyfile(root / paths.SOF, kept)
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
    print(
        f"  git add params.yaml {dvc_file(paths.RAW_SCANS / batch.name)}    # for other clones, and for experiments"
    )
    return 0


def run_remove(name: str) -> int:
    """`remove-batch`: say what became of it."""
    remove(Path.cwd(), name)
    print(f"batch '{name}' is out of use. {whereabouts(Path.cwd(), name)}")
    print("What was made of them is in DVC's cache until `dvc gc`. Next: dvc repro report")
    return 0


def whereabouts(root: Path, name: str) -> str:
    """Where the scans of a batch are, and whether they are safe there."""
    folder, held_by = paths.RAW_SCANS / name, dvc_file(paths.RAW_SCANS / name)
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
