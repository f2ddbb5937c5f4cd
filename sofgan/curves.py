"""Curves of a training as CSV, for DVC's plots."""

from pathlib import Path

from sofgan.files import write_bytes


def write_curve(path: str | Path, rows: list[dict[str, float]]) -> None:
    """Write rows of scalars under the union of their keys, in order of appearance; what a row lacks stays empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(columns)]
    lines += [",".join(f"{row[key]:.6g}" if key in row else "" for key in columns) for row in rows]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
