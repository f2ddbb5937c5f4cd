"""Sets of label views in memory or in mapped files, and the files that they are read from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sofgan import labels
from sofgan.cameras import Camera
from sofgan.errors import UserError
from sofgan.seeds import derive_seed

Allocate = Callable[[str, tuple[int, ...], type], np.ndarray]  # name, shape, kind of numbers
LARGEST_HELD_OUT_SHARE = 0.2  # of the instances: who has few scans has none to spare


class ViewsError(UserError, ValueError):
    """A view file can't be used."""


@dataclass(frozen=True)
class ViewSet:
    """Label views of several instances. A view's picture, pose and instance share one index.

    Where they are `mapped`, labels and depth lie in files, and are in memory as far as they are looked at
    (`sofgan.sof.mapped_views`).
    """

    names: list[str]  # of the S instances, "batch/scan"
    labels: Tensor  # (T, H, W) uint8, VOID where a surface's class is unknown
    depth: Tensor  # (T, H, W) float16 camera z, 0 = nothing
    cam2world: Tensor  # (T, 4, 4) float32
    intrinsics: Tensor  # (S, 3, 3) float32, in image widths
    instance: Tensor  # (T,) int64
    held_out: Tensor  # (T,) bool
    mapped: bool = False

    @property
    def size(self) -> int:
        """Pixels along a side."""
        return self.labels.shape[-1]

    def camera(self, view: int) -> Camera:
        """The camera of one view."""
        return Camera(self.cam2world[view], self.intrinsics[int(self.instance[view])], self.size)

    def subset(self, views: Tensor) -> "ViewSet":
        """The views of those indices, instances kept as they are."""
        return ViewSet(
            self.names,
            self.labels[views],
            self.depth[views],
            self.cam2world[views],
            self.intrinsics,
            self.instance[views],
            self.held_out[views],
        )

    def of_instances(self, instances: list[int]) -> "ViewSet":
        """The views of those instances, which are then numbered in that order."""
        number = torch.full((len(self.names),), -1, device=self.instance.device)
        number[instances] = torch.arange(len(instances), device=number.device)
        chosen = self.subset(torch.nonzero(number[self.instance] >= 0)[:, 0])
        return replace(
            chosen,
            names=[self.names[i] for i in instances],
            intrinsics=self.intrinsics[instances],
            instance=number[chosen.instance],
        )

    def to(self, device: str | torch.device) -> "ViewSet":
        """The same on another device."""
        values = (self.labels, self.depth, self.cam2world, self.intrinsics, self.instance, self.held_out)
        return ViewSet(self.names, *(value.to(device) for value in values))


def view_files(root: str | Path, batches: list[str]) -> list[Path]:
    """The view files `root/<batch>/<scan>.npz` of some batches, sorted within each."""
    return [path for batch in batches for path in sorted(Path(root, batch).glob("*.npz"))]


def instance_name(path: Path) -> str:
    """The name "batch/scan" of the instance whose views a file holds."""
    return f"{path.parent.name}/{path.stem}"


def split_instances(files: list[Path], count: int, seed: int) -> tuple[list[Path], list[Path]]:
    """View files to train on and `count` to hold out, both in the order given; at most a fifth are held out.

    Those are held out whose names have the lowest hashes with the seed. So where files are added, and the count stays,
    some of them may be held out in place of others; who was trained on before still is.
    """
    count = min(count, int(LARGEST_HELD_OUT_SHARE * len(files)))
    ranked = sorted(files, key=lambda path: derive_seed(seed, "held-out instance", instance_name(path)))
    held_out = set(ranked[:count])
    return [f for f in files if f not in held_out], [f for f in files if f in held_out]


VIEW_ARRAYS = ("labels", "depth", "cam2world", "intrinsics", "split")  # of a view file


def count_views(path: Path) -> tuple[int, int]:
    """Number of views in a file, and their pixels along a side.

    Raises:
        ViewsError: something is missing in it, or its label maps are not square.
    """
    with np.load(path) as file:
        if missing := set(VIEW_ARRAYS) - set(file):
            raise ViewsError(f"{path}: no {', '.join(sorted(missing))}")
        count, *shape = _shape(file, "labels")
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ViewsError(f"{path}: label maps of {shape} pixels; all must be square and of one size")
        return count, shape[0]


def _shape(file, name: str) -> tuple[int, ...]:
    """The shape of one of an archive's arrays, of which no more than its header is read."""
    with file.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        return read(member)[0]


def read_views(
    paths: list[Path], allocate: Allocate = lambda name, shape, kind: np.empty(shape, kind)
) -> ViewSet:
    """Read view files, one instance each, in the order given.

    Args:
        allocate: makes the arrays of all label maps and depths; by default in memory.

    Raises:
        ViewsError: there are none, or one holds other shapes, ids or sizes than the first; it is named.
    """
    if not paths:
        raise ViewsError("there are no view files: run render_views first")
    counts, sizes = zip(*(count_views(path) for path in paths))
    total, size = sum(counts), sizes[0]
    label_maps = allocate("labels", (total, size, size), np.uint8)
    depth = allocate("depth", (total, size, size), np.float16)
    poses, intrinsics = np.empty((total, 4, 4), np.float32), np.empty((len(paths), 3, 3), np.float32)
    held_out, first = np.empty(total, bool), 0
    for index, (path, count) in enumerate(zip(paths, counts)):
        rows = slice(first, first := first + count)
        with np.load(path) as file:
            if sizes[index] != size:
                shape = [sizes[index]] * 2
                raise ViewsError(f"{path}: label maps of {shape} pixels; all must be square and of one size")
            shapes = {"depth": (count, size, size), "cam2world": (count, 4, 4), "split": (count,)}
            if any(_shape(file, name) != shape for name, shape in shapes.items()):
                raise ViewsError(f"{path}: labels, depth, cam2world and split disagree in shape")
            label_maps[rows] = file["labels"]
            labels.check_ids(label_maps[rows], str(path), void=True)
            depth[rows] = file["depth"]
            poses[rows] = file["cam2world"]
            held_out[rows] = file["split"] != 0
            intrinsics[index] = file["intrinsics"]
    instance = np.repeat(np.arange(len(paths)), counts)
    arrays = map(torch.from_numpy, (label_maps, depth, poses, intrinsics, instance, held_out))
    return ViewSet([instance_name(path) for path in paths], *arrays)
