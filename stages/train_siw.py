"""Train the SIW StyleGAN on photos and label maps that are no pairs.

On N GPUs of one machine: `runtime.train_processes: N`. They train as one does, but for rounding.
"""

import shutil
from pathlib import Path

import numpy as np
import torch

from sofgan import distributed
from sofgan.cpu import use_cpu
from sofgan.curves import write_curve
from sofgan.faces.store import HELD_OUT, PhotoStore
from sofgan.files import atomic_path, sha256_file, write_json, write_png
from sofgan.labels import colorize
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import ArraySource, open_source
from sofgan.siw.model import Siw, save_siw
from sofgan.siw.samples import restyle_strip, sample_grid, tile
from sofgan.siw.sof_maps import portrait_framing, render_sof_maps, training_reference
from sofgan.siw.train import train
from sofgan.sof.model import load_sof
from stages.entry import enter
from stages.params import read_params, runtime, seed
from stages.together import train_together
from stages.tracking import StageRun, stage_run

PHOTOS = {"ffhq": Path("data/photos/ffhq"), "celebamask": Path("data/photos/celebamask")}
MAPS = {"parsed": Path("data/labels/ffhq"), "celebamask": Path("data/photos/celebamask")}
MAPS_OF = {"ffhq": "parsed", "celebamask": "celebamask"}  # a set of photos: its own maps
SOF = Path("models/sof_inverted.pt")
STATE = Path(".work/train_siw")
HEADLINE = {"kimg": "kimg"}  # in metrics/train_siw.json: of all figures
SHEET_MAPS = 48  # SOF maps on the contact sheet


def main() -> None:
    """Photos, maps and the SOF space in; models/siw.pt, samples and curves out."""
    params = read_params("train_siw")
    train_together("stages.train_siw", params.sharers)
    machine = runtime()
    use_cpu(machine.threads)
    with distributed.process_group(machine.device) as device, stage_run("train_siw", params) as run:
        photos, photo_labels = _photos(params, machine.workers)
        maps = {name: _maps(params, path, machine.workers) for name, path in MAPS.items()}
        # The first process draws the space's views for all.
        framing, drawn = distributed.from_first(
            _sof_views(params, maps, device, run) if distributed.rank() == 0 else None
        )
        maps["sof"] = ArraySource(drawn)
        grid_labels = _grid_labels(maps, params)
        inputs = {str(path): sha256_file(path) for path in (SOF, *_indexes())}
        siw, rows = train(
            params,
            photos,
            maps,
            grid_labels,
            seed(),
            device,
            STATE,
            inputs,
            run.report,
            run.status,
            photo_labels,
        )
        if distributed.rank() == 0:
            siw.framing = framing
            _save(siw, rows, grid_labels, drawn, params, run)
            # A finished state would otherwise stand in for a training by changed code.
            shutil.rmtree(STATE, ignore_errors=True)


def _sof_views(params: TrainSiw, maps: dict, device: torch.device, run: StageRun):
    """Cameras that frame the space's heads as the photos are, and views of some of them."""
    sof = load_sof(SOF, device)
    run.status("heads to judge new ones by")
    reference = training_reference(sof)
    photo_maps = next(iter(maps.values()))
    photo_maps = photo_maps.fetch(np.arange(min(params.framing.reference_maps, len(photo_maps))))
    framing = portrait_framing(sof, reference, photo_maps, params.framing.reference_heads, seed())
    drawn = render_sof_maps(
        sof, reference, framing, params.framing, params.sof_maps, _map_size(params), seed(),
        lambda done: run.status(f"SOF views {done}/{params.sof_maps}"),
    )  # fmt: skip
    return framing, drawn


def _save(
    siw: Siw, rows: list[dict[str, float]], grid_labels: np.ndarray, drawn: np.ndarray, params: TrainSiw, run
):
    """Write what the stage leaves."""
    save_siw("models/siw.pt", siw)
    with atomic_path("data/siw") as folder:
        folder.mkdir()
        write_png(folder / "samples.png", sample_grid(siw, grid_labels, params.sample_grid[1], seed()))
        write_png(folder / "restyle.png", restyle_strip(siw, grid_labels, seed()))
        write_png(folder / "sof_maps.png", tile(colorize(drawn[:SHEET_MAPS]), 12))
        write_json(folder / "framing.json", siw.framing.to_mapping())
    write_curve("plots/train_siw.csv", rows)
    last = {name: value for name, value in rows[-1].items() if name != "kimg"}
    run.final(
        {"kimg": rows[-1]["kimg"], **last, "sof_fov_degrees": siw.framing.fov_degrees}, headline=HEADLINE
    )


def _map_size(params: TrainSiw) -> int:
    # Twice the picture's at least, so that enlarged crops of maps stay sharp.
    return max(params.generator.label_size, 2 * params.generator.resolution)


def _photos(params: TrainSiw, workers: int):
    """Photos of all sets, and their own label maps in the same order."""
    stores = {name: PhotoStore(PHOTOS[name]) for name in params.photo_sets}
    labels = {name: PhotoStore(MAPS[MAPS_OF[name]]) for name in params.photo_sets}
    places = [
        (name, i)
        for name, store in stores.items()
        for i in np.flatnonzero(store.splits() != HELD_OUT).tolist()
    ]
    native = min(stores[places[0][0]].image(places[0][1]).shape[:2])
    size = min(2 * params.generator.resolution, max(native, params.generator.resolution))

    def read(index: int) -> np.ndarray:
        name, place = places[index]
        return stores[name].image(place, size)

    def read_labels(index: int) -> np.ndarray:
        name, place = places[index]
        return labels[name].labels(place, _map_size(params))

    return tuple(
        open_source(len(places), reader, workers, params.memory_limit_gb) for reader in (read, read_labels)
    )


def _maps(params: TrainSiw, path: Path, workers: int):
    store = PhotoStore(path)
    places = np.flatnonzero(store.splits() != HELD_OUT).tolist()
    return open_source(
        len(places), lambda i: store.labels(places[i], _map_size(params)), workers, params.memory_limit_gb
    )


def _indexes() -> list[Path]:
    return [path / "store.json" for path in sorted({*PHOTOS.values(), *MAPS.values()})]


def _grid_labels(maps: dict, params: TrainSiw) -> np.ndarray:
    """Maps of the sample grid: of each source in turn."""
    used = [source for name, source in maps.items() if params.map_proportions.get(name, 0) > 0]
    rows = [used[i % len(used)].fetch(np.array([i // len(used)]))[0] for i in range(params.sample_grid[0])]
    return np.stack(rows)


if __name__ == "__main__":
    enter(main)
