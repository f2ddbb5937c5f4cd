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
import time
from pathlib import Path

import torch
import yaml

from benchmarks.avatar_views import SEED, avatar_views
from sofgan.config import from_mapping
from sofgan.runtime import use_cpu
from sofgan.sof.config import TrainSof
from sofgan.sof.data import ViewSet, read_views
from sofgan.sof.fitting import fit_codes, with_codes
from sofgan.sof.model import SofModel
from sofgan.sof.train import finish, train_sof, validate
from sofgan.sof.warm_start import train_on

BATCH, SCANS = "field-300", 300  # of which the first are used
FASTER, WORSE = 2.0, 0.01


def scores(model: SofModel, views: ViewSet, known: int) -> tuple[float, float]:
    """Mean IoU of all heads' held-out views, and of the added heads'."""
    added = list(range(known, len(views.names)))
    theirs = with_codes(model, model.codes[known:])
    return (
        validate(model, views, None)[0].miou(),
        validate(theirs, views.of_instances(added), None)[0].miou(),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--known", type=int, default=72)
    parser.add_argument("--added", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    use_cpu(arguments.threads)
    files = avatar_views(BATCH, SCANS, arguments.threads)[: arguments.known + arguments.added]
    config = from_mapping(TrainSof, yaml.safe_load(Path("params.yaml").read_text())["train_sof"], "train_sof")
    config = dataclasses.replace(config, validate_every_steps=config.steps)
    views = read_views(files).to(arguments.device)
    known = views.of_instances(list(range(arguments.known)))
    before, _ = train_sof(known, config, SEED, arguments.device)
    previous = finish(before, known, config, SEED)

    found = {}
    began = time.perf_counter()
    anew, _ = train_sof(views, config, SEED, arguments.device)
    found["anew"] = (config.steps, time.perf_counter() - began, *scores(anew, views, arguments.known))
    began = time.perf_counter()
    model, _ = train_on(previous, views, config, SEED, arguments.device)
    found["from the field"] = (
        config.warm_start.steps,
        time.perf_counter() - began,
        *scores(model, views, arguments.known),
    )
    added = views.of_instances(list(range(arguments.known, len(views.names))))
    codes = fit_codes(before, added, config, config.fit_steps, SEED, arguments.device)
    fitted = scores(with_codes(before, torch.cat((before.codes.detach(), codes))), views, arguments.known)

    print(f"{arguments.known} heads known, {arguments.added} added\n")
    print("| training | steps | seconds | mIoU, all heads | added heads |\n| --- | --- | --- | --- | --- |")
    print(f"| none: codes fitted to the field as it is | 0 | | {fitted[0]:.3f} | {fitted[1]:.3f} |")
    for name, (steps, seconds, everyone, added) in found.items():
        print(f"| {name} | {steps} | {seconds:.0f} | {everyone:.3f} | {added:.3f} |")
    (_, slow, *target), (_, fast, *reached) = found["anew"], found["from the field"]
    print(f"\ngoing on takes 1 / {slow / fast:.1f} of the time")
    good = slow / fast >= FASTER and all(a >= b - WORSE for a, b in zip(reached, target))
    return int(arguments.check and not good)


if __name__ == "__main__":
    sys.exit(main())
