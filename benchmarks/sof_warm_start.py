"""Adding scans to a trained field: going on from it against training anew.

    python -m benchmarks.sof_warm_start [--known 72] [--added 24] [--threads 2] [--check]

Trains params.yaml's train_sof on the first avatars of a batch, then on these and further ones, once anew and once from
the first field (`warm_start` of params.yaml). Mean IoU of held-out views, of
all heads and of the added ones. With `--check` the exit status is 1 unless going on takes at most half as long and is
nowhere more than 0.01 worse.
"""

import argparse
import dataclasses
import sys

import torch

from benchmarks import harness
from benchmarks.inputs.avatar_views import HEADS, avatar_views
from sofgan.sof.fitting import fit_codes, with_codes
from sofgan.sof.model import SofModel
from sofgan.sof.train import finish, train_sof, validate
from sofgan.sof.view_set import ViewSet, read_views
from sofgan.sof.warm_start import train_on

LEAST_FASTER, MOST_WORSE = 2.0, 0.01


def scores(model: SofModel, views: ViewSet, known: int) -> tuple[float, float]:
    """Mean IoU of all heads' held-out views, and of the added heads'."""
    added = list(range(known, len(views.names)))
    theirs = with_codes(model, model.codes[known:])
    return (
        validate(model, views, None)[0].miou(),
        validate(theirs, views.of_instances(added), None)[0].miou(),
    )


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, seed=0, cpu_seconds=True)
    found.add_argument("--known", type=int, default=72)
    found.add_argument("--added", type=int, default=24)
    return found


def main(arguments) -> list[bool]:
    device, seed, known_heads = arguments.device, arguments.seed, arguments.known
    files = avatar_views(*HEADS, arguments.threads)[: known_heads + arguments.added]
    config = harness.block("train_sof")
    config = dataclasses.replace(config, validate_every_steps=config.steps)
    views = read_views(files).to(device)
    known = views.of_instances(list(range(known_heads)))
    before, _ = train_sof(known, config, seed, device)
    previous, made = finish(before, known, config, seed), {}
    ways = {
        "anew": lambda _: made.update(anew=train_sof(views, config, seed, device)[0]),
        "going on": lambda _: made.update({"going on": train_on(previous, views, config, seed, device)[0]}),
    }
    seconds = harness.turns(ways, 1, harness.clock(arguments))
    added = views.of_instances(list(range(known_heads, len(views.names))))
    codes = fit_codes(before, added, config, config.fit_steps, seed, device)
    fitted = scores(with_codes(before, torch.cat((before.codes.detach(), codes))), views, known_heads)
    found = {name: scores(model, views, known_heads) for name, model in made.items()}

    steps = {"anew": config.steps, "going on": config.warm_start.steps}
    print(f"{known_heads} heads known, {arguments.added} added, seed {seed}\n")
    print(harness.head("training", "steps", "seconds", "mIoU, all heads", "added heads"))
    print(
        harness.row("none: codes fitted to the field as it is", 0, "", *(f"{score:.3f}" for score in fitted))
    )
    for name, of in found.items():
        print(harness.row(name, steps[name], f"{seconds[name][0]:.0f}", *(f"{score:.3f}" for score in of)))
    print()
    lost = [target - reached for target, reached in zip(found["anew"], found["going on"])]
    return [
        harness.verdict(
            "seconds anew by going on", seconds["anew"][0] / seconds["going on"][0], at_least=LEAST_FASTER
        ),
        harness.verdict("mIoU lost, all heads", lost[0], at_most=MOST_WORSE),
        harness.verdict("mIoU lost, added heads", lost[1], at_most=MOST_WORSE),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
