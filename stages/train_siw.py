"""Train the SIW StyleGAN on photos and label maps that are no pairs.

On N GPUs of one machine: `runtime.train_processes: N`. They train as one does, but for rounding.
"""

from pathlib import Path

import numpy as np

from sofgan import distributed
from sofgan.errors import InputError
from sofgan.files import atomic_path, sha256_file, write_png
from sofgan.labels import resize
from sofgan.photos.store import HELD_OUT, PhotoStore
from sofgan.runtime import use_cpu, use_gpu
from sofgan.siw.condition_store import TRAINING, Conditions
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import Sources, open_source, shares_of
from sofgan.siw.model import Siw, save_siw
from sofgan.siw.sheets import restyle_strip, sample_grid
from sofgan.siw.train import train
from sofgan.training import write_curve
from stages import paths
from stages.execution.entry import enter
from stages.execution.sessions import forget, session
from stages.execution.train_together import train_together
from stages.params import read_params, runtime, seed
from stages.tracking.run import stage_run

MAPS = {"parsed": paths.PARSED, "celebamask": paths.PHOTOS["celebamask"]}
MAPS_OF = {"ffhq": "parsed", "celebamask": "celebamask"}  # a set of photos: its own maps
MEASURED = 64  # photos whose size is looked at
HEADLINE = {"kimg": "kimg"}  # in metrics/train_siw.json: of all figures


def main() -> None:
    """Photos and maps in; models/siw.pt, samples and curves out."""
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
        grid_labels = _grid_labels(maps, params)
        inputs = {str(path): sha256_file(path) for path in (conditions.index_file, *_indexes())}
        heads = conditions.heads() if params.compares_views else None
        sources = Sources(photos, maps, photo_labels, heads, photo_shares)
        states = session("train_siw", params, run, inputs=inputs)
        siw, rows = train(sources, grid_labels, params, seed() + params.trial, device, states)
        if distributed.rank() == 0:
            siw.framing = conditions.framing
            _save(siw, rows, grid_labels, params, run)
            forget("train_siw")


def _save(siw: Siw, rows: list[dict[str, float]], grid_labels: np.ndarray, params: TrainSiw, run):
    """Write what the stage leaves."""
    save_siw(paths.SIW, siw)
    with atomic_path(paths.SIW_PICTURES) as folder:
        folder.mkdir()
        write_png(folder / "samples.png", sample_grid(siw, grid_labels, params.sample_grid[1], seed()))
        write_png(folder / "restyle.png", restyle_strip(siw, grid_labels, seed()))
    write_curve(paths.PLOTS / "train_siw.csv", rows)
    last = {name: value for name, value in rows[-1].items() if name != "kimg"}
    run.final({"kimg": rows[-1]["kimg"], **last}, headline=HEADLINE)


def _photos(params: TrainSiw, workers: int):
    """Photos of all sets, their own label maps in the same order, and how likely each is drawn."""
    stores = {name: PhotoStore(paths.PHOTOS[name]) for name in params.photo_sets}
    labels = {name: PhotoStore(MAPS[MAPS_OF[name]]) for name in params.photo_sets}
    places = [
        (name, i)
        for name, store in stores.items()
        for i in np.flatnonzero(store.splits() != HELD_OUT).tolist()
    ]
    # Sets differ in size, and so do folders of one: the largest counts, as far as twice the picture.
    spread = np.unique(np.linspace(0, len(places) - 1, MEASURED).astype(int)) if places else []
    native = max(
        (min(stores[name].image(i).shape[:2]) for name, i in (places[at] for at in spread)), default=0
    )
    size = min(2 * params.generator.resolution, max(native, params.generator.resolution))

    def read(index: int) -> np.ndarray:
        name, place = places[index]
        return stores[name].image(place, size)

    def read_labels(index: int) -> np.ndarray:
        name, place = places[index]
        return labels[name].labels(place, params.map_size)

    sources = (
        open_source(len(places), reader, workers, params.memory_limit_gb) for reader in (read, read_labels)
    )
    keys = {name: store.keys() for name, store in stores.items()} if params.photo_proportions else {}
    folders = (
        [keys[name][place].rpartition("/")[0].partition("/")[0] for name, place in places] if keys else []
    )
    return *sources, shares_of(folders, params.photo_proportions)


def _maps(params: TrainSiw, path: Path, workers: int):
    store = PhotoStore(path)
    places = np.flatnonzero(store.splits() != HELD_OUT).tolist()
    return open_source(
        len(places), lambda i: store.labels(places[i], params.map_size), workers, params.memory_limit_gb
    )


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


def _grid_labels(maps: dict, params: TrainSiw) -> np.ndarray:
    """Maps of the sample grid: of each source in turn, from the first again where it has too few."""
    sources, rows = list(maps.values()), []
    for index in range(params.sample_grid[0]):
        source = sources[index % len(sources)]
        row = source.fetch(np.array([index // len(sources) % len(source)]))
        rows.append(resize(row, params.map_size)[0])
    return np.stack(rows)


if __name__ == "__main__":
    enter(main)
