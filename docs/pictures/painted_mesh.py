"""Picture of painted meshes from all sides, for docs/use.md.

    python -m docs.pictures.painted_mesh [--models starter] [--heads 1 2]

A row a head, in the look of its own number, without light; from the left it turns by 60 degrees a picture.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.painted_mesh import rendered
from sofgan.apps.engine import Engine
from sofgan.apps.painted_mesh import painted_mesh
from sofgan.files import write_png

YAWS, SIZE = range(0, 360, 60), 192  # degrees, pixels
PAPER = 255.0


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = harness.parser(__doc__, threads=2, check=False)
    found.add_argument("--models", default="starter", help="folder of the models, or starter")
    found.add_argument("--heads", nargs="+", default=["1", "2"], help="seeds, or names of the field's own")
    found.add_argument("--out", type=Path, default=Path("docs/images/painted_mesh.png"))
    return found


def main(arguments) -> None:
    """Write the picture."""
    engine, rows = Engine.open(arguments.models), []
    for number, head in enumerate(arguments.heads):
        look = int(head) if head.isdecimal() else number
        mesh = painted_mesh(engine, engine.head(head), engine.look(look, engine.psi))
        sides = (rendered(mesh, engine.camera(yaw, 0.0, SIZE)) for yaw in YAWS)
        rows.append(np.concatenate([cover[..., None] * (color - PAPER) + PAPER for color, cover in sides], 1))
    write_png(arguments.out, np.concatenate(rows).round().clip(0, 255).astype(np.uint8))
    print(arguments.out)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
