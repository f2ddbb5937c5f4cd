"""Views of more heads than memory holds: in files that any number of processes map, and read as steps need them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from sofgan import distributed
from sofgan.files import atomic_path, write_json, write_npz
from sofgan.sof.view_set import ViewsError, ViewSet, count_views, instance_name, read_views

BYTES_PER_PIXEL = 4  # a label, a depth as float16, and a chance to be drawn


def open_views(paths: list[Path], digests: list[str], memory_limit_gb: float, folder: Path) -> ViewSet:
    """Views of files, one instance each: in memory where all fit in, else in mapped files.

    The first process of a machine that looks for these makes them, for itself and the others.

    Args:
        digests: of the files' contents.
        memory_limit_gb: what the views may take in each process, in 1e9 bytes.
        folder: for files to be mapped; those of other views in it are removed. It is kept for a training that is
            stopped and goes on, and is to be removed by `forget_views`.

    Raises:
        ViewsError: see `read_views`.
    """
    if not paths:
        raise ViewsError("there are no view files: run render_views first")
    pixels = sum(count * size**2 for count, size in map(count_views, paths))
    if pixels * BYTES_PER_PIXEL <= memory_limit_gb * 1e9:
        return read_views(paths)
    names = json.dumps([*map(instance_name, paths), *digests])
    own = folder / hashlib.sha256(names.encode()).hexdigest()[:16]
    with distributed.first_here_first():
        if not own.is_dir():
            forget_views(folder)
            _write(own, paths)
    return _map(own)


def forget_views(folder: Path) -> None:
    """Remove mapped files, if there are any. Processes that map them go on."""
    shutil.rmtree(folder, ignore_errors=True)


def _write(own: Path, paths: list[Path]) -> None:
    with atomic_path(own) as folder:
        folder.mkdir()

        def allocate(name: str, shape: tuple[int, ...], kind: type) -> np.ndarray:
            return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape)

        views = read_views(paths, allocate)
        small = ("cam2world", "intrinsics", "instance", "held_out")
        write_npz(folder / "cameras.npz", **{name: getattr(views, name).numpy() for name in small})
        write_json(folder / "names.json", views.names)


def _map(own: Path) -> ViewSet:
    # Mapped for writing, into memory of this process alone: torch knows no tensors that can't be written.
    label_maps, depth = (
        torch.from_numpy(np.load(own / f"{name}.npy", mmap_mode="c")) for name in ("labels", "depth")
    )
    with np.load(own / "cameras.npz") as small:
        arrays = [
            torch.from_numpy(small[name]) for name in ("cam2world", "intrinsics", "instance", "held_out")
        ]
    return ViewSet(json.loads((own / "names.json").read_text()), label_maps, depth, *arrays, mapped=True)
