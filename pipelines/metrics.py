"""`python -m pipelines metrics`: the headline figures of all stages in one table, as the report's cards have them."""

import shutil
import sys
import textwrap
from pathlib import Path

from stages import paths
from stages.reporting.headlines import Row, read_figures, rows

NARROWEST, WIDEST, WHERE_UNKNOWN = 80, 120, 100  # columns
MADE = (paths.VIEWS, paths.PHOTOS["ffhq"], paths.SOF, paths.SIW)  # by stages, and not in git
OF_GIT = "They came with git, from the run that was committed: nothing has been run in this folder yet (`make demo`)."
WITH_NAMES = 100  # From so many columns on the names are shown that `dvc metrics` has for the figures.


def run() -> int:
    """Print the table, as wide as the terminal. Returns the exit status."""
    root = Path.cwd()
    if not (root / "dvc.yaml").is_file():
        print("no dvc.yaml here: run this in the project's root", file=sys.stderr)
        return 1
    columns = shutil.get_terminal_size((WHERE_UNKNOWN, 24)).columns
    width = max(NARROWEST, min(columns, WIDEST))
    figures = read_figures(root)
    text = table(rows(figures), width)
    if figures and not any((root / made).exists() for made in MADE):
        text += "\n".join(textwrap.wrap(OF_GIT, width)) + "\n"
    if not _can_print(text):  # A terminal that knows ASCII only.
        text = text.replace("–", "-")
    print(text, end="")
    return 0


def table(found: list[Row], width: int) -> str:
    """Lines of at most `width` characters: title, figure, N and what the figure is, which goes on below itself."""
    heads, aligned = ["what", "figure", "N"], "<><"
    cells = [[row.title, row.text, row.count] for row in found]
    if width >= WITH_NAMES:
        heads, aligned = [*heads, "in dvc"], f"{aligned}<"
        cells = [[*cell, row.short] for cell, row in zip(cells, found)]
    widths = [max(map(len, column)) for column in zip(heads, *cells)]
    room = width - sum(widths) - 2 * len(widths)

    def line(cells: list[str], note: str) -> str:
        parts = [f"{cell:{side}{wide}}" for cell, side, wide in zip(cells, aligned, widths)]
        return "  ".join([*parts, note]).rstrip()

    lines = [line(heads, "is")]
    for cell, row in zip(cells, found):
        for index, note in enumerate(textwrap.wrap(row.note, room) or [""]):
            lines.append(line([""] * len(heads) if index else cell, note))
    lines += ["", *textwrap.wrap("All figures: report/index.html, metrics/all/*.json, and MLflow.", width)]
    return "\n".join(lines) + "\n"


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
        return True
    except UnicodeEncodeError:
        return False
