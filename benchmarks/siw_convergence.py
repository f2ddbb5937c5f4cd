"""Distance to real portraits against seconds and photos shown: the default generator's training and the paper's.

    python -m benchmarks.siw_convergence --photos FOLDER [FOLDER ...] --masks FOLDER --parser models/parsers/photos.pt
        [--recipes default paper] [--change name:key=value[,key=value]] [--base default] [--seconds 240] [--looks 4]
        [--default-seconds 240] [--seeds 0 [1 2]] [--threads 2] [--cpu-seconds] [--check] [--curves FILE.csv]
        [--pictures DIR]

All recipes train from the same photos and label maps: those of --photos, with maps as the parser sees them, and of
--masks, a CelebAMask-HQ set; at one resolution, with one seed and equal threads.

    default    params.yaml's train_siw
    paper      the paper profile's, at the default's widths and resolution (`PAPER_AT`)

`--change` adds a recipe: the default (or `--base paper`) with some keys changed, as
`region:discriminator.region_weight=1`. Seconds run without looking; on a machine that does other work too,
`--cpu-seconds` counts those that this process computes in. With several seeds all recipes train with each, and a line
a recipe at the end has the means of the last looks and the standard deviations over seeds. At each look --images maps
are painted by the averaged generator, each with one style, and compared with as many photos: Frechet distances of
EfficientNet-lite0's and lite2's features and of a parser's that was trained from nothing
(`inputs.judges.outside_judge`), outside the family of the discriminator's; control, the mean IoU of parsing the first
320 pictures again against their maps, over frequent classes; the spread of regions' colours over styles by the
photos' own, and leakage of restyled hair (`sofgan.evaluation.restyling`). The first row is two halves of the photos
against each other. With --default-seconds the default trains for that many seconds only. Limit: with each seed it is
then as near by all three distances as the paper's recipe after all of --seconds.
"""

import argparse
import csv
import dataclasses
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.inputs.judges import GRID, SEED, Judges, line
from benchmarks.inputs.portraits import Portraits, load_portraits, portrait_arguments
from pipelines.profiles import MISSING
from sofgan.errors import InputError
from sofgan.files import atomic_path, write_png
from sofgan.progress import Stopwatch
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import ArraySource, Batches, Sources
from sofgan.siw.model import Siw
from sofgan.siw.sheets import restyle_strip, sample_grid
from sofgan.siw.training_step import SiwTraining

MOST_BY_PAPER = 1.0  # distances of the default by those of the paper's recipe
# Without a field there are no heads to see.
PHOTOS_ALONE = {
    "map_proportions": {"parsed": 0.5, "celebamask": 0.5, "sof": MISSING}, "consistency_every": 0
}  # fmt: skip
# The paper's recipe at a size that a CPU trains: its widths are the default's.
PAPER_AT = {
    "batch": 16, "accumulate": 1, "growth": [], "report_every_kimg": 1,
    "generator": ("resolution", "label_size", "z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max",
                  "encoder_channels", "spade_sizes", "spade_max_size", "spade_hidden"),
    "discriminator": ("channel_base", "channel_max"),
}  # fmt: skip


def recipes(names: list[str], changes: list[str], base: str) -> dict[str, TrainSiw]:
    """The configurations by name; changed ones are `base` with the changes."""
    default, sizes = harness.mapping("train_siw"), {}
    for key, value in PAPER_AT.items():
        sizes[key] = {name: default[key][name] for name in value} if isinstance(value, tuple) else value
    known = {"default": (None, PHOTOS_ALONE), "paper": ("paper", sizes, PHOTOS_ALONE)}
    found = {name: harness.block("train_siw", *known[name]) for name in names}
    for text in changes:
        name, _, pairs = text.partition(":")
        overlays = [harness.change(pair.replace(";", ",")) for pair in filter(None, pairs.split(","))]
        found[name] = harness.block("train_siw", *known[base], *overlays)
    return found


def train_recipe(
    config: TrainSiw,
    sources: Sources,
    seed: int,
    device: str,
    seconds: float,
    looks: int,
    clock: harness.Clock,
) -> Iterator[tuple[dict[str, float], Siw]]:
    """Train for so many seconds of the clock, which stands still at each look.

    Yields:
        At each look the seconds and thousands of photos so far, and the averaged generator.
    """

    def start(config: TrainSiw):
        batches = Batches(config, sources, seed, device)
        return SiwTraining(config, seed, device), batches

    # As many photos as fit into the time, by the rate of some steps.
    def rate(config: TrainSiw) -> float:
        training, batches = start(config)
        for step in range(4):
            training.step(step, batches(step))
        began = clock()
        for step in range(4, 4 + 16):
            training.step(step, batches(step))
        return 16 * config.batch / (clock() - began)

    phases = [(((size, 0.99),), share) for size, share in config.growth]
    phases.append(((), 1 - sum(share for _, share in config.growth)))
    # Seconds a photo, over all sizes that pictures grow through.
    cost = sum(share / rate(dataclasses.replace(config, growth=growth)) for growth, share in phases)
    training, batches = start(dataclasses.replace(config, kimg=seconds / cost / 1000))
    watch, step, looked = Stopwatch(clock), 0, 0

    def so_far() -> tuple[dict[str, float], Siw]:
        return {"seconds": watch.seconds, "kimg": training.seen / 1000}, Siw(training.ema, device)

    while (now := watch.seconds) < seconds:
        if now > seconds * (looked + 1) / looks and looked < looks - 1:
            looked += 1
            found = so_far()
            with watch.paused():
                yield found
        training.step(step, batches(step))
        step += 1
    yield so_far()


def sources_of(data: Portraits, judges: Judges) -> Sources:
    """Photos and maps to train on: all but those that the judges show."""
    used = np.setdiff1d(np.arange(len(data.photos)), judges.shown)
    by_hand = data.masked[used]
    maps = {
        "parsed": ArraySource(data.labels[used[~by_hand]]),
        "celebamask": ArraySource(data.labels[used[by_hand]]),
    }
    return Sources(ArraySource(data.photos[used]), maps, ArraySource(data.labels[used]))


def parser() -> argparse.ArgumentParser:
    found = portrait_arguments(__doc__, cpu_seconds=True)
    found.add_argument("--recipes", nargs="*", default=["default", "paper"], choices=["default", "paper"])
    found.add_argument("--change", action="append", default=[], metavar="NAME:KEY=VALUE[,KEY=VALUE]")
    found.add_argument("--base", default="default", choices=["default", "paper"], help="what changes are of")
    found.add_argument("--seconds", type=float, default=240, help="of training")
    found.add_argument("--default-seconds", type=float, help="of the default's training")
    found.add_argument("--looks", type=int, default=4)
    found.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="of trainings; the judges' stays")
    found.add_argument("--curves", type=Path, help="CSV file of all looks")
    found.add_argument("--pictures", type=Path, help="folder for sample grids of the first seed")
    return found


def main(arguments) -> list[bool]:
    configs, clock = recipes(arguments.recipes, arguments.change, arguments.base), harness.clock(arguments)
    sizes = {(c.generator.resolution, c.generator.label_size) for c in configs.values()}
    if len(sizes) > 1:
        raise InputError("recipes of one resolution, please")
    ((resolution, label_size),) = sizes
    data = load_portraits([*arguments.photos, arguments.masks], arguments.parser, 2 * resolution)
    judges = Judges(data, arguments.parser, arguments.masks, arguments.images, resolution, label_size)
    print(line({"recipe": "photos", **judges.floor}))
    rows, sources = [], sources_of(data, judges)
    for seed, (name, config) in itertools.product(arguments.seeds, configs.items()):
        seconds = (arguments.default_seconds if name == "default" else None) or arguments.seconds
        device, looks = arguments.device, arguments.looks
        for at, siw in train_recipe(config, sources, seed, device, seconds, looks, clock):
            rows.append({"recipe": name, "seed": seed, **at, **judges.score(siw)})
            print(line(rows[-1]), flush=True)
            if arguments.curves:  # at each look, since trainings take long
                write_rows(arguments.curves, rows)
        if arguments.pictures and seed == arguments.seeds[0]:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            maps = judges.labels[judges.shown[: GRID[0]]]
            write_png(arguments.pictures / f"{name}.png", sample_grid(siw, maps, GRID[1], SEED))
            write_png(arguments.pictures / f"{name}-restyle.png", restyle_strip(siw, maps, SEED))
    if len(arguments.seeds) > 1:
        for name in configs:
            print(line(over_seeds(rows, name)))
    both = {"default", "paper"} <= set(arguments.recipes)
    return [kept for seed in arguments.seeds for kept in compare(rows, seed)] if both else []


def write_rows(file: Path, rows: list[dict]) -> None:
    """Write rows of equal keys as a CSV file."""
    with atomic_path(file) as work, open(work, "w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def last(rows: list[dict], name: str) -> list[dict]:
    """Of each seed the last row of a recipe."""
    found = {row["seed"]: row for row in rows if row["recipe"] == name}
    return list(found.values())


def over_seeds(rows: list[dict], name: str) -> dict:
    """Means of a recipe's last rows, and the deviations over seeds of what they are scored by."""
    ends = last(rows, name)
    result = {"recipe": name, "seeds": len(ends)}
    for key in ends[0]:
        values = [row[key] for row in ends]
        if key in ("recipe", "seed") or None in values:
            continue
        result[key] = float(np.mean(values))
        if key not in ("seconds", "kimg"):
            result[f"{key}_sd"] = float(np.std(values, ddof=1))
    return result


def compare(rows: list[dict], seed: int) -> list[bool]:
    """Whether the default is as near at its end as the paper's recipe at its own, with that seed, by each distance."""
    rows = [row for row in rows if row["seed"] == seed]
    ((paper,), (default,)) = (last(rows, name) for name in ("paper", "default"))
    print(f"seed {seed}: default after {default['seconds']:.0f} s, paper after {paper['seconds']:.0f} s")
    return [
        harness.verdict(
            f"{name} of the default by the paper's", default[name] / paper[name], at_most=MOST_BY_PAPER
        )
        for name in paper
        if name.startswith("fd_")
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
