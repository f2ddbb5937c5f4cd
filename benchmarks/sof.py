"""Seconds of training to a held-out mIoU: the default field against the paper's LSTM marcher and hypernetwork.

    python -m benchmarks.sof [--seconds 240] [--threads 1] [--check] [--curves docs/sof_curves.csv]

All presets train on the same label views of the demo's avatars, with one seed, on one device with the same threads.

    default    params.yaml's block train_sof as it is, to the end of its own steps
    quick      the default field on a short schedule: 200 steps of half the rays, at higher rates
    paper-256  the paper profile's; --paper-rays a step, so that a CPU gets through some steps at all
    paper-64   the same with Phi and hypernetwork 64 wide
    lstm-64    paper-64 with the settings that were best in 50 s: 4 instances x 4 views x 64 rays, drawn as the default
               draws them; walks that start at the ball; Adam (0.9, 0.99) at 1.5e-3, codes at 1e-2; gradients clipped

The LSTM presets get --seconds each, and schedules that end there: the steps are as many as fit, the warm-up is a
twentieth of them at most. Seconds run from the call of the training on, without validation. The mIoU is of one
confusion matrix over held-out views that are spread over all heads; between two looks the time of a threshold is
interpolated. Printed are ratios of the seconds to mIoU 0.65 of each LSTM preset by those of the sooner of the default's
schedules; lower bounds, where it never got there. Limit: the default is 10 times as soon as the sooner of the paper's
presets; lstm-64 is not the paper's. `docs.pictures.sof_curves` draws the curves.
"""

import argparse
import csv
import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import harness
from benchmarks.inputs.avatar_views import avatar_views
from sofgan.files import atomic_path
from sofgan.session import Session
from sofgan.sof.config import TrainSof
from sofgan.sof.train import train_sof
from sofgan.sof.view_set import ViewSet, read_views

BATCH = "avatars-000"  # the demo's: its first scans are the same however many are made
THRESHOLDS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
COMPARED_AT, LEAST_RATIO = 0.65, 10.0
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
PRESETS = (*OURS, *PAPERS, "lstm-64")


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
    paper, rays = harness.mapping("train_sof", "paper"), {}
    if paper_rays:
        views = paper["instances_per_step"] * paper["views_per_instance"]
        rays = {"rays_per_view": min(paper["rays_per_view"], paper_rays // views)}
    blocks = {
        "default": (None,),
        "quick": (None, QUICK),
        "paper-256": ("paper", rays),
        "paper-64": ("paper", rays, WIDTH_64),
        "lstm-64": ("paper", rays, WIDTH_64, LSTM_64),
    }
    return {name: harness.block("train_sof", *block) for name, block in blocks.items()}


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is the same for all presets."""

    views: ViewSet
    held_out: int  # views of a look
    device: str
    clock: harness.Clock
    seed: int

    def fit_schedule(self, config: TrainSof, seconds: float) -> TrainSof:
        """As many steps as a training gets through in that time, by the rate of a few of them."""
        times = []

        def look(_: int, scores: Mapping[str, float]) -> None:
            times.append(scores["train_seconds"])

        probe = dataclasses.replace(config, steps=6, validate_every_steps=2, validate_views=1)
        session = Session(harness.Looks(look), clock=self.clock)
        train_sof(self.views, probe, self.seed, self.device, session)
        steps = max(10, int(seconds / ((times[-1] - times[0]) / 4)))
        warmup = min(config.warmup_steps, max(1, int(WARMUP_SHARE * steps)))
        return dataclasses.replace(config, steps=steps, warmup_steps=warmup)

    def train(self, name: str, config: TrainSof, looks: int) -> Run:
        """Train a preset to the end of its steps, and look at held-out views about `looks` times."""
        rows = []

        def look(step: int, scores: Mapping[str, float]) -> None:
            row = {"seconds": scores["train_seconds"], "step": step, "miou": scores["held_out_miou"]}
            rows.append(row | {key: scores[key] for key in SMALL_CLASSES if key in scores})
            harness.tell(
                f"{name}: step {step}/{config.steps}, {row['seconds']:.1f} s, mIoU {row['miou']:.3f}"
            )

        every = max(1, config.steps // looks)
        config = dataclasses.replace(config, validate_every_steps=every, validate_views=self.held_out)
        session = Session(harness.Looks(look), clock=self.clock)
        model, _ = train_sof(self.views, config, self.seed, self.device, session)
        parameters = sum(p.numel() for part in (model.field, model.marcher) for p in part.parameters())
        instances = min(config.instances_per_step, len(self.views.names))
        rays = instances * config.views_per_instance * config.rays_per_view
        return Run(name, rows, config.steps, parameters, rays)


def table(runs: list[Run]) -> str:
    """Sizes, rates and seconds to each mIoU as a Markdown table."""
    columns = ["preset", "parameters", "steps", "ms a step", "rays/s", "seconds", "mIoU", "eye"]
    lines = [harness.head(*columns, *(f"to {threshold:g}" for threshold in THRESHOLDS))]
    for run in runs:
        last = run.rows[-1]
        reached = [run.seconds_to(threshold) for threshold in THRESHOLDS]
        lines.append(
            harness.row(
                run.name,
                f"{run.parameters / 1e6:.2f} M",
                str(run.steps),
                f"{1000 * run.seconds / run.steps:.0f}",
                f"{run.rays_per_step * run.steps / run.seconds:.0f}",
                f"{run.seconds:.0f}",
                f"{last['miou']:.3f}",
                f"{last.get('iou_eye', 0):.2f}",
                *("-" if math.isinf(value) else f"{value:.1f}" for value in reached),
            )
        )
    return "\n".join(lines)


def ratio(ours: list[Run], other: Run) -> tuple[float, bool]:
    """How much sooner the soonest of ours is at `COMPARED_AT`, and whether that is a lower bound only: the other
    wasn't there when its time was over. 0 where none of ours is there itself."""
    soonest, theirs = min(run.seconds_to(COMPARED_AT) for run in ours), other.seconds_to(COMPARED_AT)
    return min(theirs, other.seconds) / soonest, math.isinf(theirs)


def write_rows(path: Path, runs: list[Run]) -> None:
    """All runs' rows as CSV; what was not seen stays empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as work, open(work, "w", newline="") as file:
        columns = ["preset", "seconds", "step", "miou", *SMALL_CLASSES]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for run in runs:
            for row in run.rows:
                texts = {key: f"{value:.6g}" for key, value in row.items()}
                writer.writerow({"preset": run.name, **texts})


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=1, device=True, seed=0, cpu_seconds=True)
    found.add_argument("--views", type=Path, help="folder of view files; made of avatars without it")
    found.add_argument("--scans", type=int, default=48, help="heads, the first of the views")
    found.add_argument("--seconds", type=float, default=240, help="of training, for each LSTM preset")
    found.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS, help="only these")
    found.add_argument("--paper-rays", type=int, default=8192, help="a step; 0: as the profile has it")
    found.add_argument("--looks", type=int, default=30, help="times that held-out views are rendered")
    found.add_argument("--paper-looks", type=int, default=8, help="the same of paper-256, slow to render")
    found.add_argument("--held-out", type=int, default=48, help="views of a look")
    found.add_argument("--curves", type=Path, default=harness.CACHE / "sof_curves.csv")
    return found


def main(arguments) -> list[bool]:
    files = sorted(arguments.views.glob("*.npz")) if arguments.views else avatar_views(BATCH, arguments.scans)
    views = read_views(files[: arguments.scans])
    held_out = min(arguments.held_out, int(views.held_out.sum()))
    bench = Bench(views, held_out, arguments.device, harness.clock(arguments), arguments.seed)
    runs = []
    for name, config in presets(arguments.paper_rays).items():
        if name not in arguments.presets:
            continue
        if name not in OURS:
            config = bench.fit_schedule(config, arguments.seconds)
        looks = arguments.paper_looks if name == "paper-256" else arguments.looks
        runs.append(bench.train(name, config, looks))

    write_rows(arguments.curves, runs)
    print(f"{len(views.names)} heads, {len(views.instance)} views of {views.size} px, ", end="")
    print(f"mIoU of {held_out} held out, seed {arguments.seed}")
    print(table(runs))
    ours, others = ([run for run in runs if (run.name in OURS) == own] for own in (True, False))
    if not ours or not others:
        return []
    told = f"ratio of seconds to mIoU {COMPARED_AT}"
    ratios = {run.name: ratio(ours, run) for run in others}
    for name, (factor, bound) in ratios.items():
        print(f"{told}, {name}: {'at least ' if bound else ''}{factor:.1f}")
    papers = [ratios[name][0] for name in PAPERS if name in ratios]
    return [harness.verdict(f"{told}, the paper's", min(papers), at_least=LEAST_RATIO)] if papers else []


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
