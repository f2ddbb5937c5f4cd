"""Label views of a field: every sample of every ray against views that skip what they can't see.

Four ways draw the same heads from the same cameras: dense (64 samples along every ray), one-off (a code's
occupancy is found for each view), kept (it was found before) and baked (a grid without the field's network).
Run from the project's root:

    python -m benchmarks.sof_render --model models/sof.pt [--views data/views] [--check]

Times are medians over views, which the ways draw in turns. The mean IoU is against the held-out views of `--views`,
else against dense views with four times the samples. Limits: one-off and kept views of 128x128 are 8 times as fast as
dense ones, and their mean IoU is 0.005 below dense's.
"""

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness
from benchmarks.inputs.avatar_views import views_folder
from sofgan import cameras
from sofgan.apps.baked import bake
from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import numpy_generator
from sofgan.sof.rays import as_tensors
from sofgan.sof.render import SAMPLES, picture, project_dense, render_view
from sofgan.sof.sof import Sof, load_sof

LEAST_RATIO, MOST_LOST = 8.0, 0.005
SIZES = (128, 256)
UNSCORED_VIEWS = 4  # timed at sizes without truth

View = tuple[int, Camera, np.ndarray]  # instance, camera, true label map


def _held_out(sof: Sof, folder: Path, count: int) -> list[View]:
    """`count` held-out views, in turn of as many of the field's heads as have files under the folder."""
    found: list[View] = []
    for index, name in enumerate(sof.instance_names):
        for path in (folder / f"{name}.npz", folder / f"{Path(name).name}.npz"):
            if path.exists():
                with np.load(path) as arrays:
                    held_out, maps = np.flatnonzero(arrays["split"])[:1], arrays["labels"]
                    around = Camera(arrays["cam2world"], arrays["intrinsics"], maps.shape[-1])
                    found += [(index, around[i], maps[i]) for i in held_out]
                break
    if not found:
        raise InputError(f"{folder} has no held-out views of the field's heads")
    return found[:: max(1, len(found) // count)][:count]


def _drawn(sof: Sof, count: int) -> list[View]:
    """Views from random cameras, with dense views of four times the samples as truth."""
    rng = numpy_generator(0, "benchmark sof cameras")
    poses = cameras.orbit(rng.uniform(-0.8, 0.8, count), rng.uniform(-0.3, 0.4, count), sof.radius)
    around = Camera(poses, sof.intrinsics.cpu().numpy(), SIZES[0])
    views = []
    for number, camera in enumerate(around):
        index = number * len(sof.instance_names) // count
        with torch.no_grad():
            made = sof.generate(sof.codes[index])
            fine = project_dense(sof.model, made, as_tensors(camera, sof.device), 4 * SAMPLES)
        views.append((index, camera, picture(fine, SIZES[0]).labels.cpu().numpy()))
    return views


def _ways(sof: Sof, views: list[View], clock: harness.Clock) -> tuple[dict[str, Callable], dict[str, float]]:
    """How to draw a view of an instance from a camera, and ms that are spent once a code."""
    used = sorted({view[0] for view in views})
    made, kept, baked, once = {}, {}, {}, {"kept": [], "baked": []}
    for index in used:
        made[index] = sof.generate(sof.codes[index])
        for name, store, make in (("kept", kept, sof.prepare), ("baked", baked, lambda r: bake(sof, r))):
            start = clock()
            store[index] = make(made[index])
            once[name].append(1e3 * (clock() - start))

    def dense(index: int, camera: Camera):
        return render_view(sof.model, made[index], as_tensors(camera, sof.device), dense=True)

    ways = {
        "dense": dense,
        "one-off": lambda index, camera: sof.render(made[index], camera),
        "kept": lambda index, camera: sof.render(kept[index], camera),
        "baked": lambda index, camera: baked[index].render(camera),
    }
    return ways, {name: statistics.median(times) for name, times in once.items()}


def _measure(
    ways, views: list[View], size: int, clock: harness.Clock
) -> tuple[dict[str, float], dict[str, float]]:
    """Median ms of each way, and its mean IoU where the views' label maps have this size."""
    scored = size == views[0][1].size
    cameras_at = [dataclasses.replace(camera, size=size) for _, camera, _ in views]
    confusions = {name: ConfusionMatrix() for name in ways}
    shown: dict[str, list] = {name: [] for name in ways}

    def drawing(name: str, draw) -> Callable[[int], None]:
        return lambda number: shown[name].append(draw(views[number][0], cameras_at[number]))

    for draw in ways.values():
        draw(views[0][0], cameras_at[0])  # Warms up.
    rounds = len(views) if scored else min(UNSCORED_VIEWS, len(views))
    seconds = harness.turns({name: drawing(name, draw) for name, draw in ways.items()}, rounds, clock)
    for name, drawn in shown.items() if scored else ():
        for view, (*_, label_map) in zip(drawn, views):
            confusions[name].update(view.labels.cpu().numpy(), label_map)
    scores = {name: confusion.miou() for name, confusion in confusions.items()} if scored else {}
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}, scores


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, cpu_seconds=True)
    found.add_argument("--model", required=True, help="a field that train_sof wrote")
    found.add_argument(
        "--views",
        help="folder of view files, which hold the truth; field-300: those of benchmarks.sof_quality",
    )
    found.add_argument("--count", type=int, default=12, help="views")
    return found


def main(arguments) -> list[bool]:
    clock = harness.clock(arguments)
    sof = load_sof(arguments.model, arguments.device)
    if sof.config.marcher.kind != "volume":
        raise InputError("a learned marcher walks every ray: there is nothing to compare")
    if arguments.views:
        views, truth = _held_out(sof, views_folder(arguments.views), arguments.count), "held-out views"
    else:
        views, truth = _drawn(sof, arguments.count), f"dense views of {4 * SAMPLES} samples"
    true_size = views[0][1].size
    if true_size not in SIZES:
        raise InputError(
            f"views of {true_size} px: those of {' or '.join(map(str, SIZES))} px can be compared"
        )
    ways, once = _ways(sof, views, clock)
    print(f"{len(views)} views; mean IoU against {truth}")
    medians, scores = {}, {}
    for size in SIZES:
        medians[size], found = _measure(ways, views, size, clock)
        scores |= found
        for name, ms in medians[size].items():
            line = f"{size}x{size} {name:8s}{ms:8.1f} ms {1e3 / ms:7.1f} views/s"
            line += f" {medians[size]['dense'] / ms:6.1f} x dense"
            line += f", mIoU {found[name]:.4f}" if found else ""
            line += f", once a code {once[name]:.0f} ms" if name in once and found else ""
            print(line, flush=True)
    ratios = {name: medians[SIZES[0]]["dense"] / ms for name, ms in medians[SIZES[0]].items()}
    limited = ("one-off", "kept")
    return [
        *(harness.verdict(f"{name} by dense", ratios[name], at_least=LEAST_RATIO) for name in limited),
        *(
            harness.verdict(f"mIoU lost, {name}", scores["dense"] - scores[name], at_most=MOST_LOST)
            for name in limited
        ),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
