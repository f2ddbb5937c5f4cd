"""From raw scans to views, and the portraits, as DVC would run the stages one after the other."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import yaml

from sofgan import labels
from sofgan.parsing.config import ParserConfig
from sofgan.parsing.parser import FaceParser, save_parser
from sofgan.scans.ingestion import NoUsableScan
from sofgan.scans.unlabelled.shape_data import Pictures
from stages import (
    batch_metrics,
    ingest_scans,
    make_avatars,
    make_portraits,
    render_views,
    train_shape_parser,
)
from tests.parameters import write_params

_DEFAULTS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())


@pytest.fixture
def project(workdir):
    """An empty project with the demo's parameters, but few and small."""
    document = {
        "seed": 0,
        "batches": ["some"],
        "runtime": {"device": "cpu", "workers": 1, "threads": 1},
        "make_avatars": _DEFAULTS["make_avatars"] | {"scans_per_batch": 2},
        "train_shape_parser": _DEFAULTS["train_shape_parser"]
        | {"held_out_people": 1, "validation_people": 1, "views_per_person": 2, "steps": 2, "batch": 2}
        | {"parser": {"arch": "unet", "size": 32, "width": 4, "order": "17"}},
        "ingest_scans": _DEFAULTS["ingest_scans"],
        "render_views": _DEFAULTS["render_views"] | {"views_per_scan": 5, "held_out_views": 1, "size_px": 64},
        "make_portraits": _DEFAULTS["make_portraits"]
        | {"ffhq_photos": 1, "celebamask_photos": 1, "size_px": 64},
    }
    write_params(document)
    return workdir


def _run(stage, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["stage", *arguments])
    stage.main()


def test_avatars_become_views_in_which_every_pixel_has_a_class(project, monkeypatch):
    for stage in (make_avatars, ingest_scans, render_views):
        _run(stage, monkeypatch, "--batch", "some")
    figures = json.loads((project / "data/scans/some/figures.json").read_text())
    assert (figures["scans_usable"], figures["scans_rejected"]) == (2, 0)
    rows = (project / "data/scans/some/report.csv").read_text().splitlines()
    # One comes as GLB with named parts, one as OBJ with a segmentation texture.
    assert {row.split(",")[5] for row in rows[1:]} == {"names", "segmentation texture"}
    for path in (project / "data" / "views" / "some").glob("*.npz"):
        views = np.load(path)
        assert views["labels"].shape == (5, 64, 64)
        seen = set(np.unique(views["labels"][0]))
        assert {
            labels.BACKGROUND,
            labels.SKIN,
            labels.R_NOSE,
            labels.L_NOSE,
            labels.U_LIP,
            labels.NECK,
        } <= seen
        columns = [
            np.nonzero(views["labels"][0] == nose)[1].mean() for nose in (labels.R_NOSE, labels.L_NOSE)
        ]
        assert columns[0] < 32 < columns[1]
        assert views["split"].sum() == 1
    assert (project / "data/views/some/contact_sheet.png").exists()

    _run(batch_metrics, monkeypatch)
    assert json.loads((project / "metrics/all/ingest_scans.json").read_text()) == figures | {"batches": 1}
    areas = json.loads((project / "metrics/all/render_views.json").read_text())
    assert (areas["batches"], areas["scans"], areas["views"]) == (1, 2, 10)
    assert sum(areas[f"area_{name}"] for name in labels.NAMES) == pytest.approx(1)


def test_figures_of_batches_are_weighted_by_what_they_hold():
    large = {"scans_usable": 30.0, "scans_rejected": 0.0, "has_hat": 0.1}
    small = {"scans_usable": 10.0, "scans_rejected": 2.0, "has_hat": 0.5}
    found = batch_metrics.together([large, small], ("scans_usable", "scans_rejected"))
    assert found == {
        "batches": 2,
        "scans_usable": 40,
        "scans_rejected": 2,
        "has_hat": pytest.approx((3 + 5) / 40),
    }
    # A batch without void surfaces has no figure of them.
    for pair in ([small, large | {"area_void": 0.2}], [large | {"area_void": 0.2}, small]):
        found = batch_metrics.together(pair, ("scans_usable", "scans_rejected"))
        assert found["area_void"] == pytest.approx(0.2 * 30 / 40)


def test_portraits_stage_writes_both_sets_and_spares_its_neighbours(project, monkeypatch):
    mine = project / "data" / "raw" / "portraits" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("keep")
    _run(make_portraits, monkeypatch)
    assert mine.read_text() == "keep"
    assert (mine.parent / "ffhq" / "00000.png").exists()
    assert (mine.parent / "celebamask" / "CelebA-HQ-img" / "0.jpg").exists()
    assert json.loads((project / "metrics/all/make_portraits.json").read_text())["ffhq_photos"] == 1


def test_a_missing_batch_stops_with_a_sentence(project, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no such batch: data/raw/scans/nowhere"):
        _run(ingest_scans, monkeypatch, "--batch", "nowhere")
    with pytest.raises(FileNotFoundError, match="run ingest_scans first"):
        _run(render_views, monkeypatch, "--batch", "nowhere")


_STAGE_WITHOUT_TORCH = """
import sys
from stages import ingest_scans

sys.argv = ["stage", "--batch", "some"]
ingest_scans.main()
assert "torch" not in sys.modules, "torch was imported"
"""


def test_the_trained_parser_is_asked_for_scans_without_labels_alone(project, monkeypatch):
    def reasons():
        report = (project / "data/scans/some/report.csv").read_text()
        return {row["file"]: row["reason"] for row in csv.DictReader(report.splitlines())}

    _run(make_avatars, monkeypatch, "--batch", "some")
    raw = project / "data/raw/scans/some"
    (raw / "avatar_0001.obj").unlink()  # One is enough.
    square = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
        [[0, 1, 2], [0, 2, 3]],
        vertex_colors=[[200, 90, 0, 255], [0, 200, 90, 255], [90, 0, 200, 255], [90, 90, 90, 255]],
    )
    (raw / "bare.ply").write_bytes(square.export(file_type="ply"))
    done = subprocess.run(
        [sys.executable, "-c", _STAGE_WITHOUT_TORCH],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert reasons()["avatar_0000.glb"] == ""
    assert "no parser at models/parsers/photos.pt" in reasons()["bare.ply"]
    # An untrained one finds no face: its refusal tells that it was asked.
    torch.manual_seed(0)
    save_parser("models/parsers/photos.pt", FaceParser(ParserConfig("unet", 32, 4)))
    _run(ingest_scans, monkeypatch, "--batch", "some")
    assert "face found" in reasons()["bare.ply"] and "`front` in scan.yaml" in reasons()["bare.ply"]
    figures = json.loads((project / "data/scans/some/figures.json").read_text())
    assert (figures["scans_usable"], figures["scans_rejected"]) == (1, 1)


def test_a_parser_of_shapes_is_trained_where_it_is_asked_for_and_used(project, monkeypatch):
    def reason():
        with pytest.raises(NoUsableScan) as caught:
            _run(ingest_scans, monkeypatch, "--batch", "some")
        return str(caught.value)

    raw = project / "data/raw/scans/some"
    raw.mkdir(parents=True)
    (raw / "bare.stl").write_bytes(trimesh.creation.icosphere(2).export(file_type="stl"))
    _run(train_shape_parser, monkeypatch)
    assert (project / "models/parsers/shapes.pt").read_bytes() == b"none\n"
    assert json.loads((project / "metrics/all/train_shape_parser.json").read_text()) == {"people": 0}
    assert "`train_shape_parser: people` above 0" in reason()

    document = yaml.safe_load((project / "params.yaml").read_text())
    document["train_shape_parser"]["people"] = 1
    write_params(document)

    def drawn(config, seed, workers, progress):
        # OpenGL and torch's training in one process would crash: pictures are drawn in others even where one works.
        assert (config.people, workers) == (1, 2)
        generator = np.random.default_rng(seed)
        shape = 3 * config.views_per_person, 32, 32
        maps = generator.integers(0, labels.NUM_CLASSES, shape).astype(np.uint8)
        return tuple(Pictures(labels.colorize(one), one) for one in np.split(maps, 3))

    monkeypatch.setattr(train_shape_parser, "picture_people", drawn)
    _run(train_shape_parser, monkeypatch)
    figures = json.loads((project / "metrics/all/train_shape_parser.json").read_text())
    assert (figures["people"], figures["held_out_views"]) == (1, 2) and 0 <= figures["held_out_miou"] <= 1
    assert not list((project / ".work").glob("train_shape_parser/*.pt"))
    parser = ingest_scans._shape_parser()
    assert parser.size == 32
    assert parser(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, labels.NUM_CLASSES, 32, 32)
