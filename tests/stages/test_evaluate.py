"""The stage `evaluate` on models that know nothing: every number and picture is there, twice the same."""

import csv
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.cameras import intrinsics_from_fov, orbit
from sofgan.errors import UserError
from sofgan.evaluation import shards
from sofgan.parsing.config import ParserConfig
from sofgan.parsing.parser import FaceParser, save_parser
from sofgan.photos.store import PhotoStoreWriter
from sofgan.siw.condition_store import EVALUATION, TRAINING, Conditions, write_index, write_shard
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw, save_siw
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.portrait_poses import Poses
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.model import new_model
from sofgan.sof.sampling import fit_mixture
from sofgan.sof.sof import Sof, save_sof
from stages import evaluate
from stages.execution import dask_shards
from tests.parameters import write_params
from tests.stages.test_train_siw import BLOCK

PARAMS = {
    "seed": 0,
    "batches": ["a"],
    "runtime": {"device": "cpu", "workers": 1, "threads": 1},
    "sample_conditions": {
        "maps": 0,
        "evaluation_maps": 6,
        "size_px": 32,
        "sampling": {
            "method": "random",
            "bases": 2,
            "concentration": 1.0,
            "neighbours": 2,
            "people_share": 0.0,
            "judged": True,
        },
        "framing": {
            "cameras": "uniform",
            "yaw_balance": 0.0,
            "views_per_head": 1,
            "yaw_degrees": 20.0,
            "pitch_degrees": 5.0,
            "reference_maps": 3,
            "reference_heads": 2,
        },
    },
    "evaluate": {
        "images": 6,
        "sof_images": 6,
        "extractors": ["parser"],
        "inception_weights": "",
        "batch": 4,
        "kid_subset": 4,
        "frequent_share": 0.01,
        "restyled_maps": 3,
        "held_out_views": 0,
        "grid": [2, 3],
        "turntable_yaws_degrees": [-20.0, 0.0, 20.0],
        "turntable_styles": 2,
        "turntable_frames": 3,
        "orbit_heads": 2,
        "orbit_avatars": 0,
        "orbit_styles": 2,
        "orbit_yaws_degrees": [-10.0, 0.0, 10.0],
    },
    "train_siw": BLOCK | {"photo_sets": ["ffhq"]},
}


# Splits of the photos: 0 to train on, 1 held out, 2 to choose a state by.
FFHQ = (1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0)
CELEBAMASK = (0, 1, 2, 1, 0, 1, 1, 0, 1, 0)


def _png(generator):
    import io

    buffer = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _stores():
    generator = np.random.default_rng(0)
    for name, photos, maps, splits in [
        ("data/photos/ffhq", True, False, FFHQ),
        ("data/labels/ffhq", False, True, FFHQ),
        ("data/photos/celebamask", True, True, CELEBAMASK),
    ]:
        with PhotoStoreWriter(name) as writer:
            for i, split in enumerate(splits):
                labels = generator.integers(0, 17, (32, 32), dtype=np.uint8) if maps else None
                writer.add(str(i), _png(generator) if photos else None, labels, split)


def _models():
    torch.manual_seed(0)
    field = FieldConfig(
        code_size=8, channels=2, base_size=8, basis_size=4, basis=2, local_basis=0, decoder_hidden=8
    )
    config = SofConfig(field, MarcherConfig(samples=4, surface_samples=2))
    model = new_model(config, 2, 0.1, 0).eval().requires_grad_(False)
    poses = torch.from_numpy(orbit(np.zeros(1), np.zeros(1), 4.0)).float()
    intrinsics = torch.from_numpy(intrinsics_from_fov(29.0)).float()
    space = fit_mixture(model.codes, 1, 2, 0)
    save_sof("models/sof_inverted.pt", Sof(model, ["a/x", "celebamask/0"], [1, 2], space, poses, intrinsics))
    generator = GeneratorConfig(
        resolution=16, label_size=16, start_size=8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128,
        channel_max=8, encoder_channels=(8,), spade_sizes=(16, 16), spade_hidden=4, spade_max_size=8,
    )  # fmt: skip
    save_siw("models/siw.pt", Siw(Generator(generator).requires_grad_(False), "cpu", Framing(20.0, 0.0, 4.0)))
    save_parser("models/parsers/photos.pt", FaceParser(ParserConfig("unet", 32, 4)))


def _views_and_inversion():
    generator = np.random.default_rng(1)
    poses = orbit(np.array([0.0, 0.3]), np.zeros(2), 4.0).astype(np.float32)
    np.savez_compressed(
        "data/views/a/x.npz",
        labels=generator.integers(0, 17, (2, 16, 16), dtype=np.uint8),
        depth=np.full((2, 16, 16), 4, np.float16),
        cam2world=poses,
        intrinsics=intrinsics_from_fov(29.0).astype(np.float32),
        split=np.array([0, 1], np.uint8),
    )
    truth = generator.integers(0, 2, (3, 16, 16), dtype=np.uint8)
    fitted = truth.copy()
    fitted[0] = 1 - fitted[0]
    np.savez_compressed("data/inverted/inversion.npz", labels=truth, fitted=fitted)


def _conditions(folder, training=4, evaluation=7):
    """Heads of which those to train on are all hair, and those to score by are random maps."""
    folder.mkdir()
    generator, sets = np.random.default_rng(2), {}
    for name, count in ((TRAINING, training), (EVALUATION, evaluation)):
        maps = generator.integers(0, 17, (count, 32, 32), dtype=np.uint8)
        if name == TRAINING:
            maps[:] = 10
        poses = orbit(generator.uniform(-0.4, 0.4, count), np.zeros(count), 4.0)
        seen = Poses(poses, poses[:, :3, :3], poses[:, 0])
        sets[name] = [write_shard(folder, name, 0, maps, maps, seen, poses[:, 0])]
    write_index(folder, Framing(20.0, 0.0, 4.0), 32, sets)


@pytest.fixture
def project(workdir, monkeypatch):
    monkeypatch.setattr("sys.argv", ["evaluate"])
    write_params(PARAMS)
    for folder in ("data/views/a", "data/inverted"):
        (workdir / folder).mkdir(parents=True)
    _stores()
    _models()
    _views_and_inversion()
    _conditions(workdir / "data/conditions")
    return workdir


def test_every_number_and_picture_is_there_twice_the_same(project):
    evaluate.main()
    written = [project / "metrics/all/evaluation.json", *sorted((project / "data/evaluation").iterdir())]
    figures = json.loads(written[0].read_text())
    # Each distance and its floor are of as many pictures: 4 of 11 FFHQ-like photos are held out, 5 of 10 with masks.
    for suffix, count in [
        ("", 4),
        ("_celebamask_maps", 4),
        ("_celebamask", 5),
        ("_sof_maps", 4),
        ("_held_out", 2),
    ]:
        assert figures[f"n_a_side{suffix}"] == count
        for end in ("", "_floor"):
            low, value, high = (figures[f"fd_parser{suffix}{end}{bound}"] for bound in ("_low", "", "_high"))
            assert 0 <= low <= value <= high and f"kd_parser{suffix}{end}" in figures
    # Where there are more training photos than held-out maps, these are painted more than once: `images` are 6.
    assert figures["n_a_side_repeated"] == 6 and figures["fd_parser_repeated"] >= 0
    assert "fd_parser_repeated_floor" not in figures
    # A map of three is all wrong: each image counts alike, or each pixel.
    assert figures["inversion_image_miou"] == pytest.approx(2 / 3)
    assert figures["inversion_miou"] == pytest.approx(0.5, abs=0.03)
    for name in ("held_out_view_miou", "control_miou", "control_miou_frequent", "control_accuracy"):
        assert 0 <= figures[name] <= 1
    assert figures["style_spread_hair"] >= 0
    # N of what the headline figures are of: the views that were scored, and all pictures that were parsed again.
    assert (figures["held_out_views"], figures["control_pictures"]) == (1, 6 + 5 + 6)
    assert all(0 <= figures[f"control_miou_{name}"] <= 1 for name in ("ffhq", "celebamask", "sof"))
    few = json.loads((project / "metrics/evaluation.json").read_text())
    assert few == {
        "control": figures["control_miou"],
        "fd_parser": figures["fd_parser"],
        "warp_20": figures["warp_error_20"],
    }
    for name in ("warp_error_10", "warp_error_20", "shift_db_stride", "shift_db_between"):
        # Student's interval of two heads may reach below 0.
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"] and figures[name] >= 0
    assert figures["orbit_heads"] == 2 and figures["yaw_error_degrees"] > 0
    assert "warp_error_20_floor" not in figures  # No avatars were asked for.
    table = list(csv.DictReader((project / "plots/evaluation_classes.csv").read_text().splitlines()))
    assert list(table[0]) == ["class", "held_out_view", "control"]
    assert {row["class"]: row["control"] for row in table if row["control"]} == {
        key.removeprefix("control_iou_"): f"{value:.6g}"
        for key, value in figures.items()
        if key.startswith("control_iou_")
    }
    assert not any(name.startswith("fid") for name in figures)
    assert figures["feature_distance_low"] <= figures["feature_distance"] <= figures["feature_distance_high"]
    assert figures["color_distance"] > 0 and 0 <= figures["unlike_photos"] <= 1
    assert [path.name for path in written[1:]] == ["grid.png", "turntable.gif", "turntable.png", "worst.png"]
    assert Image.open(written[4]).size == (
        8 * 16,
        16,
    )  # all four pictures of held-out maps, in a row for eight
    assert Image.open(written[1]).size == (4 * 16, 2 * 16)
    assert Image.open(written[3]).size == (3 * 16, 3 * 16)
    first = [path.read_bytes() for path in written]
    evaluate.main()
    assert [path.read_bytes() for path in written] == first


def test_distances_are_of_painted_pictures_from_photos_beside_perfect_ones(project, monkeypatch):
    """All features of a set are one number: whose they are."""
    numbers = {
        ("ffhq", "training"): 1, ("ffhq", "held-out"): 2, ("celebamask", "training"): 3, ("celebamask", "held-out"): 4
    }  # fmt: skip
    real = {key: {"fd": np.full((6, 2), value)} for key, value in numbers.items()}
    painted = {
        name: {"fd": np.full((6, 2), value)} for name, value in (("ffhq", 5), ("celebamask", 6), ("sof", 7))
    }
    real["ffhq", "held-out"]["fd"] = 2 + np.arange(6)[:, None] / 10 + np.zeros((6, 2))
    compared, all_compared = {}, {}

    def compare(painted, perfect, photos, suffix, kid_subset, seed):
        compared[suffix] = [np.floor(features["fd"]).max() for features in (painted, perfect, photos)]
        compared[f"{suffix} rows"] = [features["fd"][:, 0] for features in (painted, perfect, photos)]
        return {}

    def compare_all(painted, photos, suffix):
        all_compared[suffix] = [(features["fd"].max(), len(features["fd"])) for features in (painted, photos)]
        return {}

    monkeypatch.setattr(evaluate.portraits, "compare", compare)
    monkeypatch.setattr(evaluate.portraits, "compare_all", compare_all)
    evaluate.distances.compared(real, painted, 6, 4, ("ffhq", "celebamask"), 0)
    rows = compared.pop("_held_out rows")
    assert {name: values for name, values in compared.items() if "rows" not in name} == {
        "": [5, 2, 1], "_celebamask_maps": [6, 2, 1], "_celebamask": [6, 4, 3], "_sof_maps": [7, 2, 1],
        "_held_out": [5, 2, 2],
    }  # fmt: skip
    # The halves of the held-out photos have none in common, and all between them.
    assert [len(row) for row in rows] == [3, 3, 3] and not all_compared
    np.testing.assert_array_equal(np.sort(np.concatenate(rows[1:])), real["ffhq", "held-out"]["fd"][:, 0])
    evaluate.distances.compared(real, painted, 4, 4, ("ffhq", "celebamask"), 0)
    assert all_compared == {"_repeated": [(5, 6), (1, 6)]}
    assert [len(row) for row in compared[" rows"]] == [
        4,
        6,
        6,
    ]  # One of each held-out map, not those painted again.


def test_a_painter_of_the_other_set_is_scored_the_other_way_round(project):
    """Photos of CelebAMask-HQ were learned from: 5 of 10 are held out, of the others 4 of 11."""
    write_params(PARAMS | {"train_siw": BLOCK | {"photo_sets": ["celebamask"]}})
    evaluate.main()
    figures = json.loads((project / "metrics/all/evaluation.json").read_text())
    counts = {"": 5, "_ffhq_maps": 4, "_ffhq": 4, "_sof_maps": 5, "_held_out": 2}
    assert {end: figures[f"n_a_side{end}"] for end in counts} == counts
    assert not any("celebamask_maps" in name for name in figures)


def test_features_of_photos_are_taken_once(project, monkeypatch):
    """Again where photos, records or the painter's size differ; a damaged file is told."""
    evaluate.main()
    first = (project / "metrics/all/evaluation.json").read_bytes()
    kept = sorted((project / ".work/features").iterdir())
    assert len(kept) == 4  # of two sets, both sides
    monkeypatch.setattr(evaluate, "photo_features", lambda *_: pytest.fail("taken again"))
    evaluate.main()
    assert (project / "metrics/all/evaluation.json").read_bytes() == first
    write_params(PARAMS | {"evaluate": PARAMS["evaluate"] | {"images": 8}})
    with pytest.raises(pytest.fail.Exception, match="taken again"):
        evaluate.main()
    write_params(PARAMS)
    kept[0].write_bytes(b"PK")
    with pytest.raises(UserError, match="is damaged: remove it"):
        evaluate.main()


def test_sampled_heads_are_those_kept_from_training(project):
    maps = Conditions("data/conditions").maps(EVALUATION).fetch(np.arange(6))
    drawn = evaluate.sampled_maps(6, 16)
    np.testing.assert_array_equal([drawn.labels(i) for i in range(len(drawn))], maps[:, 1::2, 1::2])
    assert len(evaluate.sampled_maps(100, 16)) == 7


def test_only_what_nothing_was_trained_on_is_painted_and_scored(project, monkeypatch):
    painted, featured = {}, []

    def painted_features(maps, count, seed, name, *rest, original=evaluate.painted_features):
        painted[name] = maps
        return original(maps, count, seed, name, *rest)

    def photo_features(
        store, indices, size, judges, workers, progress, maps, original=evaluate.photo_features
    ):
        featured.append((store.path.name, [store.key(i) for i in indices], maps))
        return original(store, indices, size, judges, workers, progress, maps)

    monkeypatch.setattr(evaluate, "painted_features", painted_features)
    monkeypatch.setattr(evaluate, "photo_features", photo_features)
    restyled = []
    monkeypatch.setattr(evaluate.style_scores, "scores", lambda maps, *rest: restyled.append(maps) or {})
    evaluate.main()
    splits = {"ffhq": FFHQ, "celebamask": CELEBAMASK}
    for name, side in splits.items():
        held = [str(i) for i, split in enumerate(side) if split == 1]
        assert [painted[name].store.key(i) for i in painted[name].indices] == held
        one, other = [keys for of, keys, _ in featured if of == name]
        assert one == held and not set(other) & set(held) and len(other) == min(6, len(side) - len(held))
    assert [(name, maps.size) for name, _, maps in featured if maps] == [
        ("ffhq", 16)
    ]  # by the held-out photos' colours
    expected = [painted["celebamask"].labels(i) for i in range(3)]
    assert (restyled[0] == np.stack(expected)).all()


def test_a_set_without_held_out_photos_is_told(project):
    with PhotoStoreWriter("data/photos/ffhq") as writer:
        for i in range(8):
            writer.add(str(i), _png(np.random.default_rng(i)))
    with pytest.raises(
        UserError, match="0 held-out photos.*held_out_share of import_photos.ffhq that is more"
    ):
        evaluate.main()


def test_weights_of_fid_that_are_named_must_be_there_before_anything_is_scored(project, monkeypatch):
    def told(*arguments):
        raise AssertionError("models are loaded")

    monkeypatch.setattr(evaluate, "load_sof", told)
    for content, fault in (
        (None, "is not there: `python -m pipelines weights"),
        (b"x", "is not weights-inception"),
    ):
        document = PARAMS | {"evaluate": PARAMS["evaluate"] | {"inception_weights": "inception.pth"}}
        write_params(document)
        if content:
            (project / "inception.pth").write_bytes(content)
        with pytest.raises(UserError, match=fault):
            evaluate.main()


def test_two_threads_find_the_same_figures(project, monkeypatch):
    found, workers = [], []

    def painted(*arguments, original=shards._painted, **keywords):
        workers[-1].add(threading.current_thread().name)
        return original(*arguments, **keywords)

    monkeypatch.setattr(shards, "_painted", painted)
    for threads in (1, 2):
        block = {
            "runtime": PARAMS["runtime"] | {"threads": threads},
            "evaluate": PARAMS["evaluate"] | {"batch": 1},  # so that there are several pieces
        }
        write_params(PARAMS | block)
        workers.append(set())
        evaluate.main()
        found.append((project / "metrics/evaluation.json").read_bytes())
    assert found[0] == found[1]
    assert workers[0] == {"MainThread"} and workers[1] == {"pieces_0", "pieces_1"}


def test_scans_that_were_not_trained_on_are_left_out(project):
    shutil.copy(project / "data/views/a/x.npz", project / "data/views/a/new.npz")  # sorted before x
    evaluate.main()
    new = json.loads((project / "metrics/all/evaluation.json").read_text())["held_out_view_miou"]
    (project / "data/views/a/new.npz").unlink()
    evaluate.main()
    assert new == json.loads((project / "metrics/all/evaluation.json").read_text())["held_out_view_miou"]


def test_two_processes_as_of_two_gpus_find_the_same_figures(project, monkeypatch):
    """A device each, here names of the CPU's."""
    document = PARAMS | {"evaluate": PARAMS["evaluate"] | {"batch": 2}}
    write_params(document)
    found = []
    for devices in ([], ["cpu:0", "cpu:0"]):
        for module in (evaluate, dask_shards):
            monkeypatch.setattr(module, "gpus", lambda device, names=devices: names)
        evaluate.main()
        found.append((project / "metrics/all/evaluation.json").read_bytes())
    assert found[0] == found[1]


def test_a_field_of_other_scans_is_refused(project):
    (project / "data/views/a/x.npz").rename(project / "data/views/a/y.npz")
    with pytest.raises(UserError, match="other scans"):
        evaluate.main()


def test_two_workers_of_a_cluster_find_the_same_figures(project, cluster):
    document = PARAMS | {"evaluate": PARAMS["evaluate"] | {"batch": 1}}  # so that there are several shards
    write_params(document)
    environment = os.environ | cluster
    found = []
    for where in ("", cluster["SOFGAN_CLUSTER"]):
        command = [sys.executable, "-m", "stages.evaluate"]
        done = subprocess.run(
            command, env=environment | {"SOFGAN_CLUSTER": where}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.append((project / "metrics/all/evaluation.json").read_bytes())
        assert ("Beginning flow run" in done.stdout + done.stderr) == bool(where)
    assert found[0] == found[1]


def test_unpainted_maps_of_heads_are_compared_with_photos_beside_held_out_ones():
    """Heads whose maps are those of the training photos lie at no distance, held-out photos at some."""

    class Maps(list):
        labels = list.__getitem__

    rng = np.random.default_rng(0)
    seen, unseen = (Maps(rng.integers(0, 3 + i, (6, 64, 64), dtype=np.uint8)) for i in range(2))
    figures = evaluate.distances.of_maps(seen, {"training": seen, "held-out": unseen}, 4, 0)
    assert figures["fd_maps_unpainted"] == pytest.approx(0, abs=1e-6)
    assert figures["fd_maps_unpainted_floor"] > 0.1
    assert figures["maps_shares_unpainted"] == 0 < figures["maps_shares_unpainted_floor"]
    assert figures["maps_borders_unpainted"] == 1 and figures["n_a_side_unpainted"] == 6
