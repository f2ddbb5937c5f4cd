"""The layouts that photo sets come in, found by looking: what to read, under which key, with which masks.

`images` folder tree: any depth, mixed formats and sizes; FFHQ's `00000/00000.png` is such a tree.
`celebamask-official`: `CelebA-HQ-img/{i}.jpg` with one binary PNG a part,
`CelebAMask-HQ-mask-anno/{i // 2000}/{i:05d}_{part}.png`; a part that is not there is not in the photo.
`celebamask-merged`: `images/*` with `masks/*.png` whose values are ids in the canonical CelebAMask-HQ order.
"""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np

from sofgan.faces.images import PhotoError, decode_binary, decode_labels
from sofgan.labels import CELEBAMASK_NAMES, CELEBAMASK_TO_17, LabelError, remap, split_nose

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_OFFICIAL_PHOTOS, _OFFICIAL_MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"


class SourceError(ValueError):
    """A folder holds no photo set."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file of a source, whether or not it can be used.

    Attributes:
        file: the photo.
        name: its path relative to the source, for reports.
        key: unique in the source.
        masks: (canonical id, file) of each part, or ((None, file),) for a merged map; empty without masks.
        problem: why it can't be used, where the name alone tells.
    """

    file: Path
    name: str
    key: str
    masks: tuple[tuple[int | None, Path], ...] = ()
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A photo set on disk.

    Attributes:
        layout: `images`, `celebamask-official` or `celebamask-merged`.
        labelled: every photo must have a mask.
        entries: all files, in natural order of their names (2 before 10).
    """

    folder: Path
    layout: str
    labelled: bool
    entries: tuple[Entry, ...]


def find_source(folder: str | Path) -> Source:
    """Recognise a folder's layout and list what is in it, reading no file.

    Raises:
        SourceError: no such folder, no file in it, or photos without their masks folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder: put the photos there, or change the source in params.yaml")
    if (folder / _OFFICIAL_PHOTOS).is_dir():
        if not (folder / _OFFICIAL_MASKS).is_dir():
            raise SourceError(f"{folder} has {_OFFICIAL_PHOTOS} but not {_OFFICIAL_MASKS}")
        layout, entries = "celebamask-official", _official_entries(folder)
    elif (folder / "images").is_dir() and (folder / "masks").is_dir():
        layout, entries = "celebamask-merged", _merged_entries(folder)
    else:
        layout, entries = "images", _tree_entries(folder, folder)
    if not entries:
        raise SourceError(f"{folder} holds no files")
    return Source(folder, layout, layout != "images", tuple(_unique_keys(entries)))


def read_labels(entry: Entry) -> np.ndarray:
    """The 17-class map (H, W) of an entry with masks: left and right merged, the nose split.

    Raises:
        PhotoError: a mask can't be read, has strange ids, or the parts differ in size.
    """
    if not entry.masks:
        raise PhotoError("no mask")
    if entry.masks[0][0] is None:
        canonical = _read_mask(entry.masks[0][1])
    else:
        canonical = _merge_parts(entry.masks)
    try:
        return split_nose(remap(canonical, CELEBAMASK_TO_17, "mask"))
    except LabelError as error:
        raise PhotoError(str(error)) from error


def natural_key(name: str) -> list:
    """Sorts numbers within names by value."""
    return [
        (0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part
    ]


def _merge_parts(masks: tuple[tuple[int | None, Path], ...]) -> np.ndarray:
    # The data set's own rule: parts are painted in canonical order, a later one over the earlier.
    canonical = None
    for part_id, file in sorted(masks):
        part = _read_mask(file, binary=True)
        if canonical is None:
            canonical = np.zeros(part.shape, np.uint8)
        if part.shape != canonical.shape:
            raise PhotoError(f"mask {file.name} is {part.shape[::-1]}, others are {canonical.shape[::-1]}")
        canonical[part > 0] = part_id
    return canonical


def _read_mask(file: Path, binary: bool = False) -> np.ndarray:
    try:
        return (decode_binary if binary else decode_labels)(file.read_bytes())
    except (PhotoError, OSError) as error:
        raise PhotoError(f"mask {file.name}: {error}") from error


def _files(folder: Path) -> list[Path]:
    """All files below a folder, hidden ones apart, in natural order. Links are followed once."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in names if not name.startswith(".")]
        # A folder with a photo's name can't be read as one, but must not vanish from the report.
        found += [Path(place) / name for name in folders if Path(name).suffix.lower() in PHOTO_SUFFIXES]
    return sorted(found, key=lambda file: natural_key(file.relative_to(folder).as_posix()))


def _tree_entries(folder: Path, root: Path) -> list[Entry]:
    entries = []
    for file in _files(folder):
        problem = None
        if file.suffix.lower() not in PHOTO_SUFFIXES:
            problem = f"not a photo by its suffix '{file.suffix}'"
        elif file.is_dir():
            problem = "a folder with a photo's name"
        key = file.relative_to(folder).with_suffix("").as_posix()
        entries.append(Entry(file, file.relative_to(root).as_posix(), key, problem=problem))
    return entries


def _official_entries(folder: Path) -> list[Entry]:
    masks = _official_masks(folder / _OFFICIAL_MASKS)
    entries = []
    for entry in _tree_entries(folder / _OFFICIAL_PHOTOS, folder):
        if entry.problem is None:
            number = int(entry.key) if re.fullmatch(r"\d+", entry.key) else None
            parts = masks.get(number, ())
            problem = None if parts else "no mask of any part"
            if number is None:
                problem = "its name is not the photo's number"
            entry = dataclasses.replace(entry, masks=tuple(parts), problem=problem)
        entries.append(entry)
    return entries


def _official_masks(folder: Path) -> dict[int, list[tuple[int, Path]]]:
    ids = {name: number for number, name in enumerate(CELEBAMASK_NAMES)}
    masks: dict[int, list[tuple[int, Path]]] = {}
    for file in _files(folder):
        match = re.fullmatch(r"(\d+)_(\w+)\.png", file.name)
        if match and match[2] in ids and file.parent.name == str(int(match[1]) // 2000):
            masks.setdefault(int(match[1]), []).append((ids[match[2]], file))
    return masks


def _merged_entries(folder: Path) -> list[Entry]:
    entries = []
    for entry in _tree_entries(folder / "images", folder):
        if entry.problem is None:
            mask = folder / "masks" / f"{entry.key}.png"
            found = mask.is_file()
            entry = dataclasses.replace(
                entry, masks=((None, mask),) if found else (), problem=None if found else "no mask"
            )
        entries.append(entry)
    return entries


def _unique_keys(entries: list[Entry]) -> list[Entry]:
    # `a.jpg` beside `a.png`: the first keeps the short key, later ones keep their suffix in it.
    seen: set[str] = set()
    result = []
    for entry in entries:
        if entry.problem is None:
            key = entry.key
            if key in seen:
                key = f"{entry.key}{entry.file.suffix}"
            seen.add(key)
            entry = dataclasses.replace(entry, key=key)
        result.append(entry)
    return result
