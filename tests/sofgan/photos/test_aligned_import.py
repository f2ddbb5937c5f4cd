"""Importing with alignment: a finder put in for the networks, then the networks' own classes around fake weights."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.photos import detection
from sofgan.photos.alignment import Face, FfhqLandmarks
from sofgan.photos.detection import DetectorError, FaceDetector, check_weights, peaks
from sofgan.photos.importing import Alignment, Selection, import_photos
from sofgan.photos.layouts import SourceError, find_source
from sofgan.photos.store import PhotoStore

EYES, MOUTH = np.array([[48.0, 60.5], [80.0, 60.5]]), np.array([[52.0, 95.5], [76.0, 95.5]])
SELECTION = Selection(32, 0.0)


def _portrait(seed=0):
    """A 128-pixel picture whose red corner and blue eyes tell how it lies, and its canonical mask."""
    pixels = np.full((128, 128, 3), 90 + seed, np.uint8)
    labels = np.full((128, 128), 1, np.uint8)
    pixels[:40, :40], labels[:40, :40] = (255, 0, 0), 13
    for x, y in EYES.astype(int):
        pixels[y - 4 : y + 5, x - 4 : x + 5], labels[y - 4 : y + 5, x - 4 : x + 5] = (0, 0, 255), 4
    return Image.fromarray(pixels), labels


class _Finder:
    """Knows where the portraits were put, by the photo's width."""

    batch, missing = 3, "no face found"

    def __init__(self):
        self.groups = []

    def __call__(self, names, photos):
        self.groups.append(list(names))
        faces = []
        for photo in photos:
            x, y, others = {300: (100, 60, 0), 320: (30, 40, 2), 340: (250, 150, 0)}.get(
                photo.width, (0, 0, 0)
            )
            faces.append(None if photo.width == 310 else Face(EYES + (x, y), MOUTH + (x, y), others))
        return faces


def _in_photo(portrait, width, place):
    photo = Image.new("RGB", (width, 240), (20, 60, 20))
    photo.paste(portrait, place)
    return photo


def _save_set(folder):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i, (width, place) in enumerate([(300, (100, 60)), (310, (9, 9)), (320, (30, 40)), (340, (250, 150))]):
        portrait, labels = _portrait(i)
        _in_photo(portrait, width, place).save(folder / "images" / f"{i}.png")
        mask = np.zeros((240, width), np.uint8)
        rows, columns = slice(place[1], place[1] + 128), slice(place[0], place[0] + 128)
        mask[rows, columns] = labels[: len(mask[rows]), : mask[rows, columns].shape[1]]
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    (folder / "images" / "4.png").write_bytes(b"broken")
    Image.fromarray(mask).save(folder / "masks" / "4.png")
    return folder


def test_photos_and_masks_are_cut_by_the_face(tmp_path):
    source = find_source(_save_set(tmp_path / "set"))
    finders = _Finder(), _Finder()
    for name, workers, finder in [("one", 1, finders[0]), ("three", 3, finders[1])]:
        import_photos(source, tmp_path / name, SELECTION, workers=workers, align=Alignment(finder, 128))
    store = PhotoStore(tmp_path / "one")
    assert store.keys() == ["0", "2", "3"]
    for index, seed in [(0, 0), (1, 2)]:
        portrait, labels = _portrait(seed)
        assert np.abs(store.image(index).astype(int) - np.asarray(portrait)).mean() < 3
        assert (store.labels(index) == 15).sum() == (labels == 13).sum()
        assert (store.labels(index)[60, [48, 80]] == 3).all()
    assert (store.labels(2)[100:, 90:] == 0).all()  # Outside of the photo.
    report = {row["file"]: row for row in csv.DictReader((tmp_path / "one" / "report.csv").open())}
    assert report["images/1.png"]["reason"] == "no face found"
    assert "not an image" in report["images/4.png"]["reason"]
    assert "3 faces: the largest is taken" in report["images/2.png"]["reason"]
    assert "lie beyond the photo" in report["images/3.png"]["reason"] and len(report) == 4
    # The same batches and the same bytes, however many workers.
    assert (
        finders[0].groups
        == finders[1].groups
        == [["images/0.png", "images/1.png", "images/2.png"], ["images/3.png"]]
    )
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "three" / file.name).read_bytes()
    # Stopped early, the threads of both ends are stopped.
    few = dataclasses.replace(SELECTION, limit=2)
    import_photos(source, tmp_path / "two", few, Alignment(_Finder(), 128), workers=3)
    assert PhotoStore(tmp_path / "two").keys() == ["0", "2"]


def test_a_face_that_is_too_small_is_left_out(tmp_path):
    source = find_source(_save_set(tmp_path / "set"))
    selection = dataclasses.replace(SELECTION, min_side_px=150)
    with pytest.raises(SourceError, match=r"too small \(3\)"):
        import_photos(source, tmp_path / "store", selection, align=Alignment(_Finder(), 64))


def test_ffhq_in_the_wild_by_its_metadata(tmp_path):
    wild = tmp_path / "ffhq" / "in-the-wild-images" / "00000"
    wild.mkdir(parents=True)
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[48], points[54] = EYES[0], EYES[1], MOUTH[0], MOUTH[1]
    records = {}
    # The same photo twice, with two faces: two records of FFHQ, and no duplicate.
    photo = _in_photo(_portrait(0)[0], 400, (20, 50))
    photo.paste(_portrait(9)[0], (230, 90))
    for i, place in enumerate([(20, 50), (230, 90)]):
        photo.save(wild / f"{i:05d}.png")
        name = f"in-the-wild-images/00000/{i:05d}.png"
        record = {"file_path": name, "face_landmarks": (points - 0.5 + place).tolist()}
        records[str(i)] = {"in_the_wild": record}
    photo.save(wild / "00002.png")
    (tmp_path / "ffhq" / "ffhq-dataset-v2.json").write_text(json.dumps(records))
    with pytest.raises(SourceError, match="not aligned: set align: ffhq"):
        find_source(tmp_path / "ffhq")
    source = find_source(tmp_path / "ffhq", in_the_wild=True)
    assert source.layout == "ffhq" and source.landmarks.name == "ffhq-dataset-v2.json"
    align = Alignment(FfhqLandmarks(source.landmarks), 128)
    result = import_photos(source, tmp_path / "store", SELECTION, align=align, workers=2)
    store = PhotoStore(tmp_path / "store")
    assert store.keys() == ["00000/00000", "00000/00001"] and result.reasons == {align.finder.missing: 1}
    for index, seed in enumerate([0, 9]):
        assert np.abs(store.image(index).astype(int) - np.asarray(_portrait(seed)[0])).mean() < 3


def test_without_weights_it_says_what_to_do(tmp_path):
    (tmp_path / detection.DETECTOR.name).write_bytes(b"another's")
    for landmarks, named in [("5", 1), ("98", 2)]:
        with pytest.raises(DetectorError, match="python -m pipelines weights") as error:
            check_weights(tmp_path, landmarks)
        assert detection.DETECTOR.name in str(error.value) and str(error.value).count("https://") == named
        assert (detection.LANDMARKS.name in str(error.value)) == (named == 2)


def test_peaks_are_found_to_a_quarter_of_a_cell():
    heatmaps = np.zeros((2, 8, 16), np.float32)
    heatmaps[0, 3, 5], heatmaps[0, 3, 6], heatmaps[0, 2, 5] = 1, 0.5, 0.4
    heatmaps[1, 7, 15] = 1  # In the corner.
    np.testing.assert_allclose(peaks(heatmaps), [[5.75 / 16, 3.25 / 8], [15.5 / 16, 7.5 / 8]])


@pytest.fixture
def untrained_detector(monkeypatch):
    """A detector around facexlib's networks, loaded as from released files, but of random weights."""
    from facexlib.alignment import FAN
    from facexlib.detection import RetinaFace

    torch.manual_seed(0)
    detector = RetinaFace("resnet50", device="cpu").state_dict()
    states = {
        detection.DETECTOR.name: {f"module.{name}": value for name, value in detector.items()},
        detection.LANDMARKS.name: {"state_dict": FAN(num_modules=4, num_landmarks=98).state_dict()},
    }
    monkeypatch.setattr(torch, "load", lambda path, **options: states[path.name])
    monkeypatch.setattr(detection, "check_weights", lambda folder, landmarks: None)
    return FaceDetector("weights", "98")


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained'", "ignore:Arguments other than a weight enum")
def test_the_networks_answer_in_the_photos_pixels(untrained_detector, monkeypatch):
    detector = untrained_detector
    monkeypatch.setattr(detection, "_CANVAS", 64)
    photos = [_in_photo(_portrait(i)[0], 300, (100, 60)) for i in range(2)]

    # What nobody trained finds anything or nothing; its answer must have the form that is read.
    canvases = [detection._on_canvas(photo)[1] for photo in photos]
    with torch.inference_mode():
        boxes, points = detector._detector.batched_detect_faces(canvases, conf_threshold=0.0)
    assert canvases[0].size == (64, 64) and len(boxes) == 2
    assert boxes[0].shape == (len(boxes[0]), 5) and points[0].shape == (len(boxes[0]), 10)

    # Of two faces the larger counts, in pixels of the photo.
    scale = 64 / 300
    found = np.array([[0, 0, 9, 9, 0.99], [110 * scale, 70 * scale, 220 * scale, 180 * scale, 0.98]])
    five = np.concatenate([EYES, [[64, 80]], MOUTH]) + (100, 60)
    answer = [found, np.array([])], [np.stack([np.zeros(10), (five * scale).ravel()]), np.array([])]
    monkeypatch.setattr(detector._detector, "batched_detect_faces", lambda canvases, conf_threshold: answer)
    landmarks, detector._landmarks = detector._landmarks, None
    face, none = detector(["a", "b"], photos)
    assert none is None and face.others == 1
    np.testing.assert_allclose(face.eyes, EYES + (100, 60))
    np.testing.assert_allclose(face.mouth, MOUTH + (100, 60))

    # The second network sees the box, and its points are placed back into the photo.
    assert landmarks.num_landmarks == 98 and not landmarks.training
    seen = []

    def one_cell(pixels):
        seen.append(pixels)
        heatmaps = torch.zeros(1, 99, 64, 64)
        heatmaps[0, :98, 16, 48] = 1
        return [heatmaps], None

    detector._landmarks = one_cell
    face, _ = detector(["a", "b"], photos)
    cell = 110 / 64
    np.testing.assert_allclose(face.eyes, np.tile((110 + 48.5 * cell, 70 + 16.5 * cell), (2, 1)), atol=1e-4)
    crop = np.asarray(photos[0].crop((110, 70, 220, 180)).resize((256, 256), Image.Resampling.BILINEAR)) / 255
    assert seen[0].shape == (1, 3, 256, 256) and face.others == 1
    np.testing.assert_allclose(seen[0][0].permute(1, 2, 0), crop, atol=0.02)
