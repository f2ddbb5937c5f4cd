"""The doctor finds what is broken, and says how to mend it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import batches, doctor
from sofgan.files import sha256_file
from sofgan.scores.inception_weights import INCEPTION, INCEPTION_SHA256
from tests.parameters import write_params

CODE = Path(__file__).parents[2]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A folder with nothing but a small params.yaml."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI", "SOFGAN_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "params.yaml").write_text("batches: [mine, avatars-000]\navatars: {batches: [avatars-000]}\n")
    return tmp_path


def states(lines) -> list[str]:
    """The states of findings."""
    return [line.state for line in lines]


def test_the_label_cube_is_drawn_exactly_here():
    (line,) = doctor.labels()
    assert line.state == "ok", line


def test_a_broken_driver_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "call", lambda command: (1, "Traceback\nImportError: no EGL library\n"))
    (line,) = doctor.labels()
    assert line.state == "FIX" and "no EGL library" in line.text and "apt-get install" in line.fix
    words = "EGL_DEVICE_ID is 3, but EGL has one device -> unset EGL_DEVICE_ID\n"
    monkeypatch.setattr(doctor, "call", lambda command: (1, words))
    (line,) = doctor.labels()
    assert line.text.endswith("EGL has one device") and line.fix == "unset EGL_DEVICE_ID"
    monkeypatch.setenv("MESA_GL_VERSION_OVERRIDE", "2.1")
    assert "MESA_GL_VERSION_OVERRIDE=2.1" in list(doctor.labels())[1].text
    monkeypatch.setattr(doctor, "call", lambda command: (1, "7 pixels of the label cube are wrong\n"))
    assert "7 pixels" in next(iter(doctor.labels())).text


def test_a_wrong_pair_and_a_missing_gpu(monkeypatch):
    found = '{"torch": "2.14", "cuda": null, "gpus": [], "pair": "torchvision::nms does not exist"}'
    monkeypatch.setattr(doctor, "call", lambda command: (0, "a warning\n" + found + "\n"))
    lines = list(doctor.torch())
    assert states(lines) == ["FIX", "note"] and "nms" in lines[0].text


def test_fastapi_that_breaks_prefect(monkeypatch):
    versions = {"dvc": "3.67", "mlflow": "3.17", "prefect": "3.8.8", "fastapi": "0.151.0"}
    monkeypatch.setattr(doctor.importlib.metadata, "version", versions.__getitem__)
    assert states(doctor.workflow())[0] == "FIX"
    versions["fastapi"] = "0.150.2"
    assert "FIX" not in states(doctor.workflow())


def test_batches_without_scans(empty):
    lines = list(doctor.data())
    assert states(lines) == ["FIX", "ok"]
    assert "mine" in lines[0].text and "data/raw/scans/mine" in lines[0].fix
    assert "dvc repro makes the rest" in lines[1].text
    (empty / "data/raw/scans").mkdir(parents=True)
    (empty / "data/raw/scans/mine.dvc").touch()  # As in a clone.
    assert next(iter(doctor.data())).fix == "dvc pull data/raw/scans/mine.dvc"


def test_what_was_made_of_batches_out_of_use_is_named(empty):
    for path in ("data/views/mine", "data/views/old", "data/scans/old", "data/scans/avatars-000"):
        (empty / path).mkdir(parents=True)
    line = list(doctor.data())[-1]
    assert (line.state, line.fix) == ("note", "rm -r data/scans/old data/views/old")
    assert "data/scans/old, data/views/old" in line.text


def test_batches_are_told_by_their_scans(empty):
    for name in ("mine/s01/head.obj", "mine/s01/skin.png", "mine/s02/head.obj"):
        (empty / "data/raw/scans" / name).parent.mkdir(parents=True, exist_ok=True)
        (empty / "data/raw/scans" / name).write_text("x")
    assert [line.text for line in doctor.data()] == [
        "batch 'mine': 2 scans (2 obj), 3 files; 0 scans ingested, 0 rendered; dvc repro makes the rest",
        "batch 'avatars-000': no raw files; 0 scans ingested, 0 rendered; dvc repro makes the rest",
    ]


@pytest.fixture
def project(real_files, tmp_path, monkeypatch) -> Path:
    """A project with a batch, a photo set and a file of weights that DVC holds."""
    root = Path(shutil.copytree(real_files, tmp_path / "project"))
    monkeypatch.chdir(root)
    for name in ("data/raw/scans/may/a.obj", "data/raw/photos/1.jpg", "data/weights/a.pth"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        batches.hold(root, path if path.suffix == ".pth" else path.parent)
    return root


def test_what_dvc_does_not_see_is_named(project):
    assert list(map(str, doctor.held())) == ["ok    DVC sees every .dvc file of the project"]
    ours = (project / ".gitignore").read_text()
    # As it was, by which DVC's matcher takes data/raw/ for ignored.
    (project / ".gitignore").write_text(ours.replace("/data/raw/?*", "/data/raw/*"))
    lines = list(doctor.held())
    assert states(lines) == ["FIX", "FIX"]
    assert [line.text.split(":")[0] for line in lines] == [
        "DVC does not see data/raw/photos.dvc",
        "DVC does not see data/raw/scans/may.dvc",
    ]
    assert "data/raw/ is left out, so `dvc push` leaves out what it holds" in lines[0].text
    assert "`folder/?*`" in lines[0].fix
    (project / ".gitignore").write_text(ours)
    (project / ".dvcignore").write_text("*.pth.dvc\n")
    (line,) = doctor.held()
    assert line.state == "FIX" and "data/weights/a.pth.dvc: by .dvcignore data/weights/a.pth.dvc" in line.text
    (project / "data/raw/photos/x.dvc").write_text(
        "data"
    )  # In what DVC holds it is no .dvc file of the project's.
    (project / ".dvcignore").write_text("")
    assert states(doctor.held()) == ["ok"]
    (project / "data/raw/photos.dvc").write_text("<<<<<<< HEAD\n")
    (line,) = doctor.held()
    assert line.state == "FIX" and "data/raw/photos.dvc" in line.text


def test_what_dvc_does_not_hold_is_named(project):
    text = (project / "params.yaml").read_text()
    text = text.replace(
        "source: data/raw/portraits/ffhq", "source: data/raw/photos/more"
    )  # In what it holds.
    text = text.replace("source: data/raw/portraits/celebamask", "source: data/raw/masks")
    text = text.replace("batches: [avatars-000]", "batches: [may, hand]", 1)
    write_params(text)
    for name in ("data/raw/scans/hand", "data/raw/masks", "data/raw/photos/more", "data/raw/real/masks"):
        (project / name).mkdir(parents=True)
    lines = list(doctor.held())
    assert states(lines) == ["note", "note", "ok"]
    assert [line.fix for line in lines[:2]] == ["dvc add data/raw/scans/hand", "dvc add data/raw/masks"]
    # What lies deeper is held by the folder that DVC can hold: .dvc files beside it are git's no more.
    write_params(text.replace("data/raw/masks", "data/raw/real/masks"))
    assert [line.fix for line in doctor.held()][1] == "dvc add data/raw/real"


def test_params_are_checked_block_by_block(empty):
    assert "FIX" in states(doctor.parameters())
    write_params("batchez: [a]\n")
    assert any("did you mean 'batches'" in line.text for line in doctor.parameters())


def test_tracking_is_looked_at(empty, monkeypatch):
    assert states(doctor.tracking()) == ["ok"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (line,) = doctor.tracking()
    assert line.state == "note" and "doesn't answer" in line.text


def test_no_dvc_project_and_link_types(empty):
    assert states(doctor.disk())[-1] == "FIX"
    assert doctor.link_types(empty)[-1] == "copy" and not list(empty.glob("tmp*"))


def test_weights_that_params_name(tmp_path):
    path = tmp_path / "parser.pth"
    path.write_bytes(b"x")
    block = {
        "steps": 3,
        "pretrained": {"path": str(path), "sha256": sha256_file(path)},
        "none": {"path": "", "sha256": ""},
    }
    assert list(doctor.weight_files(block, "train_parser")) == [
        ("train_parser.pretrained", path, sha256_file(path))
    ]
    assert list(doctor.weight_files({"inception_weights": ""}, "evaluate")) == []
    (found,) = doctor.weight_files({"inception_weights": f"data/weights/{INCEPTION}"}, "evaluate")
    assert found == ("evaluate.inception_weights", Path("data/weights", INCEPTION), INCEPTION_SHA256)
    assert doctor._weights_fix(found[1]).startswith("python -m pipelines weights")


def test_pipelines_never_import_torch():
    code = "import sys, pipelines.__main__, pipelines.dvc_stages, pipelines.summary; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=CODE, check=True)
