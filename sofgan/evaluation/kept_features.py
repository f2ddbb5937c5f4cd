"""Features of photos, kept from one evaluation to the next: of the same photos, extractors, size and code they are the
same."""

from collections.abc import Callable
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
    if file.is_file():
        found = _read(file)
        file.touch()
        return found
    features, colors = make()
    named = {f"features {name}": values for name, values in features.items()}
    named |= {f"colors {name}": values for name, values in colors.items()}
    with atomic_path(file) as path, open(path, "wb") as out:
        np.savez(out, **named)
    for old in sorted(folder.glob("*.npz"), key=lambda one: one.stat().st_mtime_ns)[:-KEPT]:
        old.unlink(missing_ok=True)
    return features, colors


def _read(file: Path) -> tuple[Features, Colors]:
    found: tuple[Features, Colors] = {}, {}
    try:
        with np.load(file, allow_pickle=False) as content:
            for key in content.files:
                kind, _, name = key.partition(" ")
                found[("features", "colors").index(kind)][name] = content[key]
    except Exception as error:  # zipfile and NumPy raise anything at damaged input.
        raise InputError(f"{file} is damaged: remove it, and it is made again") from error
    return found
