"""Pictures of docs/gallery.md, by the commands that stand on that page.

    python -m docs.pictures.gallery [--only NAME ...]
    python -m docs.pictures.gallery --spread

Each `sofgan` command on the page is run from the repository's root, and writes the picture above it. With --spread it
prints how much looks differ by psi instead: standard deviations of the mean colors of a head's regions.
"""

import argparse
import re
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import harness
from sofgan.__main__ import main as sofgan
from sofgan.apps.engine import Engine
from sofgan.errors import InputError
from sofgan.labels import BACKGROUND, CLOTH, HAIR, SKIN, resize

PAGE = Path("docs/gallery.md")
HEAD, LOOKS, PSIS = 8, 60, (0.7, 1.0, 1.3)
REGIONS = {"background": BACKGROUND, "skin": SKIN, "hair": HAIR, "cloth": CLOTH}


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = argparse.ArgumentParser(
        prog="python -m docs.pictures.gallery", description=__doc__.splitlines()[0]
    )
    found.add_argument("--page", type=Path, default=PAGE)
    found.add_argument("--only", nargs="+", default=[], help="pictures to make, by name: heads (all)")
    found.add_argument("--spread", action="store_true", help="print how much looks differ, make no picture")
    return found


def commands(text: str) -> dict[Path, list[str]]:
    """Words after `sofgan` of each command in a page's blocks of code, by the file that it writes."""
    found = {}
    for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            name, *words = shlex.split(line)
            if name == "sofgan" and "--out" in words:
                found[Path(words[words.index("--out") + 1])] = words
    return found


def spread() -> None:
    """Print deviations of regions' mean colors over looks of the starter, of 255, for each psi."""
    engine = Engine.starter()
    labels = engine.quick_view(engine.head(HEAD), engine.camera(0, 0, 128)).labels
    small = resize(labels, engine.siw.resolution)
    for psi in PSIS:
        pictures = [engine.paint(labels, engine.look(seed, psi)) for seed in range(LOOKS)]
        colors = {name: [one[small == label].mean(0) for one in pictures] for name, label in REGIONS.items()}
        told = ", ".join(f"{name} {np.std(values, 0).mean():.0f}" for name, values in colors.items())
        print(f"psi {psi}: {told}")


def main(arguments) -> None:
    """Make the pictures, or print the looks' spread.

    Raises:
        InputError: the page has no such picture, or a command failed.
    """
    if arguments.spread:
        spread()
        return
    found = commands(arguments.page.read_text(encoding="utf-8"))
    if unknown := {*arguments.only} - {path.stem for path in found}:
        raise InputError(f"{arguments.page} has no picture {' and no '.join(sorted(unknown))}")
    for path, words in found.items():
        if arguments.only and path.stem not in arguments.only:
            continue
        began = time.perf_counter()
        path.parent.mkdir(parents=True, exist_ok=True)
        if sofgan(words):
            raise InputError(f"{path} was not made: sofgan {shlex.join(words)}")
        harness.tell(f"{path.stem}: {time.perf_counter() - began:.1f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
