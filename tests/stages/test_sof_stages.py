"""Stages train_sof and invert_masks in a small project of synthetic heads: files out, resume, same bytes."""

import csv
import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml
from PIL import Image

from sofgan.files import sha256_file
from sofgan.photos.store import HELD_OUT, TRAIN, PhotoStoreWriter
from sofgan.sof.inversion.fit import Fit
from sofgan.sof.sof import load_sof
from sofgan.sof.view_set import split_instances, view_files
from stages import invert_masks, train_sof
from stages.tracking import spool
from tests import scenes
from tests.parameters import write_params

ROOT = Path(__file__).parents[2]


def update(block, changes):
    for key, value in changes.items():
        if isinstance(value, dict):
            update(block[key], value)
        else:
            block[key] = value


@pytest.fixture
def project(workdir):
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["batches"] = ["a", "b"]
    document["runtime"] |= {"device": "cpu", "threads": 1}
    sizes = {"channels": 4, "base_size": 8, "basis_size": 8, "basis": 3, "decoder_hidden": 8}
    small = {"steps": 8, "instances_per_step": 2, "views_per_instance": 2, "rays_per_view": 16}
    every = {"validate_every_steps": 4, "validate_views": 2, "checkpoint_every_steps": 3, "warmup_steps": 2}
    update(document["train_sof"], {"field": sizes, "fit_steps": 2, **small, **every})
    few = {
        "maps": 3,
        "least_miou": 0,
        "starts": 2,
        "maps_per_step": 2,
        "rays_per_map": 16,
        "rehearsal_instances": 2,
    }
    short = {"size": 24, "encoder_steps": 3, "steps": 4, "released_steps": 3}
    update(document["invert_masks"], few | short)
    write_params(document)
    scenes.make_views(workdir / "data/views/a", heads=4, views=3, held_out=1, size=24)
    scenes.make_views(workdir / "data/views/b", heads=1, views=3, held_out=1, size=24)
    with PhotoStoreWriter(workdir / "data/photos/celebamask") as store:
        views = np.load(workdir / "data/views/a/head-000.npz")["labels"]
        picture = io.BytesIO()
        Image.new("RGB", (24, 24)).save(picture, "PNG")
        for index, labels in enumerate(views):
            store.add(f"{index:05d}", picture.getvalue(), labels, TRAIN)
    return workdir


def test_both_stages_write_what_the_later_ones_read_and_twice_the_same(project):
    train_sof.main()
    sof = load_sof("models/sof.pt")
    known, new = split_instances(view_files("data/views", ["a", "b"]), 8, 0)
    assert len(new) == 1  # a fifth of five
    assert sof.instance_names == [f"{path.parent.name}/{path.stem}" for path in known]
    assert sof.codes.shape == (4, 256)
    metrics = json.loads(Path("metrics/all/train_sof.json").read_text())
    assert metrics["instances"] == 4
    assert metrics["training_views"] == 12
    assert metrics["held_out_views"] == 4
    assert 0 < metrics["held_out_miou"] < 1
    assert "iou_skin" in metrics
    assert metrics["new_heads"] == 1
    assert 0 < metrics["new_head_miou"] < 1
    assert "new_head_iou_skin" in metrics
    few = {"field": metrics["held_out_miou"], "new_head": metrics["new_head_miou"]}
    assert json.loads(Path("metrics/train_sof.json").read_text()) == few
    classes = list(csv.DictReader(Path("plots/train_sof_classes.csv").read_text().splitlines()))
    assert list(classes[0]) == ["class", "iou", "new_head_iou"]
    for row in classes:
        for column in ("iou", "new_head_iou"):
            value = metrics.get(f"{column}_{row['class']}")
            assert row[column] == ("" if value is None else f"{value:.6g}")
    assert "share_plausible" not in metrics  # four heads are too few to judge others by
    curve = Path("plots/train_sof.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in curve] == ["step", "4", "8"]
    assert Image.open("data/sof/held_out.png").size == (4 * 24, 2 * 24)
    assert Image.open("data/sof/new_heads.png").size == (24, 2 * 24)
    assert not list(Path(".work/train_sof").glob("*.pt"))

    invert_masks.main()
    found = np.load("data/inverted/inversion.npz")
    assert found["codes"].shape == (3, 256)
    assert found["cam2world"].shape == (3, 4, 4)
    assert found["intrinsics"].shape == (3, 3, 3)
    names = [f"celebamask/0000{i}" for i in (0, 2, 3)]  # spread over four
    assert found["keys"].tolist() == names
    assert found["fitted"].shape == (3, 24, 24)
    both = load_sof("models/sof_inverted.pt")
    assert both.rounds == [1, 1, 1, 1, 2, 2, 2]
    assert both.instance_names[4:] == ["celebamask/00000", "celebamask/00002", "celebamask/00003"]
    metrics = json.loads(Path("metrics/all/invert_masks.json").read_text())
    assert metrics["maps"] == 3
    assert 0 <= metrics["input_miou_worst"] <= metrics["input_miou"] <= 1
    assert json.loads(Path("metrics/invert_masks.json").read_text()) == {"masks": metrics["input_miou"]}

    digest = lambda name: hashlib.sha256(Path(name).read_bytes()).hexdigest()  # noqa: E731
    names = ["models/sof.pt", "models/sof_inverted.pt", "data/inverted/inversion.npz", "plots/train_sof.csv"]
    first = [digest(name) for name in names]
    train_sof.main()
    invert_masks.main()
    assert first == [digest(name) for name in names]


def test_parsed_maps_join_and_badly_fitted_ones_do_not(project):
    with PhotoStoreWriter(project / "data/labels/ffhq") as store:
        store.add("head", None, np.load(project / "data/views/b/head-000.npz")["labels"][0], TRAIN)
        store.add("unseen", None, np.zeros((24, 24), np.uint8), HELD_OUT)
    params = yaml.safe_load((project / "params.yaml").read_text())
    # Nothing searched: the encoder's estimates alone.
    params["invert_masks"] |= {"maps": 2, "parsed_maps": 5, "starts": 0, "new_heads": 0}
    write_params(params)
    train_sof.main()
    invert_masks.main()
    with np.load("data/inverted/inversion.npz") as found:
        keys, miou = found["keys"].tolist(), found["miou"]
        assert keys == ["celebamask/00000", "celebamask/00003", "ffhq/head"] and found["joined"].all()
    worst = int(miou.argmin())
    params["invert_masks"]["least_miou"] = float(np.sort(miou)[:2].mean())
    write_params(params)
    invert_masks.main()
    joined = [key for key in keys if key != keys[worst]]
    assert load_sof("models/sof_inverted.pt").instance_names[4:] == joined
    with np.load("data/inverted/inversion.npz") as found:
        assert found["keys"].tolist() == keys and np.flatnonzero(~found["joined"]).tolist() == [worst]
    metrics = json.loads(Path("metrics/all/invert_masks.json").read_text())
    assert (metrics["maps"], metrics["heads"]) == (3, 2)


def test_maps_are_fitted_at_another_size_than_that_of_views(project):
    """New heads' maps beside masks: in one release, so all of one size."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["invert_masks"] |= {"size": 16}
    write_params(params)
    train_sof.main()
    invert_masks.main()
    metrics = json.loads(Path("metrics/all/invert_masks.json").read_text())
    assert {"new_head_input_miou", "new_head_other_miou"} <= metrics.keys()
    with np.load("data/inverted/inversion.npz") as found:
        assert found["fitted"].shape == (3, 16, 16)


def test_fits_of_maps_that_were_parsed_anew_are_not_gone_on_with(project, monkeypatch):
    """The names of photos stay when another parser sees them; what was fitted to the old maps must not."""
    fingerprints, session = [], invert_masks.session

    def opened(*arguments, inputs, **named):
        fingerprints.append(inputs)
        return session(*arguments, inputs=inputs, **named)

    monkeypatch.setattr(invert_masks, "session", opened)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["invert_masks"] |= {"maps": 0, "parsed_maps": 2, "new_heads": 0}
    write_params(params)
    train_sof.main()
    views = np.load(project / "data/views/a/head-000.npz")["labels"]
    for labels in (views[:2], views[:2], views[1:3]):
        shutil.rmtree(project / "data/labels/ffhq", ignore_errors=True)
        with PhotoStoreWriter(project / "data/labels/ffhq") as store:
            for name, label_map in zip("ab", labels):
                store.add(name, None, label_map, TRAIN)
        fingerprints.append("")
        invert_masks.main()
    first, same, other = (fingerprints[i + 1] for i, value in enumerate(fingerprints) if value == "")
    assert first == same and first["maps"][0] == other["maps"][0] and first != other
    figures = json.loads(Path("metrics/all/invert_masks.json").read_text())
    assert figures["input_miou_parsed"] == pytest.approx(figures["input_miou"])
    assert "input_miou_masks" not in figures


def test_the_papers_preset_visits_masks_and_new_heads_as_often(project, monkeypatch):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["invert_masks"] |= {"preset": "paper", "code_space": "all", "rehearsal_instances": 0}
    write_params(params)
    visits, draw = Counter(), Fit.tasks

    def tasks(fit, index, generator, parameters):
        visits.update(index.tolist())
        return draw(fit, index, generator, parameters)

    monkeypatch.setattr(Fit, "tasks", tasks)
    train_sof.main()
    invert_masks.main()
    assert sorted(visits.values()) == [3, 3, 4, 4]  # 7 steps of 2 maps
    found = np.load("data/inverted/inversion.npz")
    assert found["camera_names"].tolist() == ["x", "y", "z"]
    assert found["cameras"].shape == (3, 3)
    metrics = json.loads(Path("metrics/all/invert_masks.json").read_text())
    for name in ("input_miou", "new_head_input_miou", "new_head_other_miou", "known_head_miou"):
        assert 0 <= metrics[name] <= 1 and 0 <= metrics[f"{name}_frozen"] <= 1
    assert not list(Path(".work/invert_masks").glob("**/*.pt"))


def test_missing_views_say_what_to_run(project):
    for path in (project / "data/views").glob("*/*.npz"):
        path.unlink()
    with pytest.raises(ValueError, match="run render_views"):
        train_sof.main()
    with pytest.raises(FileNotFoundError):
        invert_masks.main()


def test_without_heads_to_spare_all_are_trained_on(project):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train_sof"]["held_out_instances"] = 0
    write_params(params)
    train_sof.main()
    metrics = json.loads(Path("metrics/all/train_sof.json").read_text())
    assert list(json.loads(Path("metrics/train_sof.json").read_text())) == ["field"]
    assert Path("plots/train_sof_classes.csv").read_text().startswith("class,iou\n")
    assert metrics["instances"] == 5
    assert not [name for name in metrics if name.startswith("new_head")]
    assert not Path("data/sof/new_heads.png").exists()


def test_a_batch_is_added_to_an_earlier_field(project):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["batches"] = ["a"]
    write_params(params)
    train_sof.main()
    kept = Path("models/sof.pt").rename("kept.pt")

    params["batches"] = ["a", "b"]
    params["train_sof"]["warm_start"] = {"field": "kept.pt", "sha256": sha256_file(kept), "steps": 4}
    write_params(params)
    train_sof.main()
    sof = load_sof("models/sof.pt")
    assert sof.instance_names == [*(f"a/head-{i:03d}" for i in range(4)), "b/head-000"]
    assert Path("plots/train_sof.csv").read_text().splitlines()[1].startswith("4,")


def stage_process(**environment: str) -> subprocess.Popen:
    """`python -m stages.train_sof` with its output in stage.log."""
    path = os.pathsep.join([str(ROOT), *sys.path])
    with open("stage.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "stages.train_sof"],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
            stdout=log,
            stderr=log,
        )


def test_of_several_processes_the_first_alone_writes_and_tells(project):
    """Two processes, by a parameter, end as one does, with one set of files and one run for MLflow."""
    train_sof.main()
    names = [
        "metrics/all/train_sof.json",
        "metrics/train_sof.json",
        "plots/train_sof_classes.csv",
        "plots/train_sof.csv",
        "data/sof/new_heads.png",
        "models/sof.pt",
    ]
    alone = json.loads(Path(names[0]).read_text())
    for name in names:
        Path(name).unlink()
    # While a mirror's lock is taken, none is started.
    (project / ".work/tracking").mkdir(parents=True)
    with open(project / ".work/tracking/mirror.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        params = yaml.safe_load((project / "params.yaml").read_text())
        params["runtime"]["train_processes"] = 3  # one more than there are instances in a step
        write_params(params)
        assert stage_process(SOFGAN_TRACKING="on").wait(300) == 0, Path("stage.log").read_text()
    said = Path("stage.log").read_text()
    assert said.count("train_sof: judging") == said.count("3 processes can't train together here") == 1
    together = json.loads(Path(names[0]).read_text())
    assert together.keys() == alone.keys()
    assert together["held_out_miou"] == pytest.approx(alone["held_out_miou"], abs=0.02)
    assert all(Path(name).is_file() for name in names)
    assert not list(Path(".work/train_sof").glob("*.pt"))
    (entry,) = spool.entries(project)
    events = [json.loads(line) for line in (entry / "events.jsonl").read_text().splitlines()]
    assert events[-1]["kind"] == "end" and events[-1]["status"] == "FINISHED"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_process_goes_on_where_two_were_stopped(project, number):
    """None of the two is left behind, also where torchrun itself is killed and can't stop them."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train_sof"] |= {"steps": 200, "validate_every_steps": 10, "checkpoint_every_steps": 10}
    write_params(params)
    stage = psutil.Process(stage_process(SOFGAN_TRAIN_PROCESSES="2").pid)
    states = lambda: sorted(Path(".work/train_sof").glob("*.pt"))  # noqa: E731
    end = time.monotonic() + 200
    while not states():
        assert stage.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end, Path(
            "stage.log"
        ).read_text()
        time.sleep(0.02)
    trainers = stage.children()
    assert len(trainers) == 2
    stage.send_signal(number)
    stage.wait(60)
    assert not psutil.wait_procs(trainers, 30)[1]
    assert not Path("models/sof.pt").exists()
    state = torch.load(states()[-1], weights_only=True)

    train_sof.main()
    rows = Path("plots/train_sof.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(step) for step in range(10, 201, 10)]
    losses = [float(row.split(",")[1]) for row in rows[1:]]
    known = [row["loss"] for row in state["curve"]]  # Made by two, and not again.
    assert known and losses[: len(known)] == pytest.approx(known, rel=1e-4)
