"""Label views of a field: every sample of every ray against views that skip what they can't see.

Four ways draw the same heads from the same cameras: dense (64 samples along every ray), one-off (a code's
occupancy is found for each view), kept (it was found before) and baked (a grid without the field's network).
Run from the project's root:

    python -m benchmarks.sof_render --model models/sof.pt [--views data/views] [--check]

Times are medians over views. The mean IoU is against the held-out views of `--views`, else against dense views
with four times the samples. The last line is how many times faster than dense one-off views of 128x128 are; with
`--check` the exit status is 1 where one-off or kept ones are less than 8 times faster or their mean IoU is more
than 0.005 below dense's.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sofgan import cameras
from sofgan.apps.baked import bake
from sofgan.cameras import Camera
from sofgan.runtime import use_cpu
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import numpy_generator
from sofgan.sof.rays import as_tensors
from sofgan.sof.render import SAMPLES, picture, project_dense, render_view
from sofgan.sof.sof import Sof, load_sof

REQUIRED_RATIO, ALLOWED_LOSS = 8.0, 0.005
SIZES = (128, 256)
UNSCORED_VIEWS = 4  # timed at sizes without truth

Clock = Callable[[], float]  # seconds
View = tuple[int, np.ndarray, np.ndarray, np.ndarray | None]  # instance, cam2world, intrinsics, label map


def _held_out(sof: Sof, folder: Path, count: int) -> list[View]:
    """`count` held-out views, in turn of as many of the field's heads as have files under the folder."""
    found: list[View] = []
    for index, name in enumerate(sof.instance_names):
        for path in (folder / f"{name}.npz", folder / f"{Path(name).name}.npz"):
            if path.exists():
                with np.load(path) as arrays:
                    held_out = np.flatnonzero(arrays["split"])[:1]
                    found += [
                        (index, arrays["cam2world"][i], arrays["intrinsics"], arrays["labels"][i])
                        for i in held_out
                    ]
                break
    if not found:
        raise SystemExit(f"{folder} has no held-out views of the field's heads")
    return found[:: max(1, len(found) // count)][:count]


def _drawn(sof: Sof, count: int) -> list[View]:
    """Views from random cameras, with dense views of four times the samples as truth."""
    rng = numpy_generator(0, "benchmark sof cameras")
    poses = cameras.orbit(rng.uniform(-0.8, 0.8, count), rng.uniform(-0.3, 0.4, count), sof.radius)
    intrinsics = sof.intrinsics.cpu().numpy()
    views = []
    for number, pose in enumerate(poses):
        index = number * len(sof.instance_names) // count
        with torch.no_grad():
            camera = as_tensors(Camera(pose, intrinsics, SIZES[0]), sof.device)
            fine = project_dense(sof.model, sof.generate(sof.codes[index]), camera, 4 * SAMPLES)
        views.append((index, pose, intrinsics, picture(fine, SIZES[0]).labels.cpu().numpy()))
    return views


def _ways(sof: Sof, views: list[View], clock: Clock) -> tuple[dict[str, Callable], dict[str, float]]:
    """How to draw a view of an instance from a camera, and ms that are spent once a code."""
    used = sorted({view[0] for view in views})
    made, kept, baked, once = {}, {}, {}, {"kept": [], "baked": []}
    for index in used:
        made[index] = sof.generate(sof.codes[index])
        for name, store, make in (("kept", kept, sof.prepare), ("baked", baked, lambda r: bake(sof, r))):
            start = _now(sof, clock)
            store[index] = make(made[index])
            once[name].append(1e3 * (_now(sof, clock) - start))

    def dense(index, camera):
        return render_view(sof.model, made[index], as_tensors(camera, sof.device), dense=True)

    ways = {
        "dense": dense,
        "one-off": lambda index, camera: sof.render(made[index], camera),
        "kept": lambda index, camera: sof.render(kept[index], camera),
        "baked": lambda index, camera: baked[index].render(camera),
    }
    return ways, {name: statistics.median(times) for name, times in once.items()}


def _now(sof: Sof, clock: Clock) -> float:
    if sof.device.type == "cuda":
        torch.cuda.synchronize(sof.device)
    return clock()


def _measure(
    sof: Sof, ways, views: list[View], size: int, clock: Clock
) -> tuple[dict[str, float], dict[str, float]]:
    """Median ms of each way, and its mean IoU where the views' label maps have this size."""
    scored = size == len(views[0][3])
    confusions = {name: ConfusionMatrix() for name in ways}
    times = {name: [] for name in ways}
    for draw in ways.values():
        index, pose, intrinsics, _ = views[0]
        draw(index, Camera(pose, intrinsics, size))  # Warms up.
    # Views are the outer loop, so that what else the machine does slows all ways alike.
    for index, pose, intrinsics, label_map in views if scored else views[:UNSCORED_VIEWS]:
        for name, draw in ways.items():
            start = _now(sof, clock)
            view = draw(index, Camera(pose, intrinsics, size))
            times[name].append(1e3 * (_now(sof, clock) - start))
            if scored:
                confusions[name].update(view.labels.cpu().numpy(), label_map)
    scores = {name: confusion.miou() for name, confusion in confusions.items()} if scored else {}
    return {name: statistics.median(values) for name, values in times.items()}, scores


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a field that train_sof wrote")
    parser.add_argument("--views", type=Path, help="folder of view files, which hold the truth")
    parser.add_argument("--count", type=int, default=12, help="views")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu-clock", action="store_true", help="CPU time, where others use the machine too")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    arguments = parser.parse_args()
    use_cpu(arguments.threads)
    clock = time.process_time if arguments.cpu_clock else time.perf_counter
    sof = load_sof(arguments.model, arguments.device)
    if sof.config.marcher.kind != "volume":
        raise SystemExit("a learned marcher walks every ray: there is nothing to compare")
    views = (
        _held_out(sof, arguments.views, arguments.count) if arguments.views else _drawn(sof, arguments.count)
    )
    ways, once = _ways(sof, views, clock)
    truth = "held-out views" if arguments.views else f"dense views of {4 * SAMPLES} samples"
    machine = f"{arguments.threads} threads, {sof.device}" + (", CPU time" if arguments.cpu_clock else "")
    print(f"{len(views)} views, {machine}; mean IoU against {truth}")
    medians, scores = {}, {}
    for size in SIZES:
        medians[size], found = _measure(sof, ways, views, size, clock)
        scores |= found
        for name, ms in medians[size].items():
            line = f"{size}x{size} {name:8s}{ms:8.1f} ms {1e3 / ms:7.1f} views/s"
            line += f" {medians[size]['dense'] / ms:6.1f} x dense"
            line += f", mIoU {found[name]:.4f}" if found else ""
            line += f", once a code {once[name]:.0f} ms" if name in once and found else ""
            print(line, flush=True)
    ratios = {name: medians[SIZES[0]]["dense"] / ms for name, ms in medians[SIZES[0]].items()}
    losses = {name: scores["dense"] - scores[name] for name in ("one-off", "kept", "baked")}
    print("mIoU lost " + ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()))
    print(f"ratio {ratios['one-off']:.1f}")
    missed = any(ratios[n] < REQUIRED_RATIO or losses[n] > ALLOWED_LOSS for n in ("one-off", "kept"))
    return int(arguments.check and missed)


if __name__ == "__main__":
    sys.exit(main())
