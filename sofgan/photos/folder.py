"""Listing of a folder tree in a fixed order, with a reason for each thing that can't be a photo by its name.

Real folders hold more than photos: links in circles, folders that may not be entered, pipes that would block who
opens them, names in no known encoding. None of it may stop an import or vanish from its report.
"""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MAX_FILE_BYTES = 1 << 30
_UNREAD = {".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".gif", ".svg", ".psd", ".exr", ".eps", ".pdf"}
_RAW = {".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"}
_VIDEO = {".mp4", ".mov", ".avi", ".mkv", ".webm"}


class Listed(NamedTuple):
    """One thing in a tree: `name` relative to it, readable whatever its encoding, and why it is no photo."""

    path: Path
    name: str
    problem: str | None


def list_tree(folder: str | Path) -> list[Listed]:
    """All files below a folder in natural order (2 before 10), hidden ones apart; opens none of them.

    Links to folders are followed, unless they lead back to a folder that they are in.
    """
    found = []
    waiting: list[tuple[str, str, frozenset]] = [(str(folder), "", frozenset())]
    while waiting:
        place, relative, above = waiting.pop()
        try:
            status = os.stat(place)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                found.append((place, relative, "a link back to a folder that it is in"))
                continue
            with os.scandir(place) as items:
                children = [(item.path, item.name, is_folder(item)) for item in items]
        except OSError as error:
            found.append((place, relative, f"folder can't be read: {error.strerror or error}"))
            continue
        for path, name, folder_here in children:
            if name.startswith("."):
                continue
            below = f"{relative}/{name}" if relative else name
            if folder_here:
                waiting.append((path, below, above | {identity}))
                if Path(name).suffix.lower() in PHOTO_SUFFIXES:
                    found.append((path, below, "a folder with a photo's name"))
            else:
                found.append((path, below, _suffix_problem(name)))
    listed = [Listed(Path(path), readable(name), problem) for path, name, problem in found]
    return sorted(listed, key=lambda item: natural_key(item.name))


def read_regular(file: str | Path) -> bytes:
    """A file's bytes, of a plain file only: opening a pipe would wait for ever.

    Raises:
        OSError: it isn't there, may not be read, or is no plain file; `strerror` says which.
    """
    try:
        status = os.stat(file)
    except FileNotFoundError as error:
        if os.path.islink(file):
            raise OSError(error.errno, "a link to nothing") from error
        raise
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a plain file")
    if status.st_size > MAX_FILE_BYTES:
        raise OSError(0, f"{status.st_size / 2**30:.1f} GiB are too many for a photo")
    with open(file, "rb") as stream:
        return stream.read()


def readable(name: str) -> str:
    """A file name as text that can be stored and printed: bytes that are no UTF-8 are written out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def natural_key(name: str) -> list:
    """Sorts numbers within names by value."""
    return [
        (0, int(part), part) if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]


def _suffix_problem(name: str) -> str | None:
    suffix = readable(Path(name).suffix).lower()
    if suffix in PHOTO_SUFFIXES:
        return None
    if suffix in _UNREAD:
        return f"{suffix[1:].upper()} is not read: convert it to JPG or PNG"
    if suffix in _RAW:
        return "a camera's raw file: export it as JPG or PNG"
    if suffix in _VIDEO:
        return "a video"
    return f"not a photo by its suffix '{suffix}'"


def is_folder(item: os.DirEntry) -> bool:
    """Whether it is a folder or leads to one; False where that can't be told."""
    try:
        return item.is_dir()
    except OSError:  # A link in a circle, for one. Reading it tells what is wrong.
        return False
