"""Pictures of a trained generator on maps and heads that it was not trained on, from what `dvc repro train_siw` made.

    python -m docs.pictures.showcase [--project .] [--model models/siw.pt] [--pictures docs/images] [--psi 0.7]
                                     [--restyle-seed 0]

Writes, all truncated by psi:

    siw_masks.png      rows label maps of held-out photos with masks, columns styles
    siw_heads.png      the same for sampled heads of the field
    siw_restyle.png    a region's style swapped: skin, hair, cloth, background, everything
    siw_turntable.png  one head from five sides in three styles
    siw_orbits.png     six heads, each in one style, from 40 degrees on one side to 40 on the other
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks import harness
from sofgan.evaluation.turntable import turntable_labels, turntable_rows
from sofgan.files import write_png
from sofgan.images import sheet
from sofgan.photos.store import HELD_OUT, PhotoStore
from sofgan.seeds import torch_generator
from sofgan.siw.condition_store import EVALUATION, Conditions
from sofgan.siw.condition_views import HeadSampling, sample_heads
from sofgan.siw.model import load_siw, to_uint8
from sofgan.siw.sheets import restyle_strip, sample_grid
from sofgan.sof.sof import load_sof
from stages import paths
from stages.params import read_params

SEED = 0
GRID = (6, 10)  # maps and styles
TURNTABLE_DEGREES = (-30, -15, 0, 15, 30)
TURNTABLE_STYLES = 3
ORBIT_DEGREES = tuple(range(-40, 41, 10))
ORBITS = 6


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, check=False)
    found.add_argument(
        "--project", type=Path, default=Path("."), help="folder of a finished `dvc repro train_siw`"
    )
    found.add_argument("--model", type=Path, help="generator; default: the project's models/siw.pt")
    found.add_argument(
        "--pictures", type=Path, default=Path("docs/images"), help="folder, made where it is missing"
    )
    found.add_argument(
        "--psi", type=float, default=0.7, help="towards the average style: 1 not at all, 0 fully"
    )
    found.add_argument(
        "--restyle-seed",
        type=int,
        default=SEED,
        help="of the two styles of siw_restyle.png: not any two differ much",
    )
    return found


def main(arguments) -> None:
    root, device, folder, psi = arguments.project, arguments.device, arguments.pictures, arguments.psi
    siw = load_siw(arguments.model or root / paths.SIW, device)
    sof = load_sof(root / paths.SOF_INVERTED, device)
    size = siw.generator.config.label_size
    store = PhotoStore(root / paths.PHOTOS["celebamask"])
    held_out = np.flatnonzero(store.splits() == HELD_OUT)[: GRID[0]]
    masks = np.stack([store.labels(int(index), size) for index in held_out])
    heads = Conditions(root / paths.CONDITIONS).maps(EVALUATION).fetch(np.arange(GRID[0]))
    folder.mkdir(parents=True, exist_ok=True)
    write_png(folder / "siw_masks.png", sample_grid(siw, masks, GRID[1], SEED, psi))
    write_png(folder / "siw_heads.png", sample_grid(siw, heads, GRID[1], SEED, psi))
    write_png(folder / "siw_restyle.png", restyle_strip(siw, masks, arguments.restyle_seed, psi))

    sampling = read_params("sample_conditions", root / "params.yaml").sampling.sampling()
    codes = sample_heads(sof, HeadSampling(sampling), ORBITS, torch_generator(SEED, "showcase", "heads"))
    z = siw.sample_z(TURNTABLE_STYLES + ORBITS, torch_generator(SEED, "showcase", "styles"))
    w = siw.map_styles(z, psi)
    sides = turntable_labels(sof, codes[0], siw.framing, np.radians(TURNTABLE_DEGREES), size)
    write_png(folder / "siw_turntable.png", turntable_rows(siw, sides, w[:TURNTABLE_STYLES]))
    rows = []
    for code, style in zip(codes, w[TURNTABLE_STYLES:]):
        views = turntable_labels(sof, code, siw.framing, np.radians(ORBIT_DEGREES), size)
        rows.append(to_uint8(siw.paint(views, style[None])))
    write_png(folder / "siw_orbits.png", sheet(np.concatenate(rows), len(ORBIT_DEGREES)))


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
