"""A shot as the page's background: label map and picture side by side, or one above the other on a tall page."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sofgan.labels import colorize
from sofgan.viewer.shot import Shot
from sofgan.viewer.strokes import Place

BACKGROUND = (24, 26, 30)  # RGB
SIDE, GAP, MARGIN = 512, 12, 20  # pixels of a tile's side, between tiles, around them
ASPECTS = (0.3, 4.0)  # of pages


@dataclass(frozen=True)
class Layout:
    """Places of tiles on a page: its width and height, and left and top of each tile, all in pixels."""

    width: int
    height: int
    corners: tuple[tuple[int, int], ...]


def layout(aspect: float, tiles: int) -> Layout:
    """Tiles in the middle of a page of about that width by height: beside each other, or above on a tall page."""
    along, across = tiles * (SIDE + GAP) - GAP + 2 * MARGIN, SIDE + 2 * MARGIN
    beside, aspect = aspect >= 1, float(np.clip(aspect, *ASPECTS))
    block = (along, across) if beside else (across, along)
    width, height = max(block[0], round(block[1] * aspect)), max(block[1], round(block[0] / aspect))
    left, top = ((whole - part) // 2 + MARGIN for whole, part in zip((width, height), block))
    steps = (number * (SIDE + GAP) for number in range(tiles))
    return Layout(width, height, tuple((left + step * beside, top + step * (not beside)) for step in steps))


def compose(shot: Shot, aspect: float, with_map: bool = True) -> np.ndarray:
    """Picture (H, W, 3) uint8 whose width by height is about the page's.

    Args:
        aspect: the page's width by its height.
        with_map: the label map is shown too, at the left or above.
    """
    tiles = [Image.fromarray(shot.picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)]
    if with_map:
        tiles.insert(0, Image.fromarray(colorize(shot.labels)).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    places = layout(aspect, len(tiles))
    page = Image.new("RGB", (places.width, places.height), BACKGROUND)
    for tile, corner in zip(tiles, places.corners):
        page.paste(tile, corner)
    return np.asarray(page)


def place_on_map(screen: Place, aspect: float, with_map: bool = True) -> Place | None:
    """Where on the label map a place of the page lies: (x, y) in map widths from the left and top; None beside it.

    Args:
        screen: (x, y) from the left and top, in the page's width and height.
        aspect: the page's width by its height.
        with_map: whether the page shows the map.
    """
    if not with_map:
        return None
    places = layout(aspect, 2)
    left, top = places.corners[0]
    x, y = ((screen[0] * places.width - left) / SIDE, (screen[1] * places.height - top) / SIDE)
    return (x, y) if 0 <= x < 1 and 0 <= y < 1 else None
