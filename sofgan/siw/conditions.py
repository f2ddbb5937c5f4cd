"""The store of conditions: label maps of sampled heads with their depth, cameras and codes, in shards.

A folder with `conditions.json`, which lists the shards of each set and has the framing, and two files a shard: the
label maps as they are, of which one is read by its place in the file, and what training does not look at, compressed.
Any number of processes read it, and none holds more of it than the maps that it asked for.
"""

import bisect
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sofgan.errors import UserError
from sofgan.files import atomic_path, read_json, sha256_file, write_json, write_npz
from sofgan.images import sheet
from sofgan.labels import colorize
from sofgan.siw.portrait_camera import Framing

TRAINING, EVALUATION = "training", "evaluation"  # sets of maps; they show different heads
SHARD_VIEWS = 64  # views in a shard: at 256 pixels 4 MiB of labels and at most 8 MiB of depth
SHARD_FILES = ("npy", "npz")  # endings: label maps, and what training does not look at
_INDEX, _FORMAT = "conditions.json", "sofgan-conditions-2"


class ConditionsError(UserError, ValueError):
    """A folder holds no conditions, or damaged ones."""


def shards(count: int) -> list[range]:
    """Views that each shard of a set of that many holds."""
    return [range(first, min(first + SHARD_VIEWS, count)) for first in range(0, count, SHARD_VIEWS)]


def write_shard(
    folder: Path,
    name: str,
    number: int,
    labels: np.ndarray,
    depth: np.ndarray,
    cam2world: np.ndarray,
    intrinsics: np.ndarray,
    codes: np.ndarray,
) -> dict:
    """Write one shard of a set; any process may.

    Args:
        folder: of the conditions.
        name: of the set.
        labels: (N, S, S) uint8.
        depth: (N, S, S) camera depth, 0 where nothing is hit; kept as float16.
        cam2world: (N, 4, 4).
        intrinsics: (N, 3, 3), in image widths.
        codes: (N, Z) of the heads.

    Returns:
        The shard's entry for `write_index`.
    """
    stem = _stem(name, number)
    with atomic_path(folder / f"{stem}.npy") as path:
        np.save(path, np.ascontiguousarray(labels, np.uint8))
    write_npz(
        folder / f"{stem}.npz",
        depth=depth.astype(np.float16),
        cam2world=cam2world.astype(np.float32),
        intrinsics=intrinsics.astype(np.float32),
        codes=codes.astype(np.float32),
    )
    # The index tells two stores apart, so it knows what is in the files.
    entry = {"file": stem, "views": len(labels), "sha256": _digests(folder, stem)}
    write_json(folder / f"{stem}.json", entry)
    return entry


def whole_shard(folder: Path, name: str, number: int) -> dict | None:
    """The entry for `write_index` of a shard that an earlier run has written; None where it is not whole."""
    stem = _stem(name, number)
    try:
        entry = read_json(folder / f"{stem}.json")
        return entry if entry["sha256"] == _digests(folder, stem) else None
    except (OSError, ValueError):
        return None


def _stem(name: str, number: int) -> str:
    return f"{name}-{number:05d}"


def _digests(folder: Path, stem: str) -> list[str]:
    return [sha256_file(folder / f"{stem}.{kind}") for kind in SHARD_FILES]


def write_index(folder: Path, framing: Framing, size: int, sets: dict[str, list[dict]]) -> None:
    """Write the index, when all shards are there.

    Args:
        size: of the maps, pixels.
        sets: by name, what `write_shard` returned for each shard, in their order.
    """
    index = {"format": _FORMAT, "size_px": size, "framing": framing.to_mapping(), "sets": sets}
    write_json(folder / _INDEX, index)


def copy_store(source: Path, target: Path) -> None:
    """Copy a store, without what else lies beside it, into a folder that is there; by links where that is possible."""
    entries = [entry for entries in read_json(source / _INDEX)["sets"].values() for entry in entries]
    for name in [f"{entry['file']}.{kind}" for entry in entries for kind in SHARD_FILES] + [_INDEX]:
        try:
            os.link(source / name, target / name)
        except OSError:  # Of another disk, or none that has links.
            shutil.copyfile(source / name, target / name)


class Conditions:
    """Reads a store.

    Attributes:
        framing: under which heads have eyes and mouth where photos have them.
        size: pixels of the maps.

    Raises:
        ConditionsError: there is none, or a shard is missing or truncated.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / _INDEX).is_file():
            raise ConditionsError(
                f"{self.path} holds no conditions: it has no {_INDEX}; the stage sample_conditions makes it"
            )
        index = read_json(self.path / _INDEX)
        if index.get("format") != _FORMAT:
            raise ConditionsError(f"{self.path}: unknown format {index.get('format')!r}")
        self.framing, self.size = Framing(**index["framing"]), index["size_px"]
        self._sets = index["sets"]

    @property
    def index_file(self) -> Path:
        """The file that two stores differ in if they differ at all."""
        return self.path / _INDEX

    def maps(self, name: str) -> "ConditionMaps":
        """The label maps of a set."""
        return ConditionMaps(self.path, self.size, self._sets[name])

    def geometry(self, name: str, shard: int) -> dict[str, np.ndarray]:
        """Arrays that a shard keeps beside its label maps: depth (N, S, S) float16, 0 where nothing is hit, cam2world
        (N, 4, 4), intrinsics (N, 3, 3) and codes (N, Z) float32."""
        file = self.path / f"{self._sets[name][shard]['file']}.npz"
        with np.load(file) as arrays:
            return {key: arrays[key] for key in ("depth", "cam2world", "intrinsics", "codes")}


class ConditionMaps:
    """Label maps of a set, each read when it is asked for: a source for `sofgan.siw.data`.

    No file stays open, so it may be sent to other processes, and the number of shards has no limit.
    """

    def __init__(self, path: Path, size: int, entries: Sequence[dict]) -> None:
        self.size, self._starts, self._files = size, [0], []
        for entry in entries:
            file = path / f"{entry['file']}.npy"
            content = entry["views"] * size * size
            if not file.is_file():
                raise ConditionsError(f"{file} is missing")
            header = file.stat().st_size - content
            # What numpy writes before the array fills up a multiple of 64 bytes.
            if header <= 0 or header % 64:
                raise ConditionsError(f"{file} has {content + header} bytes: truncated?")
            self._files.append((file, header))
            self._starts.append(self._starts[-1] + entry["views"])

    def __len__(self) -> int:
        return self._starts[-1]

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """The maps of these numbers, (B, S, S) uint8."""
        maps = np.empty((len(indices), self.size, self.size), np.uint8)
        for row, index in enumerate(np.asarray(indices).tolist()):
            if not 0 <= index < len(self):
                raise IndexError(f"map {index} of {len(self)}")
            shard = bisect.bisect_right(self._starts, index) - 1
            path, header = self._files[shard]
            with open(path, "rb", buffering=0) as file:
                file.seek(header + (index - self._starts[shard]) * self.size**2)
                if file.readinto(maps[row].data) != self.size**2:
                    raise ConditionsError(f"{path} is truncated")
        return maps


def contact_sheet(maps: ConditionMaps, count: int, columns: int) -> np.ndarray:
    """The first maps of a set, at most `count`, in rows of `columns`, in colours: (H, W, 3) uint8; what is left is
    black."""
    return sheet(colorize(maps.fetch(np.arange(min(count, len(maps))))), columns)
