"""Curves of trainings that are scored on the way."""

import math
from pathlib import Path

from sofgan.siw.running_scores import FLOOR, SCORE, scored_rows
from sofgan.training import write_curve


def write_curves(folder: Path, name: str, rows: list[dict[str, float]]) -> None:
    """Write <name>.csv of all reports, and <name>_scores.csv of those with scores.

    Where nothing was scored the latter has a row of no numbers, as DVC takes no plot without rows.
    """
    plain = [{key: value for key, value in row.items() if not key.startswith(SCORE)} for row in rows]
    write_curve(folder / f"{name}.csv", plain)
    none = {"kimg": rows[-1]["kimg"], SCORE: math.nan, FLOOR: math.nan}
    write_curve(folder / f"{name}_scores.csv", scored_rows(rows) or [none])
