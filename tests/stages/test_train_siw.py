import csv
import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from sofgan.errors import InputError
from sofgan.photos.store import HELD_OUT, TRAIN, PhotoStore, PhotoStoreWriter
from sofgan.siw.condition_store import EVALUATION, TRAINING, ConditionsError, write_index, write_shard
from sofgan.siw.model import load_siw
from sofgan.siw.photo_sources import open_exam
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.portrait_poses import Poses
from stages import params as stage_params
from stages import train_siw
from tests.parameters import write_params

BLOCK = {
    "kimg": 0.016, "trial": 0, "batch": 4, "learning_rate_generator": 0.002, "learning_rate_discriminator": 0.002,
    "cooldown": 0.3, "two_style_probability": 0.9, "soft_mix_probability": 0.5, "r1_gamma": 1.0, "r1_every": 2,
    "path_length_weight": 2.0, "path_length_every": 0, "consistency_rate": 0.0, "consistency_every": 0,
    "consistency_by": "difference",
    "photo_sets": ["ffhq", "celebamask"], "photo_proportions": {}, "share_fakes": True,
    "mix_by": "groups", "growth": [], "accumulate": 1, "augment_kimg": 0, "augment_target": 0.6,
    "compile": False, "scale_max": 1.2, "mirror": True, "ema_halflife_kimg": 1, "ema_rampup": 0.1,
    "map_proportions": {"parsed": 0.4, "celebamask": 0.3, "sof": 0.3}, "memory_limit_gb": 1,
    "generator": {
        "resolution": 16, "label_size": 16, "start_size": 4, "z_dim": 8, "w_dim": 8, "mapping_layers": 2,
        "channel_base": 64, "channel_max": 8, "encoder_channels": [4, 8],
    },
    "discriminator": {
        "kind": "residual", "channel_base": 64, "channel_max": 8, "palette_weight": 0.0, "projected_augment": [],
    },
    "report_every_kimg": 0.008, "sample_grid": [3, 2], "autocast": False,
    "scores": {"every_kimg": 0.008, "images": 3, "keep_all": False},
}  # fmt: skip


def write_store(path, count, photos, labels, held_out=1):
    rng = np.random.default_rng(count)
    with PhotoStoreWriter(path) as store:
        for index in range(count):
            content = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(content, "PNG")
            blocks = rng.integers(0, 17, (3, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            store.add(
                f"{index:05d}", content.getvalue() if photos else None, blocks if labels else None,
                split=HELD_OUT if index < held_out else TRAIN,
            )  # fmt: skip


def write_conditions(folder, count, views=1):
    """Maps of twice the size that they are cut to."""
    folder.mkdir()
    maps, matrices = np.ones((count, 32, 32), np.uint8), np.tile(np.eye(4), (count, 1, 1))
    poses = Poses(matrices, matrices[:, :3, :3], np.zeros((count, 3)))
    entries = [write_shard(folder, TRAINING, 0, maps, maps, poses, np.zeros((count, 4)))] if count else []
    write_index(folder, Framing(20.0, 0.05, 7.7), 32, {TRAINING: entries, EVALUATION: []}, views)


@pytest.fixture
def project(workdir):
    runtime = {"device": "cpu", "workers": 1, "threads": 1}
    write_params({"seed": 0, "runtime": runtime, "train_siw": BLOCK})
    write_store(workdir / "data/photos/ffhq", 6, photos=True, labels=False)
    write_store(workdir / "data/photos/celebamask", 5, photos=True, labels=True)
    write_store(workdir / "data/labels/ffhq", 6, photos=False, labels=True)
    write_conditions(workdir / "data/conditions", 3)
    return workdir


def test_stage_writes_model_samples_curves_and_metrics(project):
    train_siw.main()
    siw = load_siw("models/siw.pt")
    assert siw.framing == Framing(20.0, 0.05, 7.7) and siw.resolution == 16
    assert np.asarray(Image.open("data/siw/samples.png")).shape == (48, 48, 3)
    assert np.asarray(Image.open("data/siw/restyle.png")).shape == (48, 112, 3)
    lines = (project / "plots/train_siw.csv").read_text().splitlines()
    assert lines[0].startswith("kimg,") and len(lines) == 3
    figures = json.loads((project / "metrics/all/train_siw.json").read_text())
    assert figures["kimg"] == pytest.approx(0.016) and "loss_g" in figures
    assert json.loads((project / "metrics/train_siw.json").read_text()) == {"kimg": figures["kimg"]}
    scores = (project / "plots/train_siw_scores.csv").read_text().splitlines()
    # One photo is held out, by which nothing can be told.
    assert scores == ["kimg,running_fd_lite0,running_fd_lite0_floor", "0.016,nan,nan"]
    assert list((project / "models/siw_scored").iterdir()) == []
    assert not (project / ".work/train_siw").exists()  # Or a later run would resume the finished one.


def test_a_training_is_scored_by_held_out_people_and_its_best_generator_stays(project):
    for folder, photos in (("data/photos/ffhq", True), ("data/labels/ffhq", False)):
        shutil.rmtree(project / folder)
        write_store(project / folder, 6, photos=photos, labels=not photos, held_out=3)
    train_siw.main()
    with open("plots/train_siw_scores.csv") as file:
        rows = list(csv.DictReader(file))
    # One of celebamask's is held out: too few for a distance.
    assert list(rows[0]) == ["kimg", "running_fd_lite0", "running_fd_lite0_floor"]
    assert [float(row["kimg"]) for row in rows] == [0.008, 0.016]
    assert "fd_lite0" not in (project / "plots/train_siw.csv").read_text()
    figures = json.loads((project / "metrics/all/train_siw.json").read_text())
    best = min(rows, key=lambda row: float(row["running_fd_lite0"]))
    assert figures["best_kimg"] == pytest.approx(float(best["kimg"]))
    assert figures["running_fd_lite0"] == pytest.approx(float(rows[1]["running_fd_lite0"]), rel=1e-5)
    assert [path.name for path in (project / "models/siw_scored").iterdir()] == ["best.pt"]
    kept, last = load_siw("models/siw_scored/best.pt"), load_siw("models/siw.pt")
    assert kept.framing == last.framing
    pairs = zip(kept.generator.state_dict().values(), last.generator.state_dict().values())
    assert all(torch.equal(*pair) for pair in pairs) == (best is rows[1])


def test_what_a_training_is_scored_by_is_held_out_and_as_large_as_pictures(project):
    write_store(project / "more", 9, photos=True, labels=True, held_out=4)
    params = stage_params.read_params("train_siw")
    store = PhotoStore(project / "more")
    exam = open_exam({"more": (store, store)}, params, 0, 1)
    assert list(exam.maps) == ["more"] and exam.maps["more"].fetch(np.arange(3)).shape == (3, 16, 16)
    assert len(exam.held_out) == len(exam.trained_on) == params.scores.images == 3
    held = [store.image(i, 16) for i in np.flatnonzero(store.splits() == HELD_OUT)]
    for photo in exam.held_out.fetch(np.arange(3)):
        assert any((photo == other).all() for other in held)
    for photo in exam.trained_on.fetch(np.arange(3)):
        assert not any((photo == other).all() for other in held)
    assert open_exam({"more": (store, store)}, params, 1, 1).seed == 1
    none = dataclasses.replace(params.scores, every_kimg=0)
    assert open_exam({"more": (store, store)}, dataclasses.replace(params, scores=none), 0, 1) is None


def test_held_out_photos_are_not_trained_on(project):
    params = stage_params.read_params("train_siw")
    assert [len(source) for source in train_siw._photos(params, 1)[:2]] == [5 + 4, 5 + 4]
    assert len(train_siw._maps(params, train_siw.MAPS["parsed"], 1)) == 5


def test_the_largest_photo_decides_how_large_photos_are_kept(project):
    """Whatever comes first: sets and folders of several sizes are kept as the finest can be cut, twice the picture."""
    shutil.rmtree(project / "data/photos/ffhq")
    with PhotoStoreWriter(project / "data/photos/ffhq") as store:
        for name, size in (("a", 16), ("b", 64), ("c", 16), ("d", 16), ("e", 16)):
            picture = io.BytesIO()
            Image.new("RGB", (size, size)).save(picture, "PNG")
            store.add(name, picture.getvalue(), None, TRAIN)
    params = dataclasses.replace(stage_params.read_params("train_siw"), photo_sets=("ffhq",))
    photos, *_ = train_siw._photos(params, 1)
    assert photos.fetch(np.arange(5)).shape == (5, 32, 32, 3)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_maps_of_the_field_are_needed_where_they_have_a_share(project, share):
    shutil.rmtree(project / "data/conditions")
    write_conditions(project / "data/conditions", 0)
    document = yaml.safe_load((project / "params.yaml").read_text())
    document["train_siw"] |= {
        "kimg": 0.004,
        "map_proportions": {"parsed": 0.5, "celebamask": 0, "sof": share},
    }
    write_params(document)
    if share:
        with pytest.raises(InputError, match="no maps to train on.*sof a share"):
            train_siw.main()
    else:
        train_siw.main()
        assert load_siw("models/siw.pt").framing.distance == 7.7


def test_views_of_heads_are_compared_where_the_field_has_no_share(project):
    document = yaml.safe_load((project / "params.yaml").read_text())
    document["train_siw"] |= {"consistency_rate": 1.0, "consistency_every": 1, "kimg": 0.004}
    document["train_siw"]["map_proportions"] |= {"sof": 0}
    write_params(document)
    with pytest.raises(ConditionsError, match="3 heads of 1 views.*views_per_head"):
        train_siw.main()
    shutil.rmtree(project / "data/conditions")
    write_conditions(project / "data/conditions", 4, views=2)
    train_siw.main()
    assert "view_difference" in json.loads((project / "metrics/all/train_siw.json").read_text())


def test_maps_are_kept_at_twice_the_size_that_is_seen_of_them_at_most(project):
    params = stage_params.read_params("train_siw")
    found = [
        dataclasses.replace(params, generator=dataclasses.replace(params.generator, resolution=size)).map_size
        for size in (8, 16, 512)
    ]
    assert found == [16, 32, 32]
