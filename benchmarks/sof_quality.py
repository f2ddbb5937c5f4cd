"""How good the default field gets on embedded avatars in a given number of steps.

    python -m benchmarks.sof_quality --heads 48 --seconds 3600 [--threads 2] [--check 0.88] [--name field-48]

Trains params.yaml's train_sof on the first heads of an avatar batch of its own, `field-300`, from views that
render_views' parameters make; the schedule ends after --steps, or after as many as fit into --seconds by the rate of
the first ones. A training that was cut off goes on from its last state. Afterwards all held-out views are rendered, and
16 heads of another batch, `field-new`, are fitted by z alone: a table by class, Markdown, the mean last. The field is
written to .work/benchmarks/<name>.pt. With `--check MIOU` the exit status is 1 where the mean IoU of held-out views is
below that or a class is below 0.6.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import yaml

from benchmarks.avatar_views import SEED, avatar_views
from sofgan.config import from_mapping, to_mapping
from sofgan.files import write_png
from sofgan.progress import Progress
from sofgan.runtime import use_cpu
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.sof.config import TrainSof
from sofgan.sof.data import ViewSet, read_views
from sofgan.sof.fitting import fit_codes, score_codes
from sofgan.sof.sof import save_sof
from sofgan.sof.train import finish, train_sof, validate
from sofgan.training import Checkpoints, write_curve

HEADS, NEW_HEADS = ("field-300", 300), ("field-new", 16)  # batches and their sizes
WORST_CLASS = 0.6
FIT_STEPS = 200


def steps_in(config: TrainSof, views: ViewSet, seconds: float, device: str) -> int:
    """Steps that fit into that time, by the rates of points alone and of projected rays."""

    def seconds_of(points_only_share: float) -> float:
        probe = dataclasses.replace(
            config, steps=12, points_only_share=points_only_share, validate_every_steps=4, validate_views=1
        )
        times = []

        class Times(Progress):
            def scalars(self, step, values) -> None:  # noqa: ARG002
                times.append(values["train_seconds"])

        train_sof(views, probe, SEED, device, progress=Times())
        return (times[-1] - times[0]) / 8

    share = config.points_only_share
    return int(seconds / (share * seconds_of(1.0) + (1 - share) * seconds_of(0.0)))


def table(columns: dict[str, ConfusionMatrix]) -> str:
    """IoU by class and the mean as Markdown; a class that occurs nowhere in a column is left empty there."""
    scores = {name: confusion.per_class() for name, confusion in columns.items()}
    lines = [["class", *columns], ["---"] * (1 + len(columns))]
    for label in dict.fromkeys(label for column in scores.values() for label in column):
        cells = [f"{column[label]:.3f}" if label in column else "" for column in scores.values()]
        lines.append([label, *cells])
    lines.append(["mean", *(f"{confusion.miou():.3f}" for confusion in columns.values())])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=48)
    parser.add_argument("--seconds", type=float, help="of training; or --steps")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--points-only-share", type=float, help="in place of params.yaml's")
    parser.add_argument("--looks", type=int, default=12, help="at held-out views on the way")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="field", help="of the field's file")
    parser.add_argument("--check", type=float, metavar="MIOU")
    arguments = parser.parse_args()
    if (arguments.steps is None) == (arguments.seconds is None):
        parser.error("either --steps or --seconds")
    use_cpu(arguments.threads)
    device, folder = arguments.device, Path(".work/benchmarks")
    views = read_views(avatar_views(*HEADS)[: arguments.heads])
    block = yaml.safe_load(Path("params.yaml").read_text())["train_sof"]
    config = from_mapping(TrainSof, block, "params.yaml: train_sof")
    if arguments.points_only_share is not None:
        config = dataclasses.replace(config, points_only_share=arguments.points_only_share)
    steps = arguments.steps or steps_in(config, views, arguments.seconds, device)
    config = dataclasses.replace(
        config,
        steps=steps,
        validate_every_steps=max(1, steps // arguments.looks),
        validate_views=48,
        checkpoint_every_steps=1000,
    )

    class Lines(Progress):
        def scalars(self, step, values) -> None:
            seconds, miou = values["train_seconds"], values["held_out_miou"]
            print(f"step {step}/{steps}, {seconds:.0f} s, mIoU {miou:.3f}", file=sys.stderr, flush=True)

    began = time.perf_counter()
    checkpoints = Checkpoints(folder / f"{arguments.name}-states", [to_mapping(config), arguments.heads])
    model, curve = train_sof(views, config, SEED, device, checkpoints, Lines())
    seconds = time.perf_counter() - began
    save_sof(folder / f"{arguments.name}.pt", finish(model, views, config, SEED))
    write_curve(folder / f"{arguments.name}.csv", curve)
    held_out, picture = validate(model, views.to(device), None)
    new_heads = read_views(avatar_views(*NEW_HEADS))
    codes = fit_codes(model, new_heads, config, FIT_STEPS, SEED, device)
    fitted, fit_picture = score_codes(model, codes, new_heads)
    write_png(folder / f"{arguments.name}.png", picture)
    write_png(folder / f"{arguments.name}-new.png", fit_picture)
    checkpoints.clear()

    given = int((~new_heads.held_out).sum()) // len(new_heads.names)
    print(
        f"{arguments.heads} heads, {steps} steps in {seconds:.0f} s of this call, {device}, seed {SEED}, ",
        end="",
    )
    print(
        f"{arguments.threads} thread(s); IoU of {int(views.held_out.sum())} held-out views of {views.size} px, ",
        end="",
    )
    print(f"and of those of {len(new_heads.names)} new heads, codes fitted to {given} other views of each")
    print(table({"held-out views": held_out, "new heads": fitted}))
    low = {name: value for name, value in held_out.per_class().items() if value < WORST_CLASS}
    print(
        f"classes below {WORST_CLASS}: {', '.join(low) or 'none'}; mIoU of held-out views: {held_out.miou():.3f}"
    )
    return int(arguments.check is not None and (held_out.miou() < arguments.check or bool(low)))


if __name__ == "__main__":
    sys.exit(main())
