"""Picture of trained ablations for docs/results.md: a head that turns and a head restyled region by region, a row each.

    python -m pipelines ablate constant-encoder layerwise-mixing no-mixing no-spade --seeds 3
    python -m docs.pictures.ablations constant-encoder layerwise-mixing no-mixing no-spade

It reads what the experiments NAME-TRIAL, and `default-TRIAL`, left in DVC's cache, for the present commit.
"""

import argparse
import io
import sys
from pathlib import Path

import dvc.api
import numpy as np
from PIL import Image

from benchmarks import harness
from pipelines.ablations import DEFAULT, revisions
from sofgan.errors import MissingInput
from sofgan.files import write_png
from stages.paths import EVALUATION, SIW_PICTURES

TURNED, RESTYLED = Path(EVALUATION, "turntable.png"), Path(SIW_PICTURES, "restyle.png")
TURNED_ROW, RESTYLED_ROW = 1, 2  # of these sheets; the first row of the former has label maps
GAP = 12  # pixels between both


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = argparse.ArgumentParser(
        prog="python -m docs.pictures.ablations", description=__doc__.splitlines()[0]
    )
    found.add_argument("names", nargs="+", help="of pipelines/ablations.yaml, a row each below the default's")
    found.add_argument("--trial", type=int, default=0)
    found.add_argument("--out", type=Path, default=Path("docs/images/ablations.png"))
    return found


def main(arguments) -> None:
    """Write the picture.

    Raises:
        MissingInput: an experiment was not run of this commit.
    """
    root = Path.cwd()
    wanted = [f"{name}-{arguments.trial}" for name in (DEFAULT, *arguments.names)]
    found = revisions(root, wanted)
    if missing := [name for name in wanted if name not in found]:
        raise MissingInput(
            f"no experiment {' and no '.join(missing)} of this commit: `python -m pipelines ablate`"
        )
    rows = []
    for name in wanted:
        turned, restyled = (sheet(root, found[name], path) for path in (TURNED, RESTYLED))
        side = len(turned) // 4
        if not rows:
            rows.append(beside(turned[:side], restyled[RESTYLED_ROW * side :][:side, :side]))
        rows.append(beside(turned[TURNED_ROW * side :][:side], restyled[RESTYLED_ROW * side :][:side, side:]))
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    write_png(arguments.out, np.concatenate(rows))
    print(arguments.out)


def sheet(root: Path, revision: str, path: Path) -> np.ndarray:
    """A sheet of an experiment, (H, W, 3) uint8."""
    content = dvc.api.read(path.as_posix(), repo=str(root), rev=revision, mode="rb")
    return np.array(Image.open(io.BytesIO(content)).convert("RGB"))


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two strips of one height with a gap between them."""
    return np.concatenate([left, np.full((len(left), GAP, 3), 255, np.uint8), right], 1)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
