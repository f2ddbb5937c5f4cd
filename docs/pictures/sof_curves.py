"""The curves that `benchmarks.sof` has measured: held-out mIoU over seconds of training.

python -m docs.pictures.sof_curves [--curves docs/sof_curves.csv] [--out docs/images/sof_curves.png]
"""

import argparse
import csv
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks import harness
from sofgan.files import write_png

COLORS = {
    "default": (200, 60, 40),
    "quick": (230, 150, 40),
    "paper-256": (40, 90, 170),
    "paper-64": (130, 90, 170),
    "lstm-64": (30, 140, 90),
}
Point = tuple[float, float]  # seconds, mIoU


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, check=False)
    found.add_argument("--curves", type=Path, default="docs/sof_curves.csv")
    found.add_argument("--title", default="", help="above the curves: what they are of")
    found.add_argument("--out", type=Path, default="docs/images/sof_curves.png")
    return found


def main(arguments) -> None:
    write_png(arguments.out, picture(read_curves(arguments.curves), arguments.title))


def read_curves(path: Path) -> dict[str, list[Point]]:
    """Points of each preset, in the file's order."""
    runs: dict[str, list[Point]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            runs.setdefault(row["preset"], []).append((float(row["seconds"]), float(row["miou"])))
    return runs


def picture(runs: dict[str, list[Point]], title: str) -> np.ndarray:
    """The curves, mIoU over seconds of training in powers of two: (H, W, 3) uint8."""
    scale = 2  # drawn so many times larger, then made smaller, for smooth lines
    width, height, left, right, top, bottom = (scale * side for side in (760, 420, 60, 120, 40, 50))
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12 * scale)
    first = math.floor(math.log2(max(1.0, min(points[0][0] for points in runs.values()))))
    last = math.log2(max(points[-1][0] for points in runs.values()))

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
    for name, points in runs.items():
        places = [place(*point) for point in points]
        draw.line(places, COLORS[name], 2 * scale, joint="curve")
        end = (places[-1][0] + 6 * scale, places[-1][1])
        draw.text(end, f"{name} {points[-1][1]:.2f}", COLORS[name], font, anchor="lm")
    return np.asarray(image.resize((width // scale, height // scale), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
