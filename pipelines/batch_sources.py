"""Scans from anywhere: a folder, an archive or a file, from a path or a URL, with what they need beside them."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sofgan.errors import UserError
from sofgan.scans.folder import is_litter

ARCHIVES = tuple(suffix for _, suffixes, _ in shutil.get_unpack_formats() for suffix in suffixes)


class BatchError(UserError, ValueError):
    """A batch can't be added or removed."""


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
