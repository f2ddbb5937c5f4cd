"""Train the SIW StyleGAN on photos and label maps that are no pairs.

On N GPUs of one machine: `runtime.train_processes: N`. They train as one does, but for rounding.
"""

from pathlib import Path

import numpy as np

from sofgan import distributed
from sofgan.errors import InputError
from sofgan.files import atomic_path, sha256_file, write_png
from sofgan.photos.store import PhotoStore
from sofgan.runtime import use_cpu, use_gpu
from sofgan.siw.condition_store import TRAINING, Conditions
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import Sources
from sofgan.siw.model import Siw, load_siw, save_siw
from sofgan.siw.photo_sources import grid_maps, open_exam, open_maps, open_photos
from sofgan.siw.running_scores import best_row
from sofgan.siw.sheets import restyle_strip, sample_grid
from sofgan.siw.train import train
from stages import paths
from stages.execution.entry import enter
from stages.execution.sessions import forget, session
from stages.execution.train_together import train_together
from stages.params import read_params, runtime, seed
from stages.tracking.run import stage_run
from stages.tracking.score_curves import write_curves

MAPS = {"parsed": paths.PARSED, "celebamask": paths.PHOTOS["celebamask"]}
HEADLINE = {"kimg": "kimg"}  # in metrics/train_siw.json: of all figures


def main() -> None:
    """Photos and maps in; models/siw.pt, the best generator on the way, samples and curves out."""
    params = read_params("train_siw")
    train_together("stages.train_siw", params.sharers)
    machine = runtime()
    use_cpu(machine.threads)
    use_gpu(machine.device, exact=False)
    with distributed.process_group(machine.device) as device, stage_run("train_siw", params) as run:
        # Each process reads by itself what it needs: nothing that large is sent from one to another.
        photos, photo_labels, photo_shares = _photos(params, machine.workers)
        used = {name: path for name, path in MAPS.items() if params.uses(name)}
        maps = {name: _maps(params, path, machine.workers) for name, path in used.items()}
        conditions = Conditions(paths.CONDITIONS)
        if params.uses("sof"):
            maps["sof"] = _sof_maps(conditions)
        grid_labels = grid_maps(list(maps.values()), params)
        inputs = {str(path): sha256_file(path) for path in (conditions.index_file, *_indexes())}
        heads = conditions.heads() if params.compares_views else None
        sources = Sources(photos, maps, photo_labels, heads, photo_shares)
        states = session("train_siw", params, run, inputs=inputs)
        exam = open_exam(_exam_sets(params), params, seed(), machine.workers)
        if exam is None and params.scores.every_kimg:
            run.text(f"too few photos of {params.photo_sets[0]} are held out: nothing is scored on the way")
        siw, rows = train(sources, grid_labels, params, seed() + params.trial, device, states, exam)
        if distributed.rank() == 0:
            siw.framing = conditions.framing
            _save(siw, rows, grid_labels, params, run)
            _save_scored(siw, states.states.kept_beside())
            forget("train_siw")


def _save(siw: Siw, rows: list[dict[str, float]], grid_labels: np.ndarray, params: TrainSiw, run):
    """Write what the stage leaves."""
    save_siw(paths.SIW, siw)
    with atomic_path(paths.SIW_PICTURES) as folder:
        folder.mkdir()
        write_png(folder / "samples.png", sample_grid(siw, grid_labels, params.sample_grid[1], seed()))
        write_png(folder / "restyle.png", restyle_strip(siw, grid_labels, seed()))
    write_curves(paths.PLOTS, "train_siw", rows)
    last = {name: value for name, value in rows[-1].items() if name != "kimg"}
    best = {f"best_{name}": value for name, value in (best_row(rows) or {}).items()}
    run.final({"kimg": rows[-1]["kimg"], **last, **best}, headline=HEADLINE)


def _save_scored(siw: Siw, kept: dict[str, Path]) -> None:
    """Write generators that were kept on the way, by their names, with the framing of the last."""
    with atomic_path(paths.SIW_SCORED) as folder:
        folder.mkdir(parents=True)
        for name, path in kept.items():
            one = load_siw(path)
            one.framing = siw.framing
            save_siw(folder / name, one)


def _photos(params: TrainSiw, workers: int):
    """Photos of all sets, their own label maps in the same order, and how likely each is drawn."""
    sets = {
        name: (PhotoStore(paths.PHOTOS[name]), PhotoStore(paths.OWN_MAPS[name])) for name in params.photo_sets
    }
    return open_photos(sets, params, workers)


def _maps(params: TrainSiw, path: Path, workers: int):
    return open_maps(PhotoStore(path), params, workers)


def _exam_sets(params: TrainSiw) -> dict[str, tuple[PhotoStore, PhotoStore]]:
    """All sets' photos and maps: first the one that is learned from."""
    own = params.photo_sets[0]
    return {
        name: (PhotoStore(paths.PHOTOS[name]), PhotoStore(paths.OWN_MAPS[name]))
        for name in (own, *(paths.PHOTOS.keys() - {own}))
    }


def _sof_maps(conditions: Conditions):
    maps = conditions.maps(TRAINING)
    if len(maps) == 0:
        raise InputError(
            f"{conditions.path} has no maps to train on, but train_siw.map_proportions gives sof a share: set "
            "sample_conditions.maps, or that share to 0"
        )
    return maps


def _indexes() -> list[Path]:
    return [path / "store.json" for path in sorted({*paths.PHOTOS.values(), *MAPS.values()})]


if __name__ == "__main__":
    enter(main)
