"""Points by a parser's map: middles of eyes and ends of lips, in the photo's pixels."""

import numpy as np
import torch
from PIL import Image

from sofgan.labels import EYE, L_LIP, SKIN, U_LIP
from sofgan.parsing.face_points import ParsedPoints, points_in_map
from sofgan.photos.alignment import Face

EYES, MOUTH = np.array([[100.0, 120.0], [160.0, 120.0]]), np.array([[110.0, 180.0], [150.0, 180.0]])


class _Parser:
    """Takes red for eyes and blue for lips."""

    mean = torch.zeros(1)

    def parse(self, images, mirror):
        red, green, blue = (images[0] > 0).numpy()
        labels = np.full(red.shape, SKIN, np.uint8)
        labels[red & ~blue], labels[blue & ~red] = EYE, U_LIP
        return labels[None]


def _photo() -> Image.Image:
    pixels = np.zeros((300, 300, 3), np.uint8)
    for x, y in EYES.astype(int):
        pixels[y - 5 : y + 5, x - 9 : x + 9, 0] = 255
    pixels[174:186, 100:160, 2] = 255
    return Image.fromarray(pixels)


def test_points_come_back_from_the_aligned_crop():
    rough = Face(EYES + ((6.0, -5.0), (-4.0, 3.0)), MOUTH + 7.0, 2)
    face = ParsedPoints(lambda names, photos: [rough], _Parser())([""], [_photo()])[0]
    assert np.abs(face.eyes - EYES).max() < 1.0
    assert np.abs(face.mouth - ((101, 180), (159, 180))).max() < 3.0 and face.others == 2


def test_eyes_that_are_not_seen_stay_where_the_finder_has_them():
    blank = Image.new("RGB", (300, 300))
    rough = Face(EYES, MOUTH)
    face = ParsedPoints(lambda names, photos: [rough, None], _Parser())(["", ""], [blank, blank])
    assert face[1] is None and (face[0].eyes == EYES).all() and (face[0].mouth == MOUTH).all()


def test_pixels_far_from_the_eyes_are_no_eyes():
    labels = np.full((256, 256), SKIN, np.uint8)
    for x, y in ((100, 120), (160, 120), (220, 40)):
        labels[y - 4 : y + 4, x - 6 : x + 6] = EYE
    labels[180:184, 110:150] = L_LIP
    eyes, mouth = points_in_map(labels, EYES + 3)
    assert np.abs(eyes - EYES).max() < 1 and mouth[0, 0] < 113 and mouth[1, 0] > 147
