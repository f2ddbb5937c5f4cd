"""The layouts that photo sets come in, found by looking: what to read, under which key, with which masks.

`images` folder tree: any depth, mixed formats and sizes.
`ffhq` as released: `images1024x1024/00000/00000.png` or flat; else `thumbnails128x128`; to be aligned,
`in-the-wild-images` with the landmarks of `ffhq-dataset-v2.json`.
`celebamask-official`: `CelebA-HQ-img/{i}.jpg` with one binary PNG a part,
`CelebAMask-HQ-mask-anno/{i // 2000}/{i:05d}_{part}.png`; a part that is not there is not in the photo.
`celebamask-merged`: `images/*` with `masks/*.png` whose values are ids in the canonical CelebAMask-HQ order.
What lies among masks and belongs to no photo is an entry with its problem, so that the report names it.
"""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from sofgan.errors import UserError
from sofgan.labels import CELEBAMASK_NAMES, CELEBAMASK_TO_17, LabelError, remap, split_nose
from sofgan.photos.decoding import PhotoError, decode_binary, decode_ids
from sofgan.photos.folder import (
    PHOTO_SUFFIXES,
    Listed,
    is_folder,
    list_tree,
    natural_key,
    read_regular,
    readable,
)
from sofgan.photos.people import PEOPLE_FILES, read_people

_OFFICIAL_PHOTOS, _OFFICIAL_MASKS, _PHOTOS_A_GROUP = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", 2000
_FFHQ_PHOTOS, _FFHQ_THUMBNAILS, _FFHQ_WILD = "images1024x1024", "thumbnails128x128", "in-the-wild-images"
_FFHQ_FOLDERS = (_FFHQ_PHOTOS, _FFHQ_THUMBNAILS, _FFHQ_WILD)
FFHQ_LANDMARKS = "ffhq-dataset-v2.json"
_NO_PHOTO, _PHOTO_LEFT_OUT = "a mask without its photo", "a mask whose photo is left out"
_AUXILIARY_SUFFIXES = {".txt", ".md", ".json", ".csv", ".zip", ".tfrecords", ".py", ".html"}


class SourceError(UserError, ValueError):
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
        folder: where the layout begins: the given folder, or the only one in it.
        layout: `images`, `ffhq`, `celebamask-official` or `celebamask-merged`.
        labelled: every photo must have a mask.
        entries: all files, in natural order of their names (2 before 10).
        landmarks: FFHQ's metadata file, where the entries are its photos in the wild.
        void_ids: ids of merged masks that count as background.
        people: who is on a photo, by its key, where the source tells.
    """

    folder: Path
    layout: str
    labelled: bool
    entries: tuple[Entry, ...]
    landmarks: Path | None = None
    void_ids: tuple[int, ...] = ()
    people: dict[str, str] = dataclasses.field(default_factory=dict)


def find_source(folder: str | Path, in_the_wild: bool = False, void_ids: tuple[int, ...] = ()) -> Source:
    """Recognise a folder's layout and list what is in it, reading no file.

    Args:
        in_the_wild: of FFHQ take the photos that are not aligned, where they are there.
        void_ids: ids of merged masks that count as background.

    Raises:
        SourceError: no such folder, no file in it, photos without their masks folder, or only photos in the wild
            where aligned ones are wanted.
        PeopleError: a file that tells who is on the photos can't be read.
    """
    folder = given = Path(folder)
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder: put the photos there, or change the source in params.yaml")
    try:
        folder = _inner(folder)
        layout, landmarks = _known_layout(folder) or "images", None
        if layout == "celebamask-official":
            if not _within(folder, _OFFICIAL_MASKS).is_dir():
                raise SourceError(f"{folder} has {_OFFICIAL_PHOTOS} but not {_OFFICIAL_MASKS}")
            entries = _official_entries(folder)
        elif layout == "celebamask-merged":
            entries = _merged_entries(folder)
        elif layout == "ffhq":
            entries, landmarks = _ffhq_entries(folder, in_the_wild)
        else:
            entries = _tree_entries(folder, folder)
    except OSError as error:
        raise SourceError(f"{folder} can't be listed: {error}") from error
    if not entries:
        raise SourceError(f"{folder} holds no files")
    labelled = layout.startswith("celebamask")
    telling = {folder / name for name in PEOPLE_FILES}  # are no photos, and no strays
    entries = _unique_keys([entry for entry in entries if entry.file not in telling])
    people = read_people((folder, given), [(entry.key, entry.name) for entry in entries if not entry.problem])
    return Source(folder, layout, labelled, tuple(entries), landmarks, tuple(void_ids), people)


def read_labels(entry: Entry, void_ids: tuple[int, ...] = ()) -> np.ndarray:
    """The 17-class map (H, W) of an entry with masks: left and right merged, the nose split.

    Args:
        void_ids: ids of a merged mask that count as background.

    Raises:
        PhotoError: a mask can't be read, has strange ids, or the parts differ in size.
    """
    if not entry.masks:
        raise PhotoError("no mask")
    if entry.masks[0][0] is None:
        canonical = _read_mask(entry.masks[0][1], decode_ids)
        canonical[np.isin(canonical, void_ids)] = 0
    else:
        canonical = _merge_parts(entry.masks)
    try:
        return split_nose(remap(canonical, CELEBAMASK_TO_17, "mask"))
    except LabelError as error:
        # Of a photo that was left out for it the report says so.
        raise PhotoError(f"{error}; ids that mark no part can be listed as void_ids of the set") from error


def _merge_parts(masks: tuple[tuple[int | None, Path], ...]) -> np.ndarray:
    # The data set's own rule: parts are painted in canonical order, a later one over the earlier.
    canonical = None
    for part_id, file in sorted(masks):
        part = _read_mask(file, decode_binary)
        if canonical is None:
            canonical = np.zeros(part.shape, np.uint8)
        if part.shape != canonical.shape:
            raise PhotoError(f"mask {file.name} is {part.shape[::-1]}, others are {canonical.shape[::-1]}")
        canonical[part > 0] = part_id
    return canonical


def _read_mask(file: Path, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        return decode(read_regular(file))
    except OSError as error:
        raise PhotoError(f"mask {file.name}: can't be read: {error.strerror or error}") from error
    except PhotoError as error:
        raise PhotoError(f"mask {file.name}: {error}") from error


def _inner(folder: Path) -> Path:
    """The folder that holds a known layout: this one, or the only one in it, as archives unpack."""
    if _known_layout(folder):
        return folder
    with os.scandir(folder) as items:
        visible = [item for item in items if not item.name.startswith(".")]
    folders = [Path(item.path) for item in visible if is_folder(item)]
    photos = [item for item in visible if Path(item.name).suffix.lower() in PHOTO_SUFFIXES]
    return folders[0] if len(folders) == 1 and not photos and _known_layout(folders[0]) else folder


def _known_layout(folder: Path) -> str | None:
    if _within(folder, _OFFICIAL_PHOTOS).is_dir():
        return "celebamask-official"
    if any(_within(folder, name).is_dir() for name in _FFHQ_FOLDERS) or folder.name.lower() in _FFHQ_FOLDERS:
        return "ffhq"
    if _within(folder, "images").is_dir() and _within(folder, "masks").is_dir():
        return "celebamask-merged"
    return None


def _within(folder: Path, name: str) -> Path:
    """A folder of a layout, whatever the case of its name: else masks in `Masks` would be taken for photos."""
    if (folder / name).is_dir():
        return folder / name
    with os.scandir(folder) as items:
        alike = sorted(item.name for item in items if item.name.lower() == name.lower() and is_folder(item))
    return folder / (alike[0] if alike else name)


def _tree_entries(folder: Path, root: Path) -> list[Entry]:
    prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    return [
        Entry(item.path, prefix + item.name, _without_suffix(item.name), problem=item.problem)
        for item in list_tree(folder)
    ]


def _without_suffix(name: str) -> str:
    return name[: len(name) - len(PurePosixPath(name).suffix)]


def _ffhq_entries(folder: Path, in_the_wild: bool) -> tuple[list[Entry], Path | None]:
    order = [_FFHQ_WILD] * in_the_wild + [_FFHQ_PHOTOS, _FFHQ_THUMBNAILS]
    within = folder.name.lower() in _FFHQ_FOLDERS  # One of them was given, rather than what holds them.
    for name in [folder.name.lower()] if within else order:
        place = folder if within else _within(folder, name)
        if name == _FFHQ_WILD and not in_the_wild or not place.is_dir():
            continue
        entries = _tree_entries(place, folder)
        entries = [entry for entry in entries if not (entry.problem and _is_auxiliary(entry.name))]
        if entries:
            landmarks = place.parent / FFHQ_LANDMARKS
            return entries, landmarks if name == _FFHQ_WILD and landmarks.is_file() else None
    if not in_the_wild and (folder.name.lower() == _FFHQ_WILD or _within(folder, _FFHQ_WILD).is_dir()):
        raise SourceError(f"{folder} holds photos in the wild only, which are not aligned: set align: ffhq")
    return [], None


def _is_auxiliary(name: str) -> bool:
    # What FFHQ's download puts beside photos; anything else that is no photo is told of.
    path = PurePosixPath(name.lower())
    return path.stem in ("license", "readme") or path.suffix in _AUXILIARY_SUFFIXES


def _official_entries(folder: Path) -> list[Entry]:
    masks, strays = _official_masks(_within(folder, _OFFICIAL_MASKS), folder)
    entries = []
    for entry in _tree_entries(_within(folder, _OFFICIAL_PHOTOS), folder):
        if entry.problem is None:
            number = int(entry.key) if re.fullmatch(r"\d+", entry.key) else None
            parts = masks.get(number, ())
            problem = None if parts else "no mask of any part"
            if number is None:
                problem = "its name is not the photo's number"
            entry = dataclasses.replace(entry, masks=tuple(parts), problem=problem)
        entries.append(entry)
    good = {int(entry.key) for entry in entries if entry.masks and entry.problem is None}
    bad = {int(entry.key) for entry in entries if entry.problem and re.fullmatch(r"\d+", entry.key)} - good
    for number, parts in masks.items():
        if number not in good:
            problem = _PHOTO_LEFT_OUT if number in bad else _NO_PHOTO
            strays += [_stray(file, folder, problem) for _, file in parts]
    return entries + sorted(strays, key=lambda entry: natural_key(entry.name))


def _official_masks(folder: Path, root: Path) -> tuple[dict[int, list[tuple[int, Path]]], list[Entry]]:
    """Ids and files of parts by photo number, and what lies there that is no part of any photo."""
    # Four hundred thousand files: names are looked at as they come, and each photo's parts sorted when merged.
    ids = {name: number for number, name in enumerate(CELEBAMASK_NAMES) if number}
    masks: dict[int, list[tuple[int, Path]]] = {}
    strays: list[Entry] = []
    places = []
    with os.scandir(folder) as items:
        for item in items:
            if item.name.isdecimal() and is_folder(item):
                places.append(item.path)
            elif is_folder(item):
                strays += _strays_below(Path(item.path), root, "not in a folder of 2000 photos' masks")
            elif not item.name.startswith(".") and not _is_auxiliary(item.name):
                strays.append(_stray(Path(item.path), root, "not in a folder of 2000 photos' masks"))
    for place in places:
        group = int(os.path.basename(place))
        with os.scandir(place) as items:
            for item in items:
                name = item.name
                match = re.fullmatch(r"(\d+)_(\w+)(\.\w+)", name)
                known = match and match[2] in ids and match[3].lower() in PHOTO_SUFFIXES
                if known and int(match[1]) // _PHOTOS_A_GROUP == group:
                    masks.setdefault(int(match[1]), []).append((ids[match[2]], Path(place, name)))
                elif is_folder(item):
                    strays += _strays_below(Path(place, name), root, "not in a folder of 2000 photos' masks")
                elif not name.startswith(".") and not _is_auxiliary(name):
                    strays.append(_stray(Path(place, name), root, _no_part(match, ids)))
    return masks, strays


def _no_part(match: re.Match | None, ids: dict[str, int]) -> str:
    """Why a file among masks of parts is none."""
    if match is None or match[3].lower() not in PHOTO_SUFFIXES:
        return "no mask by its name, which would be NUMBER_PART.png"
    if match[2] not in ids:
        return f"no mask of a known part: '{match[2]}' is none of CelebAMask-HQ's"
    return f"a mask in the wrong folder: it belongs in {int(match[1]) // _PHOTOS_A_GROUP}"


def _strays_below(folder: Path, root: Path, problem: str) -> list[Entry]:
    return [
        _stray(item.path, root, problem) for item in list_tree(folder) if not _is_auxiliary(item.path.name)
    ]


def _stray(file: Path, root: Path, problem: str) -> Entry:
    name = readable(file.relative_to(root).as_posix())
    return Entry(file, name, _without_suffix(name), problem=problem)


def _merged_entries(folder: Path) -> list[Entry]:
    masks: dict[str, list[Listed]] = {}
    strays = []
    for item in list_tree(_within(folder, "masks")):
        if item.problem is None:
            masks.setdefault(_without_suffix(item.name), []).append(item)
        elif not _is_auxiliary(item.name):
            strays.append(_stray(item.path, folder, item.problem))
    entries, used = [], set()
    for entry in _tree_entries(_within(folder, "images"), folder):
        if entry.problem is None:
            found = masks.get(entry.key, [])
            # PNG before what another tool wrote beside it; of both spellings of a suffix the same one each time.
            mask = min(found, key=lambda item: (item.path.suffix.lower() != ".png", item.name), default=None)
            used |= {mask.name} if mask else set()
            entry = dataclasses.replace(
                entry, masks=((None, mask.path),) if mask else (), problem=None if mask else "no mask"
            )
        entries.append(entry)
    good = {entry.key for entry in entries if entry.problem is None}
    bad = {entry.key for entry in entries} - good
    for key, found in masks.items():
        problem = _PHOTO_LEFT_OUT if key in bad else _NO_PHOTO
        if key in good:
            problem = "a mask beside another of the same photo, which is read"
        strays += [_stray(item.path, folder, problem) for item in found if item.name not in used]
    return entries + sorted(strays, key=lambda entry: natural_key(entry.name))


def _unique_keys(entries: list[Entry]) -> list[Entry]:
    # `a.jpg` beside `a.png`: the first keeps the short key, later ones keep their suffix in it.
    seen: set[str] = set()
    result = []
    for entry in entries:
        if entry.problem is None:
            key, number = entry.key, 1
            while key in seen:
                suffix = readable(entry.file.suffix)
                key = f"{entry.key}{suffix}" if number == 1 else f"{entry.key}{suffix}~{number}"
                number += 1
            seen.add(key)
            entry = dataclasses.replace(entry, key=key)
        result.append(entry)
    return result
