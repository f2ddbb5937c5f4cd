"""The demo's pictures as README and docs show them, out of what its stages made.

    python -m docs.pictures.demo [--out docs/images] [--sheet sheet.png]

Writes into --out:

    samples.png      data/evaluation/grid.png
    turntable.png    data/evaluation/turntable.png
    inversion.png    data/inverted/inversion.png
    views.png        the upper left of data/views/avatars-000/contact_sheet.png
    scan_labels.png  the upper left of --sheet, which `benchmarks.scan_labels --sheet` has written
"""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

from benchmarks import harness
from sofgan.errors import MissingInput
from sofgan.files import write_bytes
from stages import paths

# Picture, what it is made of, and its width and height where it is cut.
PICTURES = (
    ("samples.png", paths.EVALUATION / "grid.png", None),
    ("turntable.png", paths.EVALUATION / "turntable.png", None),
    ("inversion.png", paths.INVERTED / "inversion.png", None),
    ("views.png", paths.VIEWS / "avatars-000/contact_sheet.png", (960, 480)),
)
SHEET_SIZE = (960, 768)  # four avatars, found above true


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, check=False)
    found.add_argument("--out", type=Path, default=Path("docs/images"))
    found.add_argument("--sheet", type=Path, help="of benchmarks.scan_labels")
    return found


def main(arguments) -> None:
    pictures = [*PICTURES]
    if arguments.sheet:
        pictures.append(("scan_labels.png", arguments.sheet, SHEET_SIZE))
    missing = [str(source) for _, source, _ in pictures if not source.is_file()]
    if missing:
        raise MissingInput(f"{', '.join(missing)}: not there; `make demo` makes what lies in data")
    for name, source, size in pictures:
        write_bytes(arguments.out / name, upper_left(source, size) if size else source.read_bytes())
        print(arguments.out / name)


def upper_left(picture: Path, size: tuple[int, int]) -> bytes:
    """The upper left of a picture, so wide and high, as PNG."""
    out = io.BytesIO()
    with Image.open(picture) as image:
        image.crop((0, 0, *size)).save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
