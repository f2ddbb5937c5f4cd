"""Train one of the paper's competitors on the photos that `train_siw` learns from, and score it as `evaluate` scores
ours: by the label maps of held-out photos of the first set of `train_siw.photo_sets`."""

import argparse
from functools import partial

from sofgan.baselines.config import METHODS, Baseline
from sofgan.baselines.painter import load_painter, save_painter
from sofgan.baselines.training import train_baseline
from sofgan.evaluation.painters import HeldOutScores
from sofgan.evaluation.shards import Judges
from sofgan.evaluation.sides import sides
from sofgan.files import atomic_path, sha256_file, write_png
from sofgan.photos.store import PhotoStore
from sofgan.runtime import map_pieces, use_cpu, use_gpu
from sofgan.scores.inception import check_inception
from sofgan.siw.data import Sources
from sofgan.siw.photo_sources import grid_maps, open_exam, open_photos
from sofgan.siw.sheets import sample_grid
from stages import paths
from stages.execution.entry import enter
from stages.execution.sessions import forget, session
from stages.params import read_params, runtime, seed
from stages.tracking.run import StageRun, stage_run
from stages.tracking.score_curves import write_curves

STAGE = "train_baseline"
DISTANCES = ("fid", "fd_lite0", "fd_lite2", "fd_parser")  # the first that is measured is what DVC shows


def main() -> None:
    """Photos, their label maps and the parser in; a model, a sample grid, a curve and scores out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True, choices=METHODS)
    method = parser.parse_args().method
    baseline = Baseline(method, read_params("train_siw"), read_params(STAGE))
    inception = read_params("evaluate").inception_weights
    machine = runtime()
    use_cpu(machine.threads)
    use_gpu(machine.device, exact=False)
    if inception:
        check_inception(inception)  # now, not after hours of training
    with stage_run(STAGE, baseline, item=method) as run:
        ours = baseline.ours
        stores = {name: (paths.PHOTOS[name], paths.OWN_MAPS[name]) for name in ours.photo_sets}
        sets = {name: tuple(PhotoStore(path) for path in two) for name, two in stores.items()}
        photos, labels, shares = open_photos(sets, ours, machine.workers)
        grid = grid_maps([labels], ours)
        indexes = sorted({path / "store.json" for two in stores.values() for path in two})
        inputs = {str(path): sha256_file(path) for path in indexes}
        states = session(STAGE, baseline, run, part=method, inputs=inputs)
        sources = Sources(photos, {}, labels, photo_shares=shares)
        exam = open_exam(sets, ours, seed(), machine.workers)
        painter, rows = train_baseline(
            baseline, sources, grid, seed() + ours.trial, machine.device, states, exam
        )
        save_painter(paths.BASELINES / f"{method}.pt", painter)
        with atomic_path(paths.BASELINE_PICTURES / method) as folder:
            folder.mkdir(parents=True)
            write_png(folder / "samples.png", sample_grid(painter, grid, ours.sample_grid[1], seed()))
        write_curves(paths.PLOTS, f"{STAGE}_{method}", rows)
        figures = rows[-1] | scores(method, ours.photo_sets[0], run)
        run.final(figures, headline=headline(method, figures))
        forget(f"{STAGE}/{method}")


def scores(method: str, own: str, run: StageRun) -> dict[str, float]:
    """Distances and control of a trained method by the held-out photos of a set, by the settings of `evaluate`."""
    params, machine, model = read_params("evaluate"), runtime(), paths.BASELINES / f"{method}.pt"
    files = [path for path in (model, paths.PHOTO_PARSER, params.inception_weights) if path]
    judges = Judges(
        model, paths.PHOTO_PARSER, tuple(map(sha256_file, files)), tuple(params.extractors),
        params.inception_weights, params.batch, machine.device, machine.workers, load_painter,
    )  # fmt: skip
    judges.load()  # once, before the threads that share them
    store, parsed = PhotoStore(paths.PHOTOS[own]), PhotoStore(paths.OWN_MAPS[own])
    chosen = sides(store, params.images, seed(), own)
    scored = HeldOutScores(own, store, parsed, chosen, params.kid_subset, params.frequent_share, seed(), {})
    return scored.score(judges, partial(map_pieces, device=machine.device), run)


def headline(method: str, figures: dict[str, float]) -> dict[str, str]:
    """Names of figures by the name that DVC shows, which tells the method."""
    distance = next(name for name in DISTANCES if name in figures)
    return {f"{method}_control": "control_miou", f"{method}_{distance}": distance}


if __name__ == "__main__":
    enter(main)
