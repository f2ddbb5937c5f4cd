"""Three maps that were painted into, and the heads that followed: `python -m docs.pictures.edit`, a minute."""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from sofgan.apps.edit import edit_head
from sofgan.apps.engine import Engine
from sofgan.files import write_bytes
from sofgan.labels import BACKGROUND, EYE, EYEGLASS, HAIR, HAT, SKIN, colorize

OUT = Path("docs/images/edited_map.png")
SIZE, YAWS = 128, (-40.0, 0.0, 40.0)  # pixels, degrees
EXAMPLES = ((3, "long"), (0, "glasses"), (8, "hat"))  # head, what is painted


def painted(labels: np.ndarray, what: str) -> np.ndarray:
    """A frontal map (S, S) uint8 with hair down to the shoulders, a pair of glasses, or a hat in the hair's place."""
    labels, (rows, columns) = labels.copy(), np.mgrid[: labels.shape[0], : labels.shape[1]]
    head = np.flatnonzero(labels[SIZE // 2] > 0)
    if what == "long":
        for column in (head[0], head[-1]):
            strip = (np.abs(columns - column) < 6) & (rows > SIZE // 2 - 14) & (rows < SIZE - 26)
            labels[strip] = HAIR
    elif what == "glasses":
        eyes = np.argwhere(labels == EYE)
        middle = eyes[:, 1].mean()
        for side in (eyes[eyes[:, 1] < middle], eyes[eyes[:, 1] > middle]):
            row, column = side.mean(0)
            labels[np.hypot(rows - row, (columns - column) * 0.8) < 9] = EYEGLASS
    else:
        top = np.argwhere(labels == HAIR)[:, 0].min()
        above = (rows < top + 18) & (labels == HAIR)
        rim = (np.abs(rows - top - 17) < 3) & np.isin(labels, (HAIR, SKIN, BACKGROUND))
        labels[above | (rim & (columns > head[0] - 8) & (columns < head[-1] + 8))] = HAT
    return labels


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = argparse.ArgumentParser(prog="python -m docs.pictures.edit", description=__doc__)
    found.add_argument("--out", type=Path, default=OUT)
    return found


def main(arguments) -> None:
    """Draw the picture."""
    engine, strips = Engine.starter(), []
    for seed, what in EXAMPLES:
        head, look = engine.head(seed), engine.look(seed, 0.7)
        front = engine.camera(0, 0, SIZE)
        before = engine.view(head, front).labels
        wanted = painted(before, what)
        found = edit_head(engine, head, front, wanted)
        print(
            f"{what}: {found.followed:.1%} of the painted pixels followed, {found.kept:.1%} of the others held"
        )
        tiles = [colorize(before), colorize(wanted)]
        for yaw in YAWS:
            tiles.append(colorize(engine.view(found.head, engine.camera(yaw, 0, SIZE)).labels))
        for one in (head, found.head):
            for yaw in YAWS[1:]:
                picture = Image.fromarray(engine.picture(one, look, engine.camera(yaw, 0, SIZE)))
                tiles.append(np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
        strips.append(np.concatenate(tiles, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(strips)).save(buffer, "PNG", optimize=True)
    write_bytes(arguments.out, buffer.getvalue())


if __name__ == "__main__":
    main(parser().parse_args())
