"""Seconds of training to a held-out mIoU: the default field against the paper's LSTM marcher and hypernetwork.

    python -m benchmarks.sof [--seconds 240] [--threads 1] [--check] [--plot docs/images/sof_curves.png]

All presets train on the same label views of the demo's avatars, with one seed, on one device with the same threads.

    default    params.yaml's block train_sof as it is, to the end of its own steps
    quick      the default field on a short schedule: 200 steps of half the rays, at higher rates
    paper-256  profiles/paper.yaml merged over it; --paper-rays a step, so that a CPU gets through some steps at all
    paper-64   the same with Phi and hypernetwork 64 wide
    lstm-64    paper-64 with the settings that were best in 50 s: 4 instances x 4 views x 64 rays, drawn as the default
               draws them; walks that start at the ball; Adam (0.9, 0.99) at 1.5e-3, codes at 1e-2; gradients clipped

The LSTM presets get --seconds each, and schedules that end there: the steps are as many as fit, the warm-up is a
twentieth of them at most. Seconds run from the call of the training on, without validation. The mIoU is of one
confusion matrix over held-out views that are spread over all heads; between two looks the time of a threshold is
interpolated. The last line is the ratio of the seconds to mIoU 0.65, of the sooner of the paper's presets against the
sooner of the default's schedules; a lower bound where none of the paper's got there. With `--check` the exit status is
1 where it is below 10. The ratio against lstm-64, which is not the paper's, is printed before it.
"""

import argparse
import copy
import csv
import dataclasses
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFont

from benchmarks.avatar_views import SEED, avatar_views
from pipelines.profiles import merge
from sofgan.config import from_mapping
from sofgan.files import write_png
from sofgan.progress import Progress
from sofgan.runtime import use_cpu
from sofgan.sof.config import TrainSof
from sofgan.sof.data import ViewSet, read_views
from sofgan.sof.train import train_sof

BATCH = "avatars-000"  # the demo's: its first scans are the same however many are made
THRESHOLDS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
COMPARED_AT, REQUIRED_RATIO = 0.65, 10.0
WARMUP_SHARE = 1 / 20
SMALL_CLASSES = ("iou_eye", "iou_brow", "iou_mouth", "iou_eyeglass")
WIDTH_64 = {"field": {"phi_hidden": 64, "hyper_hidden": 64}}
QUICK = {
    "steps": 200,
    "warmup_steps": 10,
    "rays_per_view": 64,
    "learning_rate": 1.5e-2,
    "code_learning_rate": 3.0e-2,
}
LSTM_64 = {
    "marcher": {"start": "sphere"},
    "loss": {"cross_entropy": 1.0, "negative_depth": 0.05, "code": 0.005},  # the profile's, divided by 200
    "rays": {"border_share": 0.35, "rare_share": 0.3, "correction": 0.5, "replacement": True},
    "instances_per_step": 4,
    "views_per_instance": 4,
    "rays_per_view": 64,  # more steps of fewer rays: 0.38 after 45 s, with 256 rays 0.27
    "learning_rate": 1.5e-3,
    "code_learning_rate": 1.0e-2,
    "code_init_std": 0.05,
    "adam_beta2": 0.99,
    "clip_gradient_norm": 5.0,
}
OURS, PAPERS = ("default", "quick"), ("paper-256", "paper-64")
COLOURS = {
    "default": (200, 60, 40),
    "quick": (230, 150, 40),
    "paper-256": (40, 90, 170),
    "paper-64": (130, 90, 170),
    "lstm-64": (30, 140, 90),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What one preset did: rows of seconds, step and scores, and its sizes and rates."""

    name: str
    rows: list[dict[str, float]]
    steps: int
    parameters: int  # of field and marcher, without codes
    rays_per_step: int

    @property
    def seconds(self) -> float:
        return self.rows[-1]["seconds"]

    def seconds_to(self, threshold: float) -> float:
        """Seconds to the first look at this mIoU, interpolated from the look before; inf where it is never seen."""
        before = {"seconds": 0.0, "miou": 0.0}
        for row in self.rows:
            if row["miou"] >= threshold:
                share = (threshold - before["miou"]) / max(row["miou"] - before["miou"], 1e-9)
                return before["seconds"] + share * (row["seconds"] - before["seconds"])
            before = row
        return math.inf


def presets(paper_rays: int) -> dict[str, TrainSof]:
    """The configurations by name; their steps are not fitted yet."""
    default = yaml.safe_load(Path("params.yaml").read_text())["train_sof"]
    profile = yaml.safe_load(Path("profiles/paper.yaml").read_text())["train_sof"]
    paper = merge(copy.deepcopy(default), profile)
    if paper_rays:
        views = paper["instances_per_step"] * paper["views_per_instance"]
        paper["rays_per_view"] = min(paper["rays_per_view"], paper_rays // views)
    paper_64 = merge(copy.deepcopy(paper), WIDTH_64)
    lstm_64 = merge(copy.deepcopy(paper_64), LSTM_64)
    quick = merge(copy.deepcopy(default), QUICK)
    blocks = dict(zip(COLOURS, (default, quick, paper, paper_64, lstm_64)))
    return {name: from_mapping(TrainSof, block, f"{name}: train_sof") for name, block in blocks.items()}


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is the same for all presets."""

    views: ViewSet
    held_out: int  # views of a look
    device: str
    clock: Callable[[], float]

    def fit_schedule(self, config: TrainSof, seconds: float) -> TrainSof:
        """As many steps as a training gets through in that time, by the rate of a few of them."""
        times = []

        class Times(Progress):
            def scalars(self, step, values) -> None:  # noqa: ARG002
                times.append(values["train_seconds"])

        probe = dataclasses.replace(config, steps=6, validate_every_steps=2, validate_views=1)
        train_sof(self.views, probe, SEED, self.device, progress=Times(), clock=self.clock)
        steps = max(10, int(seconds / ((times[-1] - times[0]) / 4)))
        warmup = min(config.warmup_steps, max(1, int(WARMUP_SHARE * steps)))
        return dataclasses.replace(config, steps=steps, warmup_steps=warmup)

    def train(self, name: str, config: TrainSof, looks: int) -> Run:
        """Train a preset to the end of its steps, and look at held-out views about `looks` times."""
        rows = []

        class Rows(Progress):
            def scalars(self, step, values) -> None:
                row = {"seconds": values["train_seconds"], "step": step, "miou": values["held_out_miou"]}
                rows.append(row | {key: values[key] for key in SMALL_CLASSES if key in values})
                tell(f"{name}: step {step}/{config.steps}, {row['seconds']:.1f} s, mIoU {row['miou']:.3f}")

        every = max(1, config.steps // looks)
        config = dataclasses.replace(config, validate_every_steps=every, validate_views=self.held_out)
        model, _ = train_sof(self.views, config, SEED, self.device, progress=Rows(), clock=self.clock)
        parameters = sum(p.numel() for part in (model.field, model.marcher) for p in part.parameters())
        instances = min(config.instances_per_step, len(self.views.names))
        rays = instances * config.views_per_instance * config.rays_per_view
        return Run(name, rows, config.steps, parameters, rays)


def table(runs: list[Run]) -> str:
    """Sizes, rates and seconds to each mIoU as a Markdown table."""
    head = ["preset", "parameters", "steps", "ms a step", "rays/s", "seconds", "mIoU", "eye"]
    lines = [[*head, *(f"to {threshold:g}" for threshold in THRESHOLDS)]]
    lines.append(["---"] * len(lines[0]))
    for run in runs:
        last = run.rows[-1]
        reached = [run.seconds_to(threshold) for threshold in THRESHOLDS]
        lines.append(
            [
                run.name,
                f"{run.parameters / 1e6:.2f} M",
                str(run.steps),
                f"{1000 * run.seconds / run.steps:.0f}",
                f"{run.rays_per_step * run.steps / run.seconds:.0f}",
                f"{run.seconds:.0f}",
                f"{last['miou']:.3f}",
                f"{last.get('iou_eye', 0):.2f}",
                *("-" if math.isinf(value) else f"{value:.1f}" for value in reached),
            ]
        )
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def ratio(ours: list[Run], other: Run) -> tuple[float, bool]:
    """How much sooner the soonest of ours is at `COMPARED_AT`, and whether that is a lower bound only: the other
    wasn't there when its time was over. 0 where none of ours is there itself."""
    soonest, theirs = min(run.seconds_to(COMPARED_AT) for run in ours), other.seconds_to(COMPARED_AT)
    return min(theirs, other.seconds) / soonest, math.isinf(theirs)


def picture(runs: list[Run], title: str) -> np.ndarray:
    """The curves, mIoU over seconds of training in powers of two: (H, W, 3) uint8."""
    scale = 2  # drawn so many times larger, then made smaller, for smooth lines
    width, height, left, right, top, bottom = (scale * side for side in (760, 420, 60, 120, 40, 50))
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12 * scale)
    first = math.floor(math.log2(max(1.0, min(run.rows[0]["seconds"] for run in runs))))
    last = math.log2(max(run.seconds for run in runs))

    def place(seconds: float, miou: float) -> tuple[float, float]:
        across = (math.log2(max(seconds, 2.0**first)) - first) / (last - first)
        return left + across * (width - left - right), height - bottom - miou * (height - top - bottom)

    for tenth in range(11):
        y = place(1.0, tenth / 10)[1]
        draw.line((left, y, width - right, y), (225, 225, 225), scale)
        draw.text((left - 8 * scale, y), f"{tenth / 10:.1f}", "black", font, anchor="rm")
    for power in range(first, math.floor(last) + 1):
        x = place(2.0**power, 0)[0]
        draw.line((x, top, x, height - bottom), (235, 235, 235), scale)
        draw.text((x, height - bottom + 6 * scale), f"{2**power}", "black", font, anchor="ma")
    middle = (left + width - right) / 2
    draw.text((middle, height - 8 * scale), "seconds of training", "black", font, anchor="md")
    draw.text((left, top - 12 * scale), title, "black", font, anchor="ls")
    for run in runs:
        points = [place(row["seconds"], row["miou"]) for row in run.rows]
        draw.line(points, COLOURS[run.name], 2 * scale, joint="curve")
        end = (points[-1][0] + 6 * scale, points[-1][1])
        draw.text(end, f"{run.name} {run.rows[-1]['miou']:.2f}", COLOURS[run.name], font, anchor="lm")
    return np.asarray(image.resize((width // scale, height // scale), Image.Resampling.LANCZOS))


def write_rows(path: Path, runs: list[Run]) -> None:
    """All runs' rows as CSV; what was not seen stays empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        columns = ["preset", "seconds", "step", "miou", *SMALL_CLASSES]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for run in runs:
            for row in run.rows:
                texts = {key: f"{value:.6g}" for key, value in row.items()}
                writer.writerow({"preset": run.name, **texts})


def tell(text: str) -> None:
    """Progress, beside the result."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit 1 where the ratio is below 10")
    parser.add_argument("--views", type=Path, help="folder of view files; made of avatars without it")
    parser.add_argument("--scans", type=int, default=48, help="heads, the first of the views")
    parser.add_argument("--seconds", type=float, default=240, help="of training, for each LSTM preset")
    parser.add_argument("--presets", nargs="+", choices=COLOURS, help="only these")
    parser.add_argument("--paper-rays", type=int, default=8192, help="a step; 0: as the profile has it")
    parser.add_argument("--looks", type=int, default=30, help="times that held-out views are rendered")
    parser.add_argument("--paper-looks", type=int, default=8, help="the same of paper-256, slow to render")
    parser.add_argument("--held-out", type=int, default=48, help="views of a look")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu-clock", action="store_true", help="CPU seconds, for one thread")
    parser.add_argument("--curves", type=Path, default=Path(".work/benchmarks/sof_curves.csv"))
    parser.add_argument("--plot", type=Path, default=Path(".work/benchmarks/sof_curves.png"))
    arguments = parser.parse_args()
    use_cpu(arguments.threads)
    clock = time.process_time if arguments.cpu_clock else time.perf_counter
    files = sorted(arguments.views.glob("*.npz")) if arguments.views else avatar_views(BATCH, arguments.scans)
    views = read_views(files[: arguments.scans])
    held_out = min(arguments.held_out, int(views.held_out.sum()))
    bench = Bench(views, held_out, arguments.device, clock)
    runs = []
    for name, config in presets(arguments.paper_rays).items():
        if arguments.presets and name not in arguments.presets:
            continue
        if name not in OURS:
            config = bench.fit_schedule(config, arguments.seconds)
        looks = arguments.paper_looks if name == "paper-256" else arguments.looks
        runs.append(bench.train(name, config, looks))

    facts = f"{len(views.names)} heads, {len(views.instance)} views of {views.size} px, mIoU of {held_out} held out"
    facts += f", {arguments.device}, {arguments.threads} thread(s), seed {SEED}"
    facts += ", CPU seconds" if arguments.cpu_clock else ""
    write_rows(arguments.curves, runs)
    write_png(arguments.plot, picture(runs, facts))
    print(facts)
    print(table(runs))
    ours, others = ([run for run in runs if (run.name in OURS) == own] for own in (True, False))
    if not ours or not others:
        return 0
    told = f"ratio of seconds to mIoU {COMPARED_AT}"
    ratios = {run.name: ratio(ours, run) for run in others}
    for name, (factor, bound) in ratios.items():
        print(f"{told}, {name}: {'at least ' if bound else ''}{factor:.1f}")
    papers = [ratios[name] for name in PAPERS if name in ratios]
    if not papers:
        return 0
    factor, bound = min(papers)
    print(f"{told}: {'at least ' if bound else ''}{factor:.1f}")
    return int(arguments.check and factor < REQUIRED_RATIO)


if __name__ == "__main__":
    sys.exit(main())
