"""Recipes of the generator's training beside the default: means over seeds, and differences seed by seed.

    python -m benchmarks.recipe_table CURVES.csv [CURVES.csv ...] [--base default]

Reads files that `siw_convergence --curves` wrote, of trainings of as many seconds each on equal photos, and prints
Markdown tables of each training's last look. The first has means and standard deviations over seeds. The others have
differences to the base, of what is better one way, then of the rest: trainings of one seed show the same photos and
maps in the same order, so each is compared with the base's of its seed. The interval is Student's of 95 percent over
seeds. Where it doesn't hold 0, the figure is marked: better or worse, or apart where neither more nor less is good in
itself. Of many figures some are marked by chance: one in twenty.
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks import harness
from sofgan.errors import InputError
from sofgan.scores.intervals import of_seeds

# Of the benchmark's figures: title, decimal places, and whether more is better; None: neither in itself.
COLUMNS = {
    "kimg": ("kimg", 2, None),
    "fd_lite0": ("lite0", 0, False),
    "fd_lite2": ("lite2", 0, False),
    "fd_unet": ("unet", 3, False),
    "control": ("control", 3, True),
    "spread_hair": ("spread of hair", 2, None),
    "spread_skin": ("of skin", 2, None),
}
UNLIKE_SECONDS = 0.1  # share by which trainings that are compared may differ in length

Looks = Mapping[str, Mapping[int, Mapping[str, float]]]  # last looks by recipe and seed


def read_looks(files: Sequence[Path]) -> dict[str, dict[int, dict[str, float]]]:
    """Last looks by recipe and seed.

    Raises:
        InputError: a file is none of the benchmark's, two files have the same training, or lengths differ.
    """
    found: dict[str, dict[int, dict[str, float]]] = {}
    for file in files:
        with open(file, newline="") as opened:
            rows = list(csv.DictReader(opened))
        if not rows or not {"recipe", "seed", "seconds", *COLUMNS} <= rows[0].keys():
            raise InputError(f"{file} has no rows of siw_convergence --curves")
        own: dict[tuple[str, int], dict[str, float]] = {}
        for row in rows:  # A later look takes the place of an earlier one.
            own[row["recipe"], int(row["seed"])] = {key: float(row[key]) for key in ("seconds", *COLUMNS)}
        for (name, seed), look in own.items():
            if seed in found.setdefault(name, {}):
                raise InputError(f"{name} with seed {seed} is in two files")
            found[name][seed] = look
    seconds = [look["seconds"] for looks in found.values() for look in looks.values()]
    if max(seconds) > (1 + UNLIKE_SECONDS) * min(seconds):
        raise InputError(f"trainings of {min(seconds):.0f} to {max(seconds):.0f} seconds can't be compared")
    return found


def means(looks: Looks) -> str:
    """A Markdown table of means and standard deviations over seeds, a row a recipe."""
    lines = [harness.head("recipe", "seeds", *(title for title, _, _ in COLUMNS.values()))]
    for name, by_seed in looks.items():
        cells = [
            _mean([look[key] for look in by_seed.values()], places) for key, (_, places, _) in COLUMNS.items()
        ]
        lines.append(harness.row(name, len(by_seed), *cells))
    return "\n".join(lines)


def differences(looks: Looks, base: str, judged: bool) -> str:
    """A Markdown table of differences to the base, with intervals over the seeds that both have, a row a recipe.

    Args:
        judged: of figures that are better one way; False: of the others.

    Raises:
        InputError: the base was not trained.
    """
    if base not in looks:
        raise InputError(f"no training of {base} to compare with, only of {', '.join(looks)}")
    columns = {key: column for key, column in COLUMNS.items() if (column[2] is not None) == judged}
    lines = [harness.head(f"recipe less {base}", "seeds", *(title for title, _, _ in columns.values()))]
    for name, by_seed in looks.items():
        if name == base:
            continue
        seeds = sorted(by_seed.keys() & looks[base].keys())
        cells = [
            _difference([by_seed[seed][key] - looks[base][seed][key] for seed in seeds], places, more)
            for key, (_, places, more) in columns.items()
        ]
        lines.append(harness.row(name, len(seeds), *cells))
    return "\n".join(lines)


def _mean(values: list[float], places: int) -> str:
    """Mean and deviation as text; a single value as it is."""
    if len(values) == 1:
        return f"{values[0]:.{places}f}"
    return f"{np.mean(values):.{places}f} ± {np.std(values, ddof=1):.{places}f}"


def _difference(values: list[float], places: int, more: bool | None) -> str:
    """Mean of differences with its interval as text, marked where that doesn't hold 0; a single one as it is."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:+.{places}f}"
    found = of_seeds(values)
    mark = ""
    if found.low > 0 or found.high < 0:
        mark = " apart" if more is None else " better" if (found.value > 0) == more else " worse"
    return f"{found.value:+.{places}f} ({found.low:+.{places}f} to {found.high:+.{places}f}){mark}"


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, check=False)
    found.add_argument("curves", type=Path, nargs="+", metavar="CURVES.csv")
    found.add_argument("--base", default="default", help="the recipe that others are compared with")
    return found


def main(arguments) -> None:
    looks = read_looks(arguments.curves)
    tables = (differences(looks, arguments.base, judged) for judged in (True, False))
    print(means(looks), *tables, sep="\n\n")


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
