"""Curves of a training, and scores of classes, as CSV for DVC's plots."""

from pathlib import Path

from sofgan.files import write_bytes
from sofgan.labels import NAMES


def write_curve(path: str | Path, rows: list[dict[str, float]]) -> None:
    """Write rows of scalars under the union of their keys, in order of appearance; what a row lacks stays empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(columns)]
    lines += [",".join(f"{row[key]:.6g}" if key in row else "" for key in columns) for row in rows]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def write_classes(path: str | Path, **scores: dict[str, float]) -> None:
    """Write a row a class: `class`, then a column a mapping of class names to scores; what one lacks stays empty.

    Rows are in the order of the classes' ids, of those that occur in any of the mappings.
    """
    classes = [name for name in NAMES if any(name in values for values in scores.values())]
    lines = [",".join(["class", *scores])]
    for name in classes:
        cells = [f"{values[name]:.6g}" if name in values else "" for values in scores.values()]
        lines.append(",".join([name, *cells]))
    write_bytes(path, ("\n".join(lines) + "\n").encode())
