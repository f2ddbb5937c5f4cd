"""Drawn faces, which a face detector takes for faces: no person's photo is needed."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

GREY = (120, 130, 140)  # what is around the face
# Ellipses, the farthest first: center and radii in half widths of the face, color.
_PARTS = (
    (0.0, -0.15, 1.0, 1.35, (50, 35, 30)),
    (0.0, 0.05, 0.85, 1.15, (215, 170, 145)),
    (0.0, 0.2, 0.12, 0.1, (205, 155, 130)),
    *((side * x, y, rx, ry, color) for side in (-1, 1) for x, y, rx, ry, color in (
        (0.36, -0.33, 0.2, 0.05, (60, 40, 30)),
        (0.36, -0.12, 0.17, 0.085, (240, 240, 240)),
        (0.36, -0.12, 0.08, 0.08, (40, 30, 30)),
        (0.1, 0.28, 0.05, 0.03, (115, 75, 65)),
    )),
    (0.0, 0.6, 0.33, 0.09, (170, 80, 85)),
)  # fmt: skip


def draw_face(size: int, center=(0.5, 0.5), width: float = 0.2) -> Image.Image:
    """A square RGB picture of a face.

    Args:
        size: pixels.
        center: of the face, in sides.
        width: half of the face's, in sides.
    """
    image = Image.new("RGB", (size, size), GREY)
    draw = ImageDraw.Draw(image)
    for x, y, right, down, color in _PARTS:
        low = [(c + (v - r) * width) * size for c, v, r in zip(center, (x, y), (right, down))]
        high = [(c + (v + r) * width) * size for c, v, r in zip(center, (x, y), (right, down))]
        draw.ellipse([*low, *high], fill=color)
    return image.filter(ImageFilter.GaussianBlur(size * width / 50))


def points_of_face(size: int, center=(0.5, 0.5), width: float = 0.2) -> np.ndarray:
    """(4, 2) pixels of its eyes and mouth corners, of each pair the left one in the picture first."""
    points = np.array([(-0.36, -0.12), (0.36, -0.12), (-0.33, 0.6), (0.33, 0.6)])
    return (np.array(center) + points * width) * size
