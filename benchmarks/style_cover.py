"""Colors that a painter's styles cover, beside those of the photos it learned from, folder by folder.

    python -m benchmarks.style_cover [--project .] [--photos 400] [--maps 40] [--styles 32] [--threads 2]

--project is a folder of a finished `dvc repro train_siw`. Of each folder of its FFHQ-like set (of all photos where it
has none) as many photos that are trained on are drawn, and of each region that takes at least 2 % of a photo the mean
color is taken, in [-1, 1]. Printed are, by folder and region, the spread of colors over photos (root of the mean
squared distance from their mean) and, for the painter, the spread over styles on one map, the root mean square over
held-out maps (`evaluate` divides it by the photos'); then how far each folder's mean color lies from that of all
folders. A painter whose spread is below every folder's covers less than any of them.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import harness
from sofgan.evaluation.restyling import region_colors, spread, style_spread
from sofgan.images import to_network_range
from sofgan.photos.store import HELD_OUT, PhotoStore
from sofgan.runtime import map_pieces
from sofgan.seeds import numpy_generator
from sofgan.siw.model import load_siw
from sofgan.siw.sheets import REGIONS
from stages import paths

SEED = 0
BATCH = 20


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, check=False)
    found.add_argument("--project", type=Path, default=Path("."), help="folder of a finished training")
    found.add_argument("--photos", type=int, default=400, help="of each folder, at most")
    found.add_argument("--maps", type=int, default=40, help="held-out maps that are painted")
    found.add_argument("--styles", type=int, default=32, help="of each map")
    return found


def by_folder(keys: list[str], chosen: np.ndarray, photos: int) -> dict[str, np.ndarray]:
    """Records by the first folder of their keys, `photos` of each at most, drawn."""
    folders: dict[str, list[int]] = {}
    for index in chosen.tolist():
        folders.setdefault(keys[index].rpartition("/")[0].partition("/")[0] or "all", []).append(index)
    return {
        name: np.sort(numpy_generator(SEED, "style cover", name).permutation(indices)[:photos])
        for name, indices in sorted(folders.items())
    }


def colors_of(store: PhotoStore, parsed: PhotoStore, indices: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Mean colors (n, 3) of regions, by region, of some photos."""

    def work(rows: np.ndarray) -> dict[str, np.ndarray]:
        images = to_network_range(np.stack([store.image(int(i), size) for i in rows]))
        labels = np.stack([parsed.labels(int(i), size) for i in rows])
        return {name: region_colors(images, labels, classes) for name, classes in REGIONS.items()}

    parts = list(map_pieces(work, np.array_split(indices, max(1, len(indices) // BATCH))))
    return {name: np.concatenate([part[name] for part in parts]) for name in REGIONS}


def main(arguments) -> None:
    at = partial(Path, arguments.project)
    siw = load_siw(at(paths.SIW), arguments.device)
    store, parsed = PhotoStore(at(paths.PHOTOS["ffhq"])), PhotoStore(at(paths.PARSED))
    held = store.splits() == HELD_OUT
    keys = store.keys()
    colors = {
        f"photos of {name} ({len(indices)})": colors_of(store, parsed, indices, siw.resolution)
        for name, indices in by_folder(keys, np.flatnonzero(~held), arguments.photos).items()
    }
    few = numpy_generator(SEED, "style cover", "maps").permutation(np.flatnonzero(held))[: arguments.maps]
    maps = np.stack([parsed.labels(int(i), siw.generator.config.label_size) for i in few])
    painted = style_spread(siw, maps, arguments.styles, SEED, BATCH)
    print(harness.head("spread of colors", *REGIONS))
    for name, found in colors.items():
        print(harness.row(name, *(f"{spread(found[region]):.3f}" for region in REGIONS)))
    name = f"styles, {len(maps)} maps x {arguments.styles}"
    print(harness.row(name, *(f"{painted[region]:.3f}" if region in painted else "-" for region in REGIONS)))
    every = {
        region: np.concatenate([found[region] for found in colors.values()]).mean(0) for region in REGIONS
    }
    print("\n" + harness.head("mean color from that of all photos", *REGIONS))
    for name, found in colors.items():
        away = (np.linalg.norm(found[region].mean(0) - every[region]) for region in REGIONS)
        print(harness.row(name, *(f"{value:.3f}" for value in away)))


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
