"""Pictures as data that a page carries in itself, the same bytes each time."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from sofgan.labels import colorize
from sofgan.photos.store import PhotoStore, StoreError

JPEG_QUALITY = 88


def inline(image: Image.Image, max_width: int) -> dict:
    """`src` (a data URI), `width`, `height` for a page. Few colours: PNG with a palette; else JPEG.

    Args:
        image: any mode.
        max_width: in pixels; wider pictures are scaled down, by whole pixels where they have few colours.
    """
    image = image.convert("RGB")
    colours = image.getcolors(256)
    if image.width > max_width:
        size = (max_width, max(1, round(image.height * max_width / image.width)))
        image = image.resize(size, Image.Resampling.NEAREST if colours else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if colours:
        image.quantize(len(colours), dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True, subsampling=0)
        kind = "jpeg"
    content = base64.b64encode(buffer.getvalue()).decode()
    return {"src": f"data:image/{kind};base64,{content}", "width": image.width, "height": image.height}


def from_file(path: Path, max_width: int) -> dict:
    """`inline` of a file."""
    with Image.open(path) as image:
        return inline(image, max_width)


def animation(path: Path) -> dict:
    """An animated picture as one strip, frames below each other, for a slider: `inline`'s keys and `frames`.

    An animation that goes there and back is cut at its turn: the slider goes both ways by itself.
    """
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    turn = len(frames) // 2 + 1
    if len(frames) > 2 and all(
        np.array_equal(a, b) for a, b in zip(frames[turn:], frames[turn - 2 : 0 : -1])
    ):
        frames = frames[:turn]
    strip = inline(Image.fromarray(np.concatenate(frames)), 1 << 16)
    return {**strip, "frames": len(frames), "height": len(frames[0])}


def photo_sheet(photos: Path, labels: Path, count: int, size: int) -> np.ndarray | None:
    """Photos, their label maps laid over them, and the maps alone, in three rows: (3 size, count size, 3) uint8.

    None where there is no such store (yet).
    """
    try:
        store, maps = PhotoStore(photos), PhotoStore(labels)
    except StoreError:
        return None
    shared = min(len(store), len(maps))
    if shared == 0:
        return None
    chosen = np.unique(np.linspace(0, shared - 1, min(count, shared)).astype(int))
    columns = []
    for index in chosen:
        photo, colours = store.image(int(index), size), colorize(maps.labels(int(index), size))
        mixed = (photo.astype(np.uint16) * 11 + colours.astype(np.uint16) * 9) // 20
        columns.append(np.concatenate([photo, mixed.astype(np.uint8), colours]))
    return np.concatenate(columns, 1)
