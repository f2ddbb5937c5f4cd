"""How good the default field gets on embedded avatars in a given number of steps.

    python -m benchmarks.sof_quality --heads 48 --seconds 3600 [--threads 2] [--name field-48] [--check]

Trains params.yaml's train_sof on the first heads of an avatar batch of its own, `field-300`, from views that
render_views' parameters make; the schedule ends after --steps, or after as many as fit into --seconds by the rate of
the first ones. A training that was cut off goes on from its last state. Afterwards all held-out views are rendered, and
16 heads of another batch, `field-new`, are fitted by z alone: a table by class, Markdown, the mean last. The field is
written to .work/benchmarks/<name>.pt. Limits: the mean IoU of held-out views is --least-miou, that of each class 0.6.
"""

import argparse
import dataclasses
import shutil
import sys
import time
from collections.abc import Mapping

from benchmarks import harness
from benchmarks.inputs.avatar_views import HEADS, NEW_HEADS, avatar_views
from sofgan.config import to_mapping
from sofgan.files import write_png
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.session import Checkpoints, Session
from sofgan.sof.config import TrainSof
from sofgan.sof.fitting import fit_codes, score_codes
from sofgan.sof.sof import save_sof
from sofgan.sof.train import finish, train_sof, validate
from sofgan.sof.view_set import ViewSet, read_views
from sofgan.training import write_curve

LEAST_OF_A_CLASS = 0.6
FIT_STEPS = 200


def steps_in(config: TrainSof, views: ViewSet, seconds: float, seed: int, device: str) -> int:
    """Steps that fit into that time, by the rates of points alone and of projected rays."""

    def seconds_of(points_only_share: float) -> float:
        probe = dataclasses.replace(
            config, steps=12, points_only_share=points_only_share, validate_every_steps=4, validate_views=1
        )
        times = []
        looks = harness.Looks(lambda _, scores: times.append(scores["train_seconds"]))
        train_sof(views, probe, seed, device, Session(looks))
        return (times[-1] - times[0]) / 8

    share = config.points_only_share
    return int(seconds / (share * seconds_of(1.0) + (1 - share) * seconds_of(0.0)))


def table(columns: dict[str, ConfusionMatrix]) -> str:
    """IoU by class and the mean as Markdown; a class that occurs nowhere in a column is left empty there."""
    scores = {name: confusion.per_class() for name, confusion in columns.items()}
    lines = [harness.head("class", *columns)]
    for label in dict.fromkeys(label for column in scores.values() for label in column):
        cells = [f"{column[label]:.3f}" if label in column else "" for column in scores.values()]
        lines.append(harness.row(label, *cells))
    lines.append(harness.row("mean", *(f"{confusion.miou():.3f}" for confusion in columns.values())))
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, seed=0)
    found.add_argument("--heads", type=int, default=48)
    length = found.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="of training")
    length.add_argument("--steps", type=int, help="of training")
    found.add_argument("--points-only-share", type=float, help="in place of params.yaml's")
    found.add_argument("--looks", type=int, default=12, help="at held-out views on the way")
    found.add_argument("--name", default="field", help="of the field's file")
    found.add_argument("--least-miou", type=float, default=0.88, help="the limit of held-out views")
    return found


def main(arguments) -> list[bool]:
    device, seed, folder = arguments.device, arguments.seed, harness.CACHE
    views = read_views(avatar_views(*HEADS)[: arguments.heads])
    config = harness.block("train_sof")
    if arguments.points_only_share is not None:
        config = dataclasses.replace(config, points_only_share=arguments.points_only_share)
    steps = arguments.steps or steps_in(config, views, arguments.seconds, seed, device)
    config = dataclasses.replace(
        config,
        steps=steps,
        validate_every_steps=max(1, steps // arguments.looks),
        validate_views=48,
        checkpoint_every_steps=1000,
    )

    def look(step: int, scores: Mapping[str, float]) -> None:
        seconds, miou = scores["train_seconds"], scores["held_out_miou"]
        harness.tell(f"step {step}/{steps}, {seconds:.0f} s, mIoU {miou:.3f}")

    began = time.perf_counter()
    states = Checkpoints(folder / f"{arguments.name}-states", [to_mapping(config), arguments.heads])
    model, curve = train_sof(views, config, seed, device, Session(harness.Looks(look), states))
    seconds = time.perf_counter() - began
    save_sof(folder / f"{arguments.name}.pt", finish(model, views, config, seed))
    write_curve(folder / f"{arguments.name}.csv", curve)
    held_out, picture = validate(model, views.to(device), None)
    new_heads = read_views(avatar_views(*NEW_HEADS))
    codes = fit_codes(model, new_heads, config, FIT_STEPS, seed, device)
    fitted, fit_picture = score_codes(model, codes, new_heads)
    write_png(folder / f"{arguments.name}.png", picture)
    write_png(folder / f"{arguments.name}-new.png", fit_picture)
    shutil.rmtree(states.folder)

    given = int((~new_heads.held_out).sum()) // len(new_heads.names)
    print(f"{arguments.heads} heads, {steps} steps in {seconds:.0f} s of this call, seed {seed}; ", end="")
    print(f"IoU of {int(views.held_out.sum())} held-out views of {views.size} px, ", end="")
    print(f"and of those of {len(new_heads.names)} new heads, codes fitted to {given} other views of each")
    print(table({"held-out views": held_out, "new heads": fitted}))
    worst, least = min(held_out.per_class().items(), key=lambda item: item[1])
    return [
        harness.verdict(f"IoU of the worst class, {worst}", least, at_least=LEAST_OF_A_CLASS),
        harness.verdict("mIoU of held-out views", held_out.miou(), at_least=arguments.least_miou),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
