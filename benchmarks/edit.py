"""Whether a head follows its edited map on the sides that nobody painted.

    python -m benchmarks.edit [--models FOLDER] [--pairs 24] [--check]

Of avatars that the field was trained on, those with short hair are taken, and each is built again with a bob or long
hair and nothing else changed. In the field's frontal map of the short-haired one, the hair becomes that of the
long-haired one; the head is fitted to it (`sofgan.apps.edit`). Six other views, up to 45 degrees to either side, are
then scored against the long-haired avatar's own, and so are those of the head as it was: no edit.

Scores are IoU over the six views of a head: of hair; mean over hair, background and cloth, which hair hides; and mean
over all other classes that the long-haired avatar shows. Intervals are of 95 percent over heads.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.inputs.hair_pairs import hair_pairs
from sofgan.apps.edit import edit_head
from sofgan.apps.engine import Engine
from sofgan.errors import InputError
from sofgan.evaluation.intervals import over_heads
from sofgan.files import write_png
from sofgan.labels import BACKGROUND, CLOTH, HAIR, NUM_CLASSES, colorize
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.siw.shoulders import add_shoulders

YAWS, SIZE = (
    (0.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0),
    128,
)  # degrees, the first is the edited view; pixels
LEAST_GAIN, MOST_LOSS, MOST_SECONDS = 0.1, 0.02, 10.0
HIDDEN = (HAIR, BACKGROUND, CLOTH)
NAMES = ("hair", "hair, background, cloth", "other classes")


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, seed=0, cpu_seconds=True)
    found.add_argument("--models", default="starter", help="folder of a field of the avatars, or starter")
    found.add_argument("--pairs", type=int, default=24, help="avatars at most")
    found.add_argument("--sheet", type=Path, help="PNG to write the maps of all pairs to")
    return found


def scores(views: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """IoU of label maps (V, S, S) by the truth's: of hair, of what hair hides, of the other classes in the truth."""
    confusion = ConfusionMatrix().update(views, truth)
    others = [k for k in range(NUM_CLASSES) if k not in HIDDEN and (truth == k).any()]
    return float(confusion.iou()[HAIR]), confusion.miou(list(HIDDEN)), confusion.miou(others)


def main(arguments) -> list[bool]:
    engine = Engine.open(arguments.models)
    cameras = engine.framing.camera(np.radians(YAWS), np.zeros(len(YAWS)), SIZE)
    known = [name for name, number in zip(engine.sof.instance_names, engine.sof.rounds) if number == 1]
    pairs = hair_pairs(known, cameras, arguments.pairs)
    if not pairs:
        raise InputError(f"{arguments.models} has no field of the embedded avatars")
    clock, rows, seconds, edits, sheet = harness.clock(arguments), [], [], [], []
    for pair in pairs:
        head = engine.head(pair.name)
        truth = np.stack([add_shoulders(*both) for both in zip(pair.long, cameras)])
        before = np.stack([engine.view(head, camera).labels for camera in cameras])
        wanted = np.where((before[0] == HAIR) != (truth[0] == HAIR), truth[0], before[0])
        began = clock()
        edit = edit_head(engine, head, cameras[0], wanted, arguments.seed)
        seconds.append(clock() - began)
        after = np.stack([engine.view(edit.head, camera).labels for camera in cameras])
        rows.append((scores(before[1:], truth[1:]), scores(after[1:], truth[1:])))
        edits.append((edit.followed, edit.kept))
        told = ", ".join(f"{name} {a:.3f} to {b:.3f}" for name, a, b in zip(NAMES, *rows[-1]))
        harness.tell(f"{pair.name}, {pair.style}: {told}; {seconds[-1]:.1f} s")
        sheet.append(np.concatenate([colorize(m) for m in (before[0], wanted, *after, *truth[1:])], 1))
    if arguments.sheet:
        write_png(arguments.sheet, np.concatenate(sheet))
    values = np.array(rows)  # (pairs, before and after, three scores)
    print(harness.head(f"IoU of {len(pairs)} heads, other views", "no edit", "edited", "gain", "interval"))
    gains = {}
    for column, name in enumerate(NAMES):
        gain = values[:, 1, column] - values[:, 0, column]
        found = over_heads(lambda v: v[..., 0].mean(-1), gain[:, None], "gain")
        gains[name] = found["gain"]
        interval = f"{found['gain_low']:+.3f} to {found['gain_high']:+.3f}"
        print(
            harness.row(
                name, *(f"{v:.3f}" for v in values[..., column].mean(0)), f"{gains[name]:+.3f}", interval
            )
        )
    followed, kept = np.mean(edits, 0)
    print(f"edited view: {followed:.3f} of the painted pixels as painted, {kept:.4f} of the others as before")
    print(
        f"heads whose other classes lose more than {MOST_LOSS}: {(values[:, 1, 2] < values[:, 0, 2] - MOST_LOSS).sum()}"
    )
    return [
        harness.verdict("gain of hair's IoU", gains["hair"], at_least=LEAST_GAIN),
        harness.verdict("gain of mIoU of hair, background and cloth", gains[NAMES[1]], at_least=LEAST_GAIN),
        harness.verdict("gain of mIoU of other classes", gains[NAMES[2]], at_least=-MOST_LOSS),
        harness.verdict("median seconds", float(np.median(seconds)), at_most=MOST_SECONDS),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
