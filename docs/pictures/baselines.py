"""The curves that `benchmarks.baselines` has measured, as the paper's Fig. 9: scores over photos seen, a line a method.

    python -m docs.pictures.baselines [--curves .work/benchmarks/baselines/curves.csv]
        [--out docs/images/baselines_curves.png] [--sheet .work/benchmarks/baselines/pictures.png]

A line is the mean over seeds, and the band around it lies between the smallest and the largest of them. With --sheet
the benchmark's pictures.png is written beside it as baselines.png, without its second column: photos of people.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import harness
from benchmarks.baselines import ROWS
from sofgan.files import atomic_path, write_png

SCORES = {"fd_lite0": "fd_lite0", "fd_lite2": "fd_lite2", "control_miou_frequent": "control (mIoU)"}
FLOOR = "_floor"


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, check=False)
    found.add_argument("--curves", type=Path, default=harness.CACHE / "baselines/curves.csv")
    found.add_argument("--out", type=Path, default=Path("docs/images/baselines_curves.png"))
    found.add_argument("--sheet", type=Path, help="the benchmark's sheet of pictures")
    return found


def without_photos(sheet: np.ndarray, size: int) -> np.ndarray:
    """A sheet (H, W, 3) of pictures of so many pixels without the second column."""
    return np.concatenate((sheet[:, :size], sheet[:, 2 * size :]), 1)


def read_curves(path: Path) -> tuple[dict[str, dict[float, dict[str, list[float]]]], dict[str, float]]:
    """Values over seeds by method, thousands of photos and score; and the floors of scores that have any."""
    found: dict = {}
    floors: dict[str, float] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            at = found.setdefault(row["method"], {}).setdefault(float(row["kimg"]), {})
            for score in SCORES:
                at.setdefault(score, []).append(float(row[score]))
                if row.get(score + FLOOR):
                    floors[score] = float(row[score + FLOOR])
    return found, floors


def main(arguments) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    curves, floors = read_curves(arguments.curves)
    figure, panels = pyplot.subplots(1, len(SCORES), figsize=(12, 3.6), layout="constrained")
    for panel, (score, title) in zip(panels, SCORES.items()):
        for method, looks in curves.items():
            kimg = sorted(looks)
            values = [looks[at][score] for at in kimg]
            (line,) = panel.plot(kimg, [np.mean(some) for some in values], label=method, marker="o", ms=3)
            lowest, highest = [min(some) for some in values], [max(some) for some in values]
            panel.fill_between(kimg, lowest, highest, color=line.get_color(), alpha=0.15, lw=0)
        if score in floors:
            panel.axhline(floors[score], color="gray", ls=":", label="held-out photos")
            panel.set_yscale("log")
        panel.set_title(title)
        panel.set_xlabel("thousands of photos seen")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=9)
    with atomic_path(arguments.out) as path:
        figure.savefig(path, format="png", dpi=100, metadata={"Software": None})
    if arguments.sheet:
        sheet = np.asarray(Image.open(arguments.sheet))
        shown = without_photos(sheet, sheet.shape[0] // ROWS)
        write_png(arguments.out.with_name("baselines.png"), shown)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
