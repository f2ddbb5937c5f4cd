"""The store of conditions: label maps of sampled heads with their depth, cameras and codes, in shards.

A folder with `conditions.json`, which lists the shards of each set and has the framing, and three files a shard: label
maps and depth as they are, of which one is read by its place in the file, and cameras and codes. Any number of
processes read it, and none holds more of it than the views that it asked for.
"""

import bisect
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sofgan.errors import UserError
from sofgan.files import atomic_path, read_json, sha256_file, write_json, write_npz
from sofgan.images import sheet
from sofgan.labels import colorize
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.portrait_poses import Poses

TRAINING, EVALUATION = "training", "evaluation"  # sets of maps; they show different heads
SHARD_VIEWS = 64  # views in a shard: at 256 pixels 4 MiB of labels and 8 MiB of depth
_LABELS, _DEPTH, _SEEN = "npy", "depth.npy", "npz"  # endings: label maps, depth, and cameras and codes
SHARD_FILES = (_LABELS, _DEPTH, _SEEN)
_INDEX, _FORMAT = "conditions.json", "sofgan-conditions-3"


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
    poses: Poses,
    codes: np.ndarray,
) -> dict:
    """Write one shard of a set; any process may.

    Args:
        folder: of the conditions.
        name: of the set.
        labels: (N, S, S) uint8.
        depth: (N, S, S) camera depth, 0 where nothing is hit; kept as float16.
        poses: (N) of them; shoulders are in the labels and not kept.
        codes: (N, Z) of the heads.

    Returns:
        The shard's entry for `write_index`.
    """
    stem = _stem(name, number)
    for kind, views in ((_LABELS, labels.astype(np.uint8)), (_DEPTH, depth.astype(np.float16))):
        with atomic_path(folder / f"{stem}.{kind}") as path, open(path, "wb") as file:
            np.save(file, np.ascontiguousarray(views))
    write_npz(
        folder / f"{stem}.{_SEEN}",
        cam2world=poses.cam2world.astype(np.float32),
        intrinsics=poses.intrinsics.astype(np.float32),
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


def write_index(
    folder: Path, framing: Framing, size: int, sets: dict[str, list[dict]], views_per_head: int = 1
) -> None:
    """Write the index, when all shards are there.

    Args:
        size: of the maps, pixels.
        sets: by name, what `write_shard` returned for each shard, in their order.
        views_per_head: of the set to train on, one after another.
    """
    index = {"format": _FORMAT, "size_px": size, "framing": framing.to_mapping(), "sets": sets}
    index["views_per_head"] = views_per_head
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
        views_per_head: of the set to train on, one after another.

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
        self.views_per_head = index["views_per_head"]
        self._sets = index["sets"]

    @property
    def index_file(self) -> Path:
        """The file that two stores differ in if they differ at all."""
        return self.path / _INDEX

    def maps(self, name: str) -> "ConditionMaps":
        """The label maps of a set."""
        return ConditionMaps(self.path, self.size, self._sets[name])

    def geometry(self, name: str, shard: int) -> dict[str, np.ndarray]:
        """Arrays of a shard beside its label maps: depth (N, S, S) float16, 0 where nothing is hit, cam2world
        (N, 4, 4), intrinsics (N, 3, 3) and codes (N, Z) float32."""
        stem = self._sets[name][shard]["file"]
        seen = self.seen(name, shard, "cam2world", "intrinsics", "codes")
        return seen | {"depth": np.load(self.path / f"{stem}.{_DEPTH}")}

    def seen(self, name: str, shard: int, *keys: str) -> dict[str, np.ndarray]:
        """Some of a shard's small arrays, as of `geometry`: cam2world, intrinsics, codes."""
        with np.load(self.path / f"{self._sets[name][shard]['file']}.{_SEEN}") as arrays:
            return {key: arrays[key] for key in keys}

    def heads(self) -> "ConditionHeads":
        """The heads to train on, with all views of each."""
        return ConditionHeads(self)


class _Views:
    """Pictures of a set, each read when it is asked for.

    No file stays open, so it may be sent to other processes, and the number of shards has no limit.

    Args:
        kind: ending of the files.
    """

    def __init__(self, path: Path, size: int, entries: Sequence[dict], kind: str, dtype: type) -> None:
        self.size, self._dtype, self._starts, self._files = size, np.dtype(dtype), [0], []
        for entry in entries:
            file = path / f"{entry['file']}.{kind}"
            content = entry["views"] * size * size * self._dtype.itemsize
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
        """The pictures of these numbers, (B, S, S)."""
        maps = np.empty((len(indices), self.size, self.size), self._dtype)
        content = maps[:1].nbytes
        for row, index in enumerate(np.asarray(indices).tolist()):
            if not 0 <= index < len(self):
                raise IndexError(f"map {index} of {len(self)}")
            shard = bisect.bisect_right(self._starts, index) - 1
            path, header = self._files[shard]
            with open(path, "rb", buffering=0) as file:
                file.seek(header + (index - self._starts[shard]) * content)
                if file.readinto(maps[row].data) != content:
                    raise ConditionsError(f"{path} is truncated")
        return maps


class ConditionMaps(_Views):
    """Label maps of a set: a source for `sofgan.siw.data`."""

    def __init__(self, path: Path, size: int, entries: Sequence[dict]) -> None:
        super().__init__(path, size, entries, _LABELS, np.uint8)


@dataclass(frozen=True)
class HeadPairs:
    """Two views of each of P heads; arrays, or tensors of the same types.

    Attributes:
        labels: (P, 2, L, L) uint8.
        depth: (P, 2, S, S) float16 camera depth, 0 where nothing is hit.
        cam2world: (P, 2, 4, 4) float32.
        intrinsics: (P, 2, 3, 3) float32, in image widths.
    """

    labels: np.ndarray
    depth: np.ndarray
    cam2world: np.ndarray
    intrinsics: np.ndarray

    def each(self, change: Callable) -> "HeadPairs":
        """The same with what a function makes of each array."""
        return HeadPairs(
            change(self.labels), change(self.depth), change(self.cam2world), change(self.intrinsics)
        )


class ConditionHeads:
    """Heads to train on, of each of which there are several views: labels and depth read when they are asked for.

    Raises:
        ConditionsError: heads have one view only, or there are none.
    """

    def __init__(self, conditions: Conditions) -> None:
        entries = conditions._sets[TRAINING]
        self.views_per_head, self.size = conditions.views_per_head, conditions.size
        self._labels = conditions.maps(TRAINING)
        self._depth = _Views(conditions.path, conditions.size, entries, _DEPTH, np.float16)
        if self.views_per_head < 2 or not len(self):
            raise ConditionsError(
                f"{conditions.path} has {len(self)} heads of {self.views_per_head} views each to train on, but "
                "train_siw.consistency_every has two views of a head compared: set "
                "sample_conditions.framing.views_per_head to 2 and have as many maps made, or consistency_every to 0"
            )
        # Cameras alone: depth of all views is gigabytes.
        seen = [conditions.seen(TRAINING, shard, "cam2world", "intrinsics") for shard in range(len(entries))]
        self._cam2world = np.concatenate([one["cam2world"] for one in seen])
        self._intrinsics = np.concatenate([one["intrinsics"] for one in seen])

    def __len__(self) -> int:
        """Heads that have all of their views."""
        return len(self._labels) // self.views_per_head

    def draw(self, count: int, rng: np.random.Generator, mine: slice = slice(None)) -> HeadPairs:
        """Two different views of each of so many random heads.

        Args:
            mine: which of them are read; the draws are those of all.
        """
        heads = rng.integers(len(self), size=count)
        views = np.argsort(rng.random((count, self.views_per_head)), axis=1)[:, :2]
        rows = (heads[:, None] * self.views_per_head + views)[mine]
        flat = rows.ravel()
        pairs = HeadPairs(
            self._labels.fetch(flat), self._depth.fetch(flat), self._cam2world[flat], self._intrinsics[flat]
        )
        return pairs.each(lambda values: values.reshape(*rows.shape, *values.shape[1:]))


def contact_sheet(maps: ConditionMaps, count: int, columns: int) -> np.ndarray:
    """The first maps of a set, at most `count`, in rows of `columns`, in colours: (H, W, 3) uint8; what is left is
    black."""
    return sheet(colorize(maps.fetch(np.arange(min(count, len(maps))))), columns)
