"""Features of photos, kept from one evaluation to the next: of the same photos, extractors, size and code they are the
same."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from sofgan.errors import InputError
from sofgan.evaluation.shards import Colors, Features
from sofgan.files import atomic_path
from sofgan.fingerprint import short_digest

KEPT = 12  # files: the newest used


def kept_features(
    folder: Path, made_of, make: Callable[[], tuple[Features, Colors]]
) -> tuple[Features, Colors]:
    """What `make` gives (`photo_features`), out of a folder where it was made before.

    Args:
        made_of: plain data that it depends on: photos, size, extractors, code.

    Raises:
        InputError: a file of the folder is damaged.
    """
    file = folder / f"{short_digest(made_of)}.npz"
    with suppress(FileNotFoundError):  # Another process may drop it at any time.
        found = _read(file)
        os.utime(file)
        return found
    features, colors = make()
    named = {f"features {name}": values for name, values in features.items()}
    named |= {f"colors {name}": values for name, values in colors.items()}
    with atomic_path(file) as path, open(path, "wb") as out:
        np.savez(out, **named)
    for old in sorted(folder.glob("*.npz"), key=_used)[:-KEPT]:
        old.unlink(missing_ok=True)
    return features, colors


def _used(file: Path) -> int:
    """When a file was used last; 0 of one that another process has just dropped."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _read(file: Path) -> tuple[Features, Colors]:
    found: tuple[Features, Colors] = {}, {}
    try:
        with np.load(file, allow_pickle=False) as content:
            for key in content.files:
                kind, _, name = key.partition(" ")
                found[("features", "colors").index(kind)][name] = content[key]
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and NumPy raise anything at damaged input.
        raise InputError(f"{file} is damaged: remove it, and it is made again") from error
    return found
