"""Distance to real portraits against seconds and photos shown: the default generator's training and the paper's.

    python -m benchmarks.siw_convergence --photos FOLDER [FOLDER ...] --masks FOLDER --parser models/parsers/photos.pt
        [--recipes default paper] [--change name:key=value[,key=value]] [--base default] [--seconds 240] [--looks 4]
        [--seed 0 [1 2]] [--threads 2] [--cpu-seconds] [--check SECONDS] [--curves FILE.csv] [--pictures DIR]

All recipes train from the same photos and label maps: those of --photos, with maps as the parser sees them, and of
--masks, a CelebAMask-HQ set; at one resolution, with one seed and equal threads.

    default    params.yaml's train_siw
    paper      profiles/paper.yaml merged over it, at the default's widths and resolution (`PAPER_AT`)

`--change` adds a recipe: the default (or `--base paper`) with some keys changed, as
`region:discriminator.region_weight=1`. Seconds run without looking; on a machine that does other work too,
`--cpu-seconds` counts those that this process computes in. With several seeds all recipes train with each, and a line
a recipe at the end has the means of the last looks and the standard deviations over seeds. At each look --images maps
are painted by the averaged generator, each with one style, and compared with as many photos: Frechet distances of
EfficientNet-lite0's and lite2's features and of a parser's that was trained from nothing
(`portrait_data.outside_judge`), outside the family of the discriminator's; control, the mean IoU of parsing the first
320 pictures again against their maps, over frequent classes; the spread of regions' colours over styles by the
photos' own, and leakage of restyled hair (`sofgan.evaluation.restyling`). The first row is two halves of the photos
against each other. With `--check SECONDS` the default trains for that many seconds only, and the exit status is 1
unless it is then, with each seed, as near by all three as the paper's recipe after all of --seconds.
"""

import copy
import csv
import dataclasses
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks.portrait_data import Portraits, load_portraits, outside_judge, portrait_arguments
from pipelines.profiles import merge
from sofgan.config import from_mapping
from sofgan.evaluation.portraits import Control, draw, paint_all
from sofgan.evaluation.restyling import leakage, region_colors, spread, style_spread
from sofgan.files import atomic_path, write_png
from sofgan.images import to_network_range
from sofgan.parsing.fast.inference import InferenceParser
from sofgan.parsing.parser import load_parser
from sofgan.progress import Stopwatch
from sofgan.runtime import use_cpu
from sofgan.scores.features import LiteFeatures, NetworkFeatures, extract
from sofgan.scores.frechet import frechet_distance
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import ArraySource, Batches
from sofgan.siw.model import Siw
from sofgan.siw.sheets import REGIONS, restyle_strip, sample_grid
from sofgan.siw.training_step import SiwTraining

SEED = 0
FREQUENT_SHARE = 0.005
HELD_OUT = 100  # masked maps that are painted in the sample grids, never trained on
SPREAD_MAPS, SPREAD_STYLES, LEAKAGE_MAPS = 8, 32, 64
CONTROLLED = 320  # of the painted maps, the first, which are drawn by hand, are parsed again
GRID = (6, 10)
# The paper's recipe at a size that a CPU trains: its widths are the default's.
PAPER_AT = {
    "batch": 16, "growth": [], "report_every_kimg": 1,
    "generator": ("resolution", "label_size", "z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max",
                  "encoder_channels", "spade_sizes", "spade_max_size", "spade_hidden"),
    "discriminator": ("channel_base", "channel_max"),
}  # fmt: skip


def recipes(names: list[str], changes: list[str], base: str) -> dict[str, TrainSiw]:
    """The configurations by name; changed ones are `base` with the changes."""
    default = yaml.safe_load(Path("params.yaml").read_text())["train_siw"]
    default["map_proportions"] = {"parsed": 0.5, "celebamask": 0.5}
    paper = merge(
        copy.deepcopy(default), yaml.safe_load(Path("profiles/paper.yaml").read_text())["train_siw"]
    )
    for key, value in PAPER_AT.items():
        if isinstance(value, tuple):
            paper[key] |= {name: default[key][name] for name in value}
        else:
            paper[key] = value
    known = {"default": default, "paper": paper}
    blocks = {name: known[name] for name in names}
    for change in changes:
        name, _, pairs = change.partition(":")
        overlay: dict = {}
        for pair in filter(None, pairs.split(",")):
            key, _, value = pair.partition("=")
            inner = overlay
            *parents, last = key.split(".")
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[last] = yaml.safe_load(value.replace(";", ","))
        blocks[name] = merge(copy.deepcopy(known[base]), overlay)
    return {name: from_mapping(TrainSiw, block, name) for name, block in blocks.items()}


class Judges:
    """Everything that a generator is scored by."""

    def __init__(self, data: Portraits, parser: Path, masks: Path, images: int, resolution: int, size: int):
        self.labels = data.labels[:, :: data.labels.shape[1] // size, :: data.labels.shape[1] // size]
        by_hand = np.flatnonzero(data.masked)
        self.shown = by_hand[:HELD_OUT]
        parsed = np.flatnonzero(~data.masked)
        half = images // 2
        rng = np.random.default_rng(SEED)
        # Maps as the training has them, half and half; masked ones recur where they are few.
        self.maps = np.concatenate(
            (
                self.labels[rng.choice(by_hand, half, len(by_hand) < half)],
                self.labels[rng.choice(parsed, images - half, False)],
            )
        )
        outside = outside_judge(masks)
        self.extractors = [
            LiteFeatures("lite0"),
            LiteFeatures("lite2"),
            NetworkFeatures("fd_unet", outside.features, outside.config.size),
        ]
        self.parser = InferenceParser(load_parser(parser))
        chosen = draw(np.arange(len(data.photos)), 2 * images, SEED, "reference")
        photos = torch.cat(
            [self._small(data.photos[i : i + 256], resolution) for i in range(0, len(data.photos), 256)]
        )
        features = extract(photos[chosen].split(64), self.extractors)
        self.real = {name: values[::2] for name, values in features.items()}
        self.floor = {name: frechet_distance(values[::2], values[1::2]) for name, values in features.items()}
        step = size // resolution
        self.real_spread = {
            name: spread(region_colors(photos[chosen], self.labels[chosen][:, ::step, ::step], classes))
            for name, classes in REGIONS.items()
        }

    @staticmethod
    def _small(photos: np.ndarray, resolution: int) -> torch.Tensor:
        images = to_network_range(photos)
        return torch.nn.functional.avg_pool2d(images, images.shape[-1] // resolution)

    def score(self, siw: Siw) -> dict[str, float]:
        """Distances, control, spread and leakage."""
        control = Control(self.parser)

        def images():
            painted_so_far = 0
            for labels, painted in paint_all(siw, self.maps, SEED, "benchmark", 32):
                if painted_so_far < CONTROLLED:
                    control.update(labels, painted)
                painted_so_far += len(painted)
                yield painted

        features = extract(images(), self.extractors)
        row = {name: frechet_distance(features[name], self.real[name]) for name in features}
        row["control"] = control.scores(FREQUENT_SHARE)["control_miou_frequent"]
        maps = self.labels[self.shown]
        spreads = style_spread(siw, maps[:SPREAD_MAPS], SPREAD_STYLES, SEED)
        row |= {f"spread_{name}": value / self.real_spread[name] for name, value in spreads.items()}
        row["leakage_hair"] = leakage(siw, maps[:LEAKAGE_MAPS], SEED)
        return row


def train_recipe(
    name: str,
    config: TrainSiw,
    data: Portraits,
    judges: Judges,
    seconds: float,
    looks: int,
    seed: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[dict], Siw]:
    """Train for so many seconds of the clock; a row for each look, and the averaged generator."""
    used = np.setdiff1d(np.arange(len(data.photos)), judges.shown)
    by_hand = data.masked[used]
    maps = {
        "parsed": ArraySource(data.labels[used[~by_hand]]),
        "celebamask": ArraySource(data.labels[used[by_hand]]),
    }

    def start(config: TrainSiw):
        batches = Batches(
            config, ArraySource(data.photos[used]), maps, seed, device, ArraySource(data.labels[used])
        )
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
    watch, rows = Stopwatch(clock), []

    def look() -> None:
        with watch.paused():
            at = watch.seconds
            rows.append(
                {
                    "recipe": name,
                    "seed": seed,
                    "seconds": at,
                    "kimg": training.seen / 1000,
                    **judges.score(Siw(training.ema, device)),
                }
            )
            print(line(rows[-1]), flush=True)

    step = 0
    while (now := watch.seconds) < seconds:
        if now > seconds * (len(rows) + 1) / looks and len(rows) < looks - 1:
            look()
        training.step(step, batches(step))
        step += 1
    look()
    return rows, Siw(training.ema, device)


def line(row: dict) -> str:
    """A row as text."""

    def text(value) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.3g}" if value < 10 else f"{value:.0f}"

    return "  ".join(f"{key} {text(value)}" for key, value in row.items())


def main() -> int:
    parser = portrait_arguments(__doc__)
    parser.add_argument("--recipes", nargs="*", default=["default", "paper"], choices=["default", "paper"])
    parser.add_argument("--change", action="append", default=[])
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--looks", type=int, default=4)
    parser.add_argument("--base", default="default", choices=["default", "paper"])
    parser.add_argument("--seed", type=int, nargs="+", default=[SEED], help="of trainings; the judges' stays")
    parser.add_argument("--cpu-seconds", action="store_true")
    parser.add_argument("--check", type=float, metavar="SECONDS")
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    use_cpu(arguments.threads)
    configs = recipes(arguments.recipes, arguments.change, arguments.base)
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    sizes = {(c.generator.resolution, c.generator.label_size) for c in configs.values()}
    if len(sizes) > 1:
        parser.error("recipes of one resolution, please")
    ((resolution, label_size),) = sizes
    data = load_portraits([*arguments.photos, arguments.masks], arguments.parser, 2 * resolution)
    judges = Judges(data, arguments.parser, arguments.masks, arguments.images, resolution, label_size)
    print(line({"recipe": "photos", **{f"{name}": value for name, value in judges.floor.items()}}))
    rows = []
    for seed, (name, config) in itertools.product(arguments.seed, configs.items()):
        seconds = arguments.check if arguments.check and name == "default" else arguments.seconds
        found, siw = train_recipe(
            name, config, data, judges, seconds, arguments.looks, seed, arguments.device, clock
        )
        rows += found
        if arguments.pictures and seed == arguments.seed[0]:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            maps = judges.labels[judges.shown[: GRID[0]]]
            write_png(arguments.pictures / f"{name}.png", sample_grid(siw, maps, GRID[1], SEED))
            write_png(arguments.pictures / f"{name}-restyle.png", restyle_strip(siw, maps, SEED))
    if arguments.curves:
        with atomic_path(arguments.curves) as work, open(work, "w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if len(arguments.seed) > 1:
        for name in configs:
            print(line(over_seeds(rows, name)))
    return 0 if arguments.check is None else max(check(rows, seed) for seed in arguments.seed)


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


def check(rows: list[dict], seed: int) -> int:
    """Whether the default is as near at its end as the paper's recipe at its own, with that seed."""
    rows = [row for row in rows if row["seed"] == seed]
    ((paper,), (default,)) = (last(rows, name) for name in ("paper", "default"))
    ratios = {name: default[name] / paper[name] for name in paper if name.startswith("fd_")}
    took = f"default after {default['seconds']:.0f} s by paper after {paper['seconds']:.0f} s"
    print(f"seed {seed}: {took}: {line(ratios)}")
    return int(max(ratios.values()) > 1)


if __name__ == "__main__":
    sys.exit(main())
