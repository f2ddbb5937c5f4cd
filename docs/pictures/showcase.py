"""The generator at 128 pixels on real photos, trained as long as it takes and stopped as often as needed.

    python -m docs.pictures.showcase --photos FOLDER [FOLDER ...] --masks FOLDER --parser models/parsers/photos.pt
        --field .work/benchmarks/field-300.pt [--threads 2] [--pictures docs/images]
        [--images 2000]

Trains the showcase profile's train_siw on the photos, from maps as the parser sees them, the masks' and views of the
field's sampled heads. A training that was cut off goes on from its last state. Then, by pictures that the averaged
generator paints from masks which were not trained on and from heads that were not, it prints what
`benchmarks.siw_convergence` does, and writes into --pictures:

    siw_masks.png      rows masks, columns styles (truncated by psi 0.7, as are all pictures; figures are of psi 1)
    siw_heads.png      the same for the field's heads
    siw_restyle.png    a region's style swapped: skin, hair, cloth, background, everything
    siw_turntable.png  one head from five sides in three styles
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.inputs.judges import GRID, SEED, Judges, line
from benchmarks.inputs.portraits import load_portraits, portrait_arguments
from sofgan.config import to_mapping
from sofgan.evaluation.turntable import turntable_labels, turntable_rows
from sofgan.files import atomic_path, sha256_file, write_png
from sofgan.seeds import torch_generator
from sofgan.session import Checkpoints, Session
from sofgan.siw.condition_views import (
    HeadSampling,
    PortraitViews,
    portrait_framing,
    render_sof_maps,
    sample_heads,
    training_reference,
)
from sofgan.siw.config import SampleConditions
from sofgan.siw.data import ArraySource, Sources
from sofgan.siw.model import save_siw
from sofgan.siw.sheets import restyle_strip, sample_grid
from sofgan.siw.train import train
from sofgan.sof.sof import Sof, load_sof
from sofgan.training import write_curve

REFERENCE_MAPS = 400
TURNTABLE_DEGREES = (-30, -15, 0, 15, 30)
TURNTABLE_STYLES = 3
PSI = 0.7  # of styles in pictures: towards the average one, as the authors show theirs (reference spec, section 6)


def sof_views(sof: Sof, field: Path, config: SampleConditions, labels: np.ndarray):
    """How heads are sampled, framing, and views to train on and to show, made once."""
    how = HeadSampling(config.sampling.sampling(), training_reference(sof))
    heads = config.framing.reference_heads
    framing = portrait_framing(sof, how, labels[:REFERENCE_MAPS], heads, SEED)
    size = config.size_px
    file = (
        harness.CACHE
        / f"showcase-heads-{sha256_file(field)[:12]}-{config.maps}-{size}-{framing.distance:.4f}.npz"
    )
    if not file.is_file():
        views = {
            purpose: render_sof_maps(
                sof, how, PortraitViews(framing, config.framing, size), count, SEED, harness.Line("heads"), purpose
            )
            for purpose, count in (("training", config.maps), ("showcase", GRID[0]))
        }  # fmt: skip
        with atomic_path(file) as work, open(work, "wb") as out:
            np.savez_compressed(out, **views)
    with np.load(file) as views:
        return how, framing, views["training"], views["showcase"]


def parser() -> argparse.ArgumentParser:
    found = portrait_arguments(__doc__, check=False)
    found.add_argument("--field", type=Path, required=True)
    found.add_argument("--pictures", type=Path, default=harness.CACHE / "siw-showcase")
    return found


def main(arguments) -> None:
    config, conditions = (harness.block(name, "showcase") for name in ("train_siw", "sample_conditions"))
    device, kept = arguments.device, harness.CACHE
    resolution = config.generator.resolution
    data = load_portraits([*arguments.photos, arguments.masks], arguments.parser, 2 * resolution)
    by_hand = np.flatnonzero(data.masked)
    sof = load_sof(arguments.field, device)
    how, framing, heads, shown_heads = sof_views(sof, arguments.field, conditions, data.labels[by_hand])

    # The judges' maps for grids and leakage are kept from training, photos and all.
    judges = Judges(
        data, arguments.parser, arguments.masks, arguments.images, resolution, config.generator.label_size
    )
    used = np.setdiff1d(np.arange(len(data.photos)), judges.shown)
    masked = data.masked[used]
    maps = {
        "parsed": ArraySource(data.labels[used[~masked]]),
        "celebamask": ArraySource(data.labels[used[masked]]),
        "sof": ArraySource(heads),
    }
    shown = judges.labels[judges.shown[: GRID[0]]]
    half = GRID[0] // 2
    grid = np.concatenate((shown[:half], shown_heads[:half]))

    class Reports(harness.Line):
        def scalars(self, step, values) -> None:
            harness.tell(f"\nstep {step}: {line(values)}")

        def images(self, step, pictures) -> None:  # noqa: ARG002
            write_png(kept / "siw-showcase.png", pictures["samples/grid"])

    sources = Sources(ArraySource(data.photos[used]), maps, ArraySource(data.labels[used]))
    made_by = {"config": to_mapping(config), "photos": len(used), "field": sha256_file(arguments.field)}
    states = Checkpoints(kept / "siw-showcase-states", made_by)
    siw, rows = train(sources, grid, config, SEED, device, Session(Reports("training"), states))
    siw.framing = framing
    save_siw(kept / "siw-showcase.pt", siw)
    write_curve(kept / "siw-showcase.csv", rows)

    folder = arguments.pictures
    folder.mkdir(parents=True, exist_ok=True)
    write_png(folder / "siw_masks.png", sample_grid(siw, shown, GRID[1], SEED, PSI))
    write_png(folder / "siw_heads.png", sample_grid(siw, shown_heads, GRID[1], SEED, PSI))
    write_png(folder / "siw_restyle.png", restyle_strip(siw, shown, SEED, PSI))
    code = sample_heads(sof, how, 1, torch_generator(SEED, "showcase", "turntable"))[0]
    z = siw.sample_z(TURNTABLE_STYLES, torch_generator(SEED, "showcase", "styles"))
    w = siw.map_styles(z, PSI)
    size = config.generator.label_size
    sides = turntable_labels(sof, code, framing, np.radians(TURNTABLE_DEGREES), size)
    write_png(folder / "siw_turntable.png", turntable_rows(siw, sides, w))

    print(f"{len(used)} photos, {resolution} px, {rows[-1]['kimg']:.0f} kimg, seed {SEED}")
    print(line({"photos": "two halves", **judges.floor}))
    print(line({"painted": str(arguments.images), **judges.score(siw)}))


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
