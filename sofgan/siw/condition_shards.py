"""Conditions of many heads, judged and rendered in shards that any process can work off, each with a field of its own.

What is drawn is drawn in one place, so the heads are the same wherever they are rendered.
"""

from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from sofgan.files import write_npz
from sofgan.pieces import Pieces
from sofgan.runtime import map_pieces
from sofgan.siw.condition_store import EVALUATION, TRAINING, shards, whole_shard, write_index, write_shard
from sofgan.siw.condition_views import JUDGED, HeadSampling, HeadViews, PortraitViews, draw_view, plan_views
from sofgan.siw.portrait_poses import Poses
from sofgan.sof.plausibility import Reference, judge_codes
from sofgan.sof.sof import SofFile

JUDGED_TOGETHER = 64  # heads in a piece of judging
PLAN = "plan.npz"  # in the folder: the chosen heads and how they are seen
_POSE = ("cam2world", "intrinsics", "shoulders")  # arrays of `Poses`
FEWEST_SPREAD = 128  # to be judged: fewer are judged here, sooner than other processes could begin


def write_conditions(
    field: SofFile,
    how: HeadSampling,
    views: PortraitViews,
    counts: dict[str, int],
    seed: int,
    work: Pieces,
) -> None:
    """Sample heads and write their views into a folder, a store of `sofgan.siw.condition_store`.

    What a call that was stopped has left there, of the same arguments, is gone on with: the heads that it had chosen,
    and shards that are whole.

    Args:
        counts: views by set, `TRAINING` and `EVALUATION`.
        work: its folder becomes the store. A file of each shard that tells that it is whole lies in it too, and the
            chosen heads.
    """
    folder, progress = work.folder, work.progress
    sof, total = field.load(), sum(counts.values())
    workers = work.mapper or partial(map_pieces, device=sof.device)

    def judge(codes: Tensor) -> tuple[np.ndarray, np.ndarray]:
        progress.text(f"judging {len(codes)} heads")
        if len(codes) < FEWEST_SPREAD:
            return judge_codes(sof, how.reference, codes, JUDGED)
        task = partial(_judge, field=field, reference=how.reference)
        parts = [part.cpu().numpy() for part in codes.split(JUDGED_TOGETHER)]
        scores, p_values = zip(*workers(task, parts))
        return np.concatenate(scores), np.concatenate(p_values)

    planned = read_plan(folder)
    if planned is None:
        planned = plan_views(sof, how, views, counts, seed, judge)
        write_plan(folder, planned)
    pieces = [
        (name, number, of_set.rows(rows))
        for name, of_set in planned.items()
        for number, rows in enumerate(shards(len(of_set)))
    ]
    whole = {(name, number): whole_shard(folder, name, number) for name, number, _ in pieces}
    left = [piece for piece in pieces if whole[piece[:2]] is None]
    done = total - sum(len(piece) for *_, piece in left)
    task = partial(_render, field=field, size=views.size, folder=folder)
    for (name, number, piece), entry in zip(left, workers(task, left)):
        whole[name, number] = entry
        done += len(piece)
        progress.items(done, total, "views")
    sets = {name: [] for name in (TRAINING, EVALUATION)}
    for (name, _), entry in whole.items():
        sets[name].append(entry)
    write_index(folder, views.framing, views.size, sets, views.config.views_per_head)


def write_plan(folder: Path, planned: dict[str, HeadViews]) -> None:
    """Keep which views are to be rendered, by set."""
    arrays = {}
    for name, views in planned.items():
        arrays[f"{name}_codes"] = views.codes
        arrays |= {f"{name}_{key}": getattr(views.poses, key) for key in _POSE}
    write_npz(folder / PLAN, **arrays)


def read_plan(folder: Path) -> dict[str, HeadViews] | None:
    """What `write_plan` kept; None where it did not, or not whole."""
    try:
        with np.load(folder / PLAN) as arrays:
            names = [key.removesuffix("_codes") for key in arrays.files if key.endswith("_codes")]
            return {
                name: HeadViews(arrays[f"{name}_codes"], Poses(*(arrays[f"{name}_{key}"] for key in _POSE)))
                for name in names
            }
    except (OSError, ValueError, BadZipFile):
        return None


def _judge(codes: np.ndarray, field: SofFile, reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    sof = field.load()
    return judge_codes(sof, reference, torch.from_numpy(codes).to(sof.device), JUDGED)


def _render(piece: tuple[str, int, HeadViews], field: SofFile, size: int, folder: Path) -> dict:
    """A shard, written; what the index says of it."""
    (name, number, views), sof = piece, field.load()
    labels = np.empty((len(views), size, size), np.uint8)
    depth = np.empty((len(views), size, size), np.float16)
    for row, code in enumerate(views.codes):
        camera = views.poses.camera(row, size)
        labels[row], depth[row] = draw_view(sof, code, camera, views.poses.shoulders[row])
    return write_shard(folder, name, number, labels, depth, views.poses, views.codes)
