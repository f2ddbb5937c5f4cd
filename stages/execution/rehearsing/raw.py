"""Raw scans and photo sets for a rehearsal, of invented people, where a profile expects the user's own.

    python -m stages.execution.rehearsing.raw ORDER.json

ORDER.json: `scans`, names of batches; `photos`, for each set its `folder`, `masks` (then as CelebAMask-HQ is released,
else as FFHQ), `size` in pixels, and how many `train` and `held_out` at a `share`.
"""

import json
import sys
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from sofgan.avatars.batch import make_batch
from sofgan.avatars.config import MakePortraits
from sofgan.avatars.model import AvatarModel
from sofgan.avatars.portraits import Portrait, take_portrait, write_celebamask
from sofgan.avatars.shading import make_head, sphere_directions
from sofgan.photos.store import HELD_OUT, TRAIN, held_out
from sofgan.rendering.process_renderer import process_renderer
from sofgan.seeds import numpy_generator
from stages import paths

SCANS = 2  # of a batch
TAKEN_SIZE = 128  # pixels at which photos are taken, to be enlarged
CAMERA = MakePortraits(1, 1, 1, TAKEN_SIZE, 1, 15, 6, 1.5, 18, 90)
LIGHTS = 4


def make_photos(folder: Path, masks: bool, size: int, train: int, held_out: int, share: float) -> None:
    """Write so many photos of each split as FFHQ is released (PNG), or CelebAMask-HQ (JPEG, masks of half the size)."""
    heads, rng = _heads(), numpy_generator(0, "rehearsal", folder.name)
    left = {TRAIN: train, HELD_OUT: held_out if share > 0 else 0}
    for number in count():
        if not any(left.values()):
            return
        split = _split(number, masks, share)
        if not left[split]:
            continue
        left[split] -= 1
        portrait = _enlarged(take_portrait(next(heads), CAMERA, rng), size)
        if masks:
            write_celebamask(folder, number, portrait, CAMERA.jpeg_quality)
        else:
            path = folder / "images1024x1024" / f"{number // 1000 * 1000:05d}" / f"{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(portrait.photo).save(path, compress_level=1)


def _split(number: int, masks: bool, share: float) -> int:
    """The split of the photo of that number, by the key that the stage will give it."""
    return held_out(str(number) if masks else f"{number // 1000 * 1000:05d}/{number:05d}", share)


def _heads():
    """The same head in this process's renderer, over and over."""
    avatar = AvatarModel.load().build("rehearsal", numpy_generator(0, "rehearsal", "head"))
    solid = tuple(part for part in avatar.parts if part.opacity >= 0.5)
    head = make_head(solid, process_renderer(), sphere_directions(LIGHTS))
    while True:
        yield head


def _enlarged(portrait: Portrait, size: int) -> Portrait:
    """Photo of that size, masks of half of it."""
    photo = np.asarray(Image.fromarray(portrait.photo).resize((size, size), Image.Resampling.BICUBIC))
    places = ((np.arange(size // 2) + 0.5) * 2 * len(portrait.labels) / size).astype(int)
    labels, left = portrait.labels[places][:, places], portrait.subject_left[places][:, places]
    return Portrait(photo, labels, left, portrait.coverage)


def main() -> None:
    """Make what the order says."""
    order = json.loads(Path(sys.argv[1]).read_text())
    for name in order["scans"]:
        folder = paths.RAW_SCANS / name
        folder.mkdir(parents=True)
        make_batch(folder, f"rehearsal-{name}", SCANS, 0)
    for photos in order["photos"]:
        make_photos(Path(photos.pop("folder")), **photos)


if __name__ == "__main__":
    main()
