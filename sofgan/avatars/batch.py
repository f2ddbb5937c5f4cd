"""A batch of avatars on disk."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from sofgan.avatars.export import write_glb, write_obj
from sofgan.avatars.model import AvatarModel
from sofgan.files import write_json
from sofgan.parallel import Mapper, map_in_processes
from sofgan.progress import SILENT, Progress
from sofgan.seeds import numpy_generator


def make_batch(
    folder: str | os.PathLike,
    batch: str,
    count: int,
    seed: int,
    workers: int | Mapper = 1,
    progress: Progress = SILENT,
) -> dict[str, dict]:
    """Write `count` raw scans into `folder`, every other one as GLB or OBJ, and `avatars.json` beside them.

    A scan depends on the seed, the batch's name and its own name alone. Returns the parameters by scan name, as
    written to `avatars.json`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    task = functools.partial(_make_scan, folder=folder, batch=batch, seed=seed)
    parameters = {}
    for name, drawn in map_in_processes(task, range(count), workers):
        parameters[name] = drawn
        progress.items(len(parameters), count, "avatars")
    write_json(folder / "avatars.json", parameters)
    return parameters


def _make_scan(index: int, folder: Path, batch: str, seed: int) -> tuple[str, dict]:
    name = f"avatar_{index:04d}"
    avatar = _model().build(name, numpy_generator(seed, batch, name))
    if index % 2 == 0:
        write_glb(avatar, folder / f"{name}.glb")
    else:
        write_obj(avatar, folder, name)
    return name, {**avatar.parameters, "format": "glb" if index % 2 == 0 else "obj"}


@functools.cache
def _model() -> AvatarModel:
    return AvatarModel.load()


def batch_figures(parameters: dict[str, dict]) -> dict[str, float]:
    """Shares of a batch's scans that have each kind of part."""
    count = len(parameters)
    figures: dict[str, float] = {"scans": float(count)}
    for key in ("hair", "hat", "glasses", "earrings", "necklace", "expression"):
        for drawn in parameters.values():
            name = f"{key}/{drawn.get(key, 'none')}".replace(" ", "_")
            figures[name] = figures.get(name, 0.0) + 1 / count
    return dict(sorted(figures.items()))
