"""Aligning as FFHQ does: the geometry against numbers worked out by hand, and pictures against pictures."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from sofgan.photos.alignment import (
    Face,
    FfhqLandmarks,
    align_labels,
    align_photo,
    encode_photo,
    face_from_68,
    face_from_98,
    ffhq_transform,
    share_outside,
    square_side,
)
from sofgan.photos.decoding import PhotoError

# An upright face whose square is all of a 128-pixel photo: 2 * 32 = 64 = half of the side, centre at (64, 64).
EYES, MOUTH = np.array([[48.0, 60.5], [80.0, 60.5]]), np.array([[52.0, 95.5], [76.0, 95.5]])
UPRIGHT = Face(EYES, MOUTH)


def _picture(size=128):
    """Smooth, so that a shift by a fraction of a pixel changes it little, and different in all corners."""
    y, x = np.mgrid[:size, :size] / size
    channels = [np.sin(9 * x + 4 * y), np.cos(7 * y - 3 * x), np.sin(5 * x * y + x)]
    return np.stack([np.uint8(127 + 120 * channel) for channel in channels], axis=-1)


def _labels(size=128):
    y, x = np.mgrid[:size, :size] / size
    labels = np.zeros((size, size), np.uint8)
    labels[(x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.16] = 1
    labels[y > 0.8] = 14
    labels[(abs(x - 0.375) < 0.06) & (abs(y - 0.47) < 0.04)] = 3
    labels[:20] = 15
    return labels


def _similarity(angle, scale, shift):
    sine, cosine = scale * np.sin(angle), scale * np.cos(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [0, 0, 1]])


def _moved(face, transform):
    return Face(*(points @ transform[:2, :2].T + transform[:2, 2] for points in (face.eyes, face.mouth)))


def _placed(image, transform, size, method):
    """A picture moved by a transform into a larger photo."""
    coefficients = np.linalg.inv(transform)[:2].ravel().tolist()
    return image.transform(size, Image.Transform.AFFINE, coefficients, method)


def test_an_aligned_face_stays_where_it_is():
    transform = ffhq_transform(UPRIGHT, 128)
    np.testing.assert_allclose(transform, np.eye(3), atol=1e-9)
    assert square_side(transform, 128) == pytest.approx(128)
    photo = Image.fromarray(_picture())
    assert (np.asarray(align_photo(photo, transform, 128)) == _picture()).all()
    assert (align_labels(_labels(), transform, 128, (128, 128)) == _labels()).all()
    assert share_outside(transform, 128, (128, 128)) == 0


def test_the_square_by_hand():
    # FFHQ's mean face at 512 pixels: eyes 126 apart and 131 above the mouth, so 2 * 126 is the half side.
    face = Face(np.array([[193, 240], [319, 240.0]]), np.array([[201, 371], [313, 371.0]]))
    transform = ffhq_transform(face, 504)
    assert square_side(transform, 504) == pytest.approx(504)
    np.testing.assert_allclose(transform @ [256 + 0.1, 253.1, 1], [252, 252, 1], atol=2)
    # A profile's eyes lie close together: the line to the mouth decides, 1.8 * 100.
    profile = Face(np.array([[90, 50], [110, 50.0]]), np.array([[95, 150], [105, 150.0]]))
    assert square_side(ffhq_transform(profile, 64), 64) == pytest.approx(360)
    with pytest.raises(PhotoError, match="coincide"):
        ffhq_transform(Face(np.ones((2, 2)), np.ones((2, 2))), 64)


@pytest.mark.parametrize("angle, scale", [(0.4, 1.0), (-0.7, 1.3), (0.0, 3.2), (2.5, 0.8)])
def test_a_moved_face_comes_back(angle, scale):
    place = _similarity(angle, scale, (300, 330)) @ _similarity(0, 1, (-64, -64))
    face = _moved(UPRIGHT, place)
    transform = ffhq_transform(face, 128)
    np.testing.assert_allclose(transform @ place, np.eye(3), atol=1e-9)
    photo = _placed(Image.fromarray(_picture()), place, (640, 640), Image.Resampling.BICUBIC)
    labels = np.asarray(_placed(Image.fromarray(_labels()), place, (640, 640), Image.Resampling.NEAREST))
    again = np.asarray(align_photo(photo, transform, 128)).astype(int)
    inner = (slice(3, -3), slice(3, -3))  # The picture's border mixes with the black around it.
    assert np.abs(again - _picture())[inner].mean() < 1.5 and np.abs(again - _picture())[inner].max() < 24
    moved = align_labels(labels, transform, 128, photo.size)
    assert (moved == _labels())[inner].mean() > 0.985 and set(np.unique(moved)) <= set(np.unique(_labels()))
    # The map may have another resolution than its photo.
    half = np.asarray(Image.fromarray(labels).resize((320, 320), Image.Resampling.NEAREST))
    assert (align_labels(half, transform, 128, photo.size) == moved).mean() > 0.96


def test_another_size_shows_the_same(size=48):
    small = np.asarray(align_photo(Image.fromarray(_picture()), ffhq_transform(UPRIGHT, size), size)).astype(
        int
    )
    expected = np.asarray(Image.fromarray(_picture()).resize((size, size), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - expected).mean() < 1.5


def test_a_large_photo_does_not_alias():
    # Stripes of one pixel have the mean grey, whichever pixels are met.
    stripes = np.zeros((1280, 1280, 3), np.uint8)
    stripes[:, ::2] = 254
    face = _moved(UPRIGHT, _similarity(0, 10, (3.3, 1.7)))
    for size in (64, 500):
        pixels = np.asarray(align_photo(Image.fromarray(stripes), ffhq_transform(face, size), size))
        assert np.abs(pixels[5:-5, 5:-5].astype(int) - 127).max() <= 16


def test_beyond_the_border_the_photo_is_mirrored_and_blurred():
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    noise[:, :30, 0] = 200
    transform = ffhq_transform(_moved(UPRIGHT, _similarity(0, 1, (-40, 0))), 128)
    assert share_outside(transform, 128, (128, 128)) == pytest.approx(40 / 128, abs=0.02)
    aligned = np.asarray(align_photo(Image.fromarray(noise), transform, 128))
    assert (aligned[:, 40:] == noise[:, :88]).all()
    # One pixel out it is the mirror image still, far out a blur of it.
    assert np.abs(aligned[:, 39].astype(int) - noise[:, 0]).mean() < 20
    assert aligned[:, :20, 1].std() < 0.5 * noise[..., 1].std()
    assert np.abs(aligned[:, 15:40, 0].astype(int) - 200).max() <= 3
    labels = align_labels(np.full((64, 64), 15, np.uint8), transform, 128, (128, 128))
    assert (labels[:, 40:] == 15).all() and (labels[:, :40] == 0).all()


def test_points_that_are_no_face_say_so():
    photo = Image.fromarray(_picture())
    with pytest.raises(PhotoError, match="far larger than the photo"):
        align_photo(photo, ffhq_transform(_moved(UPRIGHT, _similarity(0, 9, (0, 0))), 64), 64)
    with pytest.raises(PhotoError, match="outside of the photo"):
        align_photo(photo, ffhq_transform(_moved(UPRIGHT, _similarity(0, 1, (900, 0))), 64), 64)
    with pytest.raises(PhotoError, match="coincide"):
        ffhq_transform(Face(np.full((2, 2), np.nan), MOUTH), 64)


def test_points_of_the_usual_orders():
    points = np.full((68, 2), 7.0)
    points[36:42], points[42:48], points[48], points[54] = EYES[0], EYES[1], MOUTH[0], MOUTH[1]
    face = face_from_68(points)
    assert (face.eyes == EYES).all() and (face.mouth == MOUTH).all()
    points = np.full((98, 2), 7.0)
    points[60:68], points[68:76], points[76], points[82] = EYES[0], EYES[1], MOUTH[0], MOUTH[1]
    face = face_from_98(points, 2)
    assert (face.eyes == EYES).all() and (face.mouth == MOUTH).all() and face.others == 2


def test_ffhq_metadata(tmp_path):
    points = np.full((68, 2), 7.0)
    points[36:42], points[42:48], points[48], points[54] = EYES[0], EYES[1], MOUTH[0], MOUTH[1]
    record = {"file_path": "in-the-wild-images/00000/00003.png", "face_landmarks": (points - 0.5).tolist()}
    file = tmp_path / "ffhq-dataset-v2.json"
    file.write_text(json.dumps({"3": {"image": {}, "in_the_wild": record}}))
    found = FfhqLandmarks(file)(
        ["in-the-wild-images/00003.png", "in-the-wild-images/00000/4.png"], [None] * 2
    )
    np.testing.assert_allclose(found[0].eyes, EYES)
    assert found[1] is None
    for text in (
        "[",
        "[]",
        '{"3": {}}',
        '{"3": {"in_the_wild": {"file_path": "a", "face_landmarks": [[1, 2]]}}}',
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match="not FFHQ's metadata"):
            FfhqLandmarks(file)


def test_encoded_photos_are_close_and_repeatable():
    photo = Image.fromarray(_picture())
    content = encode_photo(photo)
    assert content == encode_photo(photo.copy())
    again = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert np.abs(again - _picture()).mean() < 1.5


def test_eyes_are_means_of_their_points_and_mouths_have_two_corners():
    """In the orders of iBUG (68 points) and WFLW (98)."""
    for count, face_of, eyes, corners in (
        (68, face_from_68, (range(36, 42), range(42, 48)), (48, 54)),
        (98, face_from_98, (range(60, 68), range(68, 76)), (76, 82)),
    ):
        points = np.random.default_rng(0).normal(size=(count, 2))
        face = face_of(points)
        expected = [sum(points[i] for i in eye) / len(eye) for eye in eyes]
        np.testing.assert_allclose(face.eyes, expected)
        np.testing.assert_array_equal(face.mouth, [points[i] for i in corners])


def test_a_map_of_another_size_stands_for_all_of_an_oblong_photo():
    """Of a photo 128 wide and 64 high; its map is 32 wide and 32 high."""
    labels = np.zeros((32, 32), np.uint8)
    labels[16:, 8:16] = 3  # in the photo: rows 32 to 64, columns 32 to 64
    moved = align_labels(labels, np.eye(3), 64, (128, 64))
    expected = np.zeros((64, 64), np.uint8)
    expected[32:, 32:] = 3
    np.testing.assert_array_equal(moved, expected)
