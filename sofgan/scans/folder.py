"""Scans in a batch's folder, at any depth, and their names. Opens no file."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

FORMATS = (".obj", ".ply", ".glb", ".gltf", ".vrm", ".stl")
# Files that belong to scans or describe them; anything else in the folder is listed as unusable.
_COMPANIONS = (
    (".mtl", ".mlt", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff", ".webp")
    + (".gif", ".exr", ".hdr", ".dds", ".ktx2", ".psd")
    + (".bin", ".yaml", ".json", ".ljson", ".pts", ".csv", ".txt", ".md", ".html", ".pdf")
)  # fmt: skip
_PAPERS = ("license", "licence", "readme", "copying", "notice", "authors", "credits")  # without a suffix
# What systems leave in folders and archives, in small letters; hidden files come on top.
_LITTER = ("__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
# What DVC passes over wherever it lies, as .dvcignore has it: it would not be shared.
_IGNORED = ("__pycache__", "mlruns", "mlartifacts")
_IGNORED_SUFFIXES = (".pyc", ".egg-info")
_BETWEEN = "__"  # of folders and file in a scan's name, which is a file name itself
_LONGEST = 180  # bytes of the name of a scan in a folder: file systems end at 255, temporary names are longer
_KINDS = 6  # of files that are named where there are many


@dataclass(frozen=True)
class ScanFile:
    """A file that is, or looks as if it was meant to be, a scan.

    Attributes:
        path: of the file.
        file: its path from the batch's folder, by which the report lists it.
        name: of the scan, one file name: without its suffix, and with the folders that it lies in before it.
        unread: why it is left alone; "" if it is to be read.
    """

    path: Path
    file: str
    name: str
    unread: str = ""

    @property
    def format(self) -> str:
        """The file's suffix in small letters, as in `FORMATS`."""
        return self.path.suffix.lower()


def find_scans(folder: Path) -> list[ScanFile]:
    """All scans of a batch's folder and the folders in it, sorted by `file`.

    Of several with one name one is to be read: the one in the fewest folders, of these the first by its path.
    """
    first: dict[str, str] = {}
    found = []
    for file in sorted(files_in(folder), key=lambda file: (len(file.parts), str(file))):
        scan = ScanFile(folder / file, file.as_posix(), scan_name(file))
        if scan.format in _COMPANIONS or file.name.lower() in _PAPERS:
            continue
        if scan.format not in FORMATS:
            scan = replace(scan, unread=f"'{file.suffix}' is not read; formats are {', '.join(FORMATS)}")
        elif first.setdefault(scan.name, scan.file) != scan.file:
            other = first[scan.name]
            scan = replace(
                scan, unread=f"another scan of this batch has the same name, '{scan.name}': {other}"
            )
        found.append(scan)
    return sorted(found, key=lambda scan: scan.file)


def files_in(folder: Path) -> list[PurePosixPath]:
    """Paths from a folder of all files in it, at any depth, sorted; hidden ones and a system's litter left out."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_litter(name)]
        where = PurePosixPath(Path(root).relative_to(folder).as_posix())
        found += [where / name for name in files if not is_litter(name) and os.path.isfile(f"{root}/{name}")]
    return sorted(found)


def scan_name(file: PurePosixPath) -> str:
    """A scan's name by its path in the batch's folder: subject01/head.obj is `subject01__head`, head.obj `head`."""
    if len(file.parts) == 1:
        return file.stem
    name = _BETWEEN.join((*file.parts[:-1], file.stem))
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{digest}{_BETWEEN}{name.encode()[len(digest + _BETWEEN) - _LONGEST :].decode(errors='ignore')}"


def described(files: Iterable[PurePosixPath]) -> str:
    """Text with the number of files of each kind: `12 files (7 .jpg, 5 .txt)`."""
    kinds = Counter(file.suffix.lower() or "without suffix" for file in files)
    ranked = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [f"{count} {suffix}" for suffix, count in ranked[:_KINDS]]
    if others := sum(count for _, count in ranked[_KINDS:]):
        named.append(f"{others} others")
    files = f"{kinds.total()} file{'' if kinds.total() == 1 else 's'}"
    return f"{files} ({', '.join(named)})" if named else files


def none_found(folder: Path) -> str:
    """A sentence's end for a folder without scans: what is in it instead, and what scans are."""
    return f"no scan among its {described(files_in(folder))}; scans are {', '.join(FORMATS)}"


def is_litter(name: str) -> bool:
    """Whether a file or folder of that name is no part of a batch: hidden, a system's, or passed over by DVC."""
    return (
        name.startswith(".")
        or name.lower() in _LITTER
        or name in _IGNORED
        or name.endswith(_IGNORED_SUFFIXES)
    )
