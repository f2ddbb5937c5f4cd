"""The three photo stages on a handful of drawn faces, as DVC would run them one after the other."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sofgan.errors import UserError
from sofgan.labels import CELEBAMASK_NAMES, NAMES
from sofgan.parsing.train import ParserTraining
from sofgan.photos.alignment import Face
from sofgan.photos.store import PhotoStore
from stages import import_photos, params, parse_faces, train_parser
from stages.execution import sessions
from tests.parameters import write_params

PARAMS = {
    "seed": 0,
    "runtime": {"device": "cpu", "workers": 2, "threads": 1},
    "import_photos": {
        "min_side_px": 16,
        "ffhq": {"source": "raw/ffhq", "held_out_share": 0.2, "validation_share": 0.0, "limit": 0},
        "celebamask": {
            "source": "raw/celebamask",
            "held_out_share": 0.4,
            "validation_share": 0.2,
            "limit": 0,
        },
    },
    "train_parser": {
        "parser": {"arch": "unet", "size": 32, "width": 4, "order": "17"},
        "pretrained": {"path": "", "sha256": ""},
        "steps": 4,
        "batch": 4,
        "learning_rate": 1e-2,
        "weight_decay": 0.01,
        "class_balance": 0.4,
        "dice_weight": 0.5,
        "auxiliary_weight": 0.4,
        "ema_halflife_images": 20,
        "score_every_steps": 2,
        "patience": 0,
        "checkpoint_every_steps": 2,
        "augmentation": {
            "mirror": 0.5,
            "zoom": 0.2,
            "shift": 0.06,
            "rotation_degrees": 12.0,
            "colour": 0.3,
            "blur": 0.2,
            "noise": 0.03,
        },
    },
    "parse_faces": {"batch": 4, "label_size": 32, "mirror": True, "scales": [1.0], "autocast": True},
}


@pytest.fixture
def project(workdir):
    write_params(PARAMS)
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    for folder in ("raw/ffhq/00000", "raw/celebamask/images", "raw/celebamask/masks"):
        (workdir / folder).mkdir(parents=True)
    for i in range(12):
        labels = np.zeros((32, 32), np.uint8)
        row, column = generator.integers(10, 22, 2)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        labels[distance < 120] = CELEBAMASK_NAMES.index("hair")
        labels[distance < 70] = CELEBAMASK_NAMES.index("skin")
        labels[distance < 10] = CELEBAMASK_NAMES.index("nose")
        photo = Image.fromarray((labels[..., None] * [9, 12, 5] + generator.integers(0, 9)).astype(np.uint8))
        photo.save(workdir / f"raw/celebamask/images/{i}.jpg")
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(workdir / f"raw/ffhq/00000/{i:05d}.png")
        Image.fromarray(labels).save(workdir / f"raw/celebamask/masks/{i}.png")
    (workdir / "raw/ffhq/00000/broken.png").write_bytes(b"?")
    return workdir


def test_photos_to_label_maps(project, monkeypatch):
    for stage in (import_photos, train_parser, parse_faces):
        monkeypatch.setattr("sys.argv", [stage.__name__])
        stage.main()
    photos, labels = PhotoStore("data/photos/ffhq"), PhotoStore("data/labels/ffhq")
    assert photos.keys() == labels.keys() == [f"00000/{i:05d}" for i in range(12)]
    assert labels.labels(0).shape == (32, 32) and labels.has_labels()
    figures = json.loads((project / "metrics/all/import_photos.json").read_text())
    assert (figures["ffhq_photos"], figures["ffhq_left_out"], figures["celebamask_photos"]) == (12, 1, 12)
    assert (
        figures["ffhq_held_out"] > 0 and figures["celebamask_validation"] > 0 and figures["ffhq_people"] == 0
    )
    assert "broken.png" in (project / "data/photos/ffhq/report.csv").read_text()
    figures = json.loads((project / "metrics/all/train_parser.json").read_text())
    few = json.loads((project / "metrics/train_parser.json").read_text())
    assert few == {"parser": figures["held_out_miou"]}
    sides = PhotoStore("data/photos/celebamask").splits().tolist()
    assert figures["held_out_photos"] == sides.count(1) > 0
    assert figures["validation_photos"] == sides.count(2) > 0
    assert 0 <= figures["held_out_miou"] <= 1
    # Label maps are on their photos' side.
    assert labels.splits().tolist() == photos.splits().tolist() and {0, 1} == set(labels.splits().tolist())
    assert (
        (project / "plots/train_parser_classes.csv")
        .read_text()
        .startswith("class,iou,truth_share\nbackground,")
    )
    assert len((project / "plots/train_parser.csv").read_text().splitlines()) == 3
    cells = list(csv.DictReader((project / "plots/train_parser_confusion.csv").open()))
    rows = {
        name: sum(float(cell["share"]) for cell in cells if cell["truth"] == name)
        for name in ("skin", "hair")
    }
    assert rows == pytest.approx({"skin": 1, "hair": 1}, abs=1e-4)
    figures = json.loads((project / "metrics/all/parse_faces.json").read_text())
    assert sum(figures[f"area_{name}"] for name in NAMES) == pytest.approx(1)
    assert not any((project / ".work").rglob("*.pt")) and not any((project / ".work").rglob("*.arrow"))

    # The same inputs give the same bytes.
    first = {path: path.read_bytes() for path in [*project.glob("models/*/*"), *project.glob("data/*/*/*")]}
    for stage in (import_photos, train_parser, parse_faces):
        stage.main()
    assert len(first) == 2 + 3 + 3 + 2
    assert all(path.read_bytes() == content for path, content in first.items())


def test_a_stopped_training_goes_on_by_the_same_code_only(project, monkeypatch, capsys):
    steps = []

    def run(code):
        """Train by code of that digest, to the last step; what was said of the states that were there."""
        monkeypatch.setattr(sessions, "code_digests", lambda stage: {f"{stage}.py": code})
        steps.clear()
        train_parser.main()
        return [line for line in capsys.readouterr().err.splitlines() if "anew" in line]

    class Stopped(Exception):
        pass

    def stop(path, parser):
        raise Stopped

    monkeypatch.setattr("sys.argv", ["train_parser"])
    import_photos.main()
    learn = ParserTraining.learn
    monkeypatch.setattr(ParserTraining, "learn", lambda *given: (steps.append(1), learn(*given))[1])
    with monkeypatch.context() as stopping, pytest.raises(Stopped):
        stopping.setattr(train_parser, "save_parser", stop)
        run("first")
    assert len(steps) == 4 and len(list(project.glob(".work/train_parser/*.pt"))) == 2
    with monkeypatch.context() as stopping, pytest.raises(Stopped):
        stopping.setattr(train_parser, "save_parser", stop)
        run("first")
    assert len(steps) == 0
    said = ".work/train_parser: a training stopped after step 4 is not gone on with: code.train_parser.py changed"
    assert run("second") == [f"{said}; the work starts anew"]
    assert len(steps) == 4 and not (project / ".work/train_parser").exists()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_set_needs_photos_that_nothing_is_trained_on(project, share):
    _change(held_out_share=share)
    with pytest.raises(
        UserError, match="held_out_share is more than 0, as scores are of people that nothing was"
    ):
        params.read_params("import_photos")


def test_a_set_of_one_person_is_refused(project, monkeypatch):
    names = sorted(path.name for path in (project / "raw/ffhq/00000").iterdir())
    (project / "raw/ffhq/identities.txt").write_text("".join(f"00000/{name} me\n" for name in names))
    monkeypatch.setattr("sys.argv", ["import_photos"])
    with pytest.raises(UserError, match="raw/ffhq: of 12 photos that can be used none is held out"):
        import_photos.main()


def test_a_labelled_source_without_masks_stops_with_a_sentence(project, monkeypatch):
    changed = json.loads(json.dumps(PARAMS))
    changed["import_photos"]["celebamask"]["source"] = "raw/ffhq"
    write_params(changed)
    monkeypatch.setattr("sys.argv", ["import_photos"])
    with pytest.raises(UserError, match="photos without masks"):
        import_photos.main()


def _change(**settings):
    changed = json.loads(json.dumps(PARAMS))
    changed["import_photos"]["ffhq"] |= settings
    write_params(changed)


def test_alignment_without_weights_stops_before_anything_is_read(project, monkeypatch):
    _change(align="ffhq", align_size_px=32)
    monkeypatch.setattr("sys.argv", ["import_photos"])
    with pytest.raises(UserError, match="detection_Resnet50_Final.pth is not in data/weights") as stop:
        import_photos.main()
    assert "python -m pipelines weights" in str(stop.value)
    assert not (project / "data").exists()


def test_photos_are_aligned_where_asked(project, monkeypatch):
    class Finder:
        batch, missing = 5, "no face found"

        def __init__(self, folder, landmarks, device):
            assert (folder, landmarks, device) == ("data/weights", "5", "cpu")

        def __call__(self, names, photos):
            face = Face(np.array([[12.0, 15], [20, 15]]), np.array([[13.0, 24], [19, 24]]))
            return [None if name.endswith("00003.png") else face for name in names]

    _change(align="ffhq", align_size_px=48)
    monkeypatch.setattr("sys.argv", ["import_photos"])
    monkeypatch.setattr(import_photos, "check_weights", lambda folder, landmarks: None)
    monkeypatch.setattr(import_photos, "FaceDetector", Finder)
    import_photos.main()
    photos, others = PhotoStore("data/photos/ffhq"), PhotoStore("data/photos/celebamask")
    assert len(photos) == 11 and photos.image(0).shape == (48, 48, 3)
    assert others[0].bytes == (project / "raw/celebamask/images/0.jpg").read_bytes()
    assert "no face found" in (project / "data/photos/ffhq/report.csv").read_text()


def test_without_alignment_torch_is_not_loaded(project):
    code = (
        "import sys; from stages import import_photos; import_photos.main(); sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(import_photos.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # The last status line tells what is done, how fast, and what is left.
    assert re.search(r"import_photos: 12/12 photos of celebamask  [0-9.]+ photos/s  0:00 left", done.stderr)
