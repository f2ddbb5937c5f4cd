"""What stages make of a batch, in a folder of its own.

Stages that learn from all batches depend on the folders above these as wholes: what is left there of a batch that is
out of use counts as changed data, and what was made without it is not found again.
"""

import shutil
from pathlib import Path

from stages import paths

MADE = (paths.SCANS, paths.VIEWS)


def drop_made(root: Path, name: str) -> None:
    """Remove what was made of a batch from the folder; DVC's cache keeps it."""
    for folder in MADE:
        shutil.rmtree(root / folder / name, ignore_errors=True)


def out_of_use(root: Path, batches: list[str]) -> list[Path]:
    """Folders, from the project's, of what was made of batches other than these."""
    found = (path for folder in MADE for path in sorted((root / folder).glob("*/")))
    return [path.relative_to(root) for path in found if path.name not in batches]
