"""A stage run for a rehearsal: tables that grow, cameras that are not the field's, needs of trainings."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from pipelines import profiles, rehearsal_params
from sofgan.siw import condition_store
from stages.execution.rehearsing import needs, run

ROOT = Path(__file__).parents[2]
STAGE = """
import numpy as np

def main():
    photos = np.stack([np.zeros((64, 64, 3), np.uint8)] * 7)
    assert photos.astype(np.float32).shape == (7, 64, 64, 3)
    del photos
    others = np.zeros((6, 1 << 20))
    print("done")

if __name__ == "__main__":
    main()
"""


def rehearsed(folder: Path, script: str, **order) -> tuple[subprocess.CompletedProcess, dict]:
    """A script run as a stage is in a rehearsal, and what is told of it."""
    (folder / "grower.py").write_text(script)
    (folder / "order.json").write_text(json.dumps(order))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    command = [sys.executable, "-m", "stages.execution.rehearsing.run", "order.json", "grower"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done, json.loads((folder / "order.told").read_text())


def test_a_table_whose_length_is_known_counts_as_often_as_it_will_be(tmp_path):
    done, told = rehearsed(tmp_path, STAGE, lengths={"7": [70_000, "photos of ffhq"]})
    assert done.returncode == 0 and "done" in done.stdout, done.stderr
    (size, text), *_ = told["tables"]
    assert size == 70_000 * 64 * 64 * 3
    assert text.startswith("70,000 photos of ffhq, each 64 x 64 x 3 of uint8, held at once")
    # Others count as they are, and what is gone no more.
    assert told["growing"] == max(size + 64 * 64 * 3, (6 << 20) * 8)


def test_a_stage_that_fails_ends_as_it_would_and_is_told_of(tmp_path):
    done, told = rehearsed(tmp_path, "raise SystemExit(3)", lengths={})
    assert done.returncode == 3 and told["faults"] == []


def notebook(**lengths) -> run.Notebook:
    return run.Notebook({int(length[1:]): value for length, value in lengths.items()})


def test_what_is_compared_each_with_each_grows_with_the_square():
    notes = notebook(_7=(7000.0, "heads"))
    assert notes.weigh((7, 3)) == 1000 and notes.weigh((7, 7)) == 1000**2
    assert notes.weigh((8, 7)) == 1 and notes.weigh(()) == 1


def test_a_camera_at_another_distance_than_the_trainings_is_a_fault():
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[:, 2, 3] = torch.tensor([7.3, 7.7, 8.1])
    sof, notes = SimpleNamespace(poses=poses), notebook()
    run._check_distance(notes, sof, poses)
    near = torch.eye(4)[None].clone()
    near[0, 2, 3] = 6.6
    run._check_distance(notes, sof, near)
    assert not notes.faults
    near[0, 2, 3] = 4.0
    run._check_distance(notes, sof, near)
    (fault,) = notes.faults
    assert "looks at the field from 4.0 head units away, but it was trained on views from 7.3 to 8.1" in fault


def test_a_set_is_kept_in_memory_if_all_of_it_would_be():
    asked = []
    module = SimpleNamespace(open_source=lambda count, read, workers, limit: asked.append(limit))
    run.stand_in_sources(notebook(_7=(7000.0, "photos")), module)
    module.open_source(7, None, 1, 2.0)
    module.open_source(6, None, 1, 2.0)
    assert asked == [0.002, 2.0]


def test_shards_of_conditions_are_none_of_the_lengths(monkeypatch):
    """A shard as long as its set would count as the whole set: 20,000 views held at once that never are."""
    monkeypatch.setattr(condition_store, "SHARD_VIEWS", condition_store.SHARD_VIEWS)
    run.stand_in_shards(notebook(), condition_store)
    for count in rehearsal_params.GROWING.values():
        assert not {len(shard) for shard in condition_store.shards(count)} & {
            *rehearsal_params.GROWING.values()
        }


def blocks(tmp_path, **changes) -> needs.Blocks:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, values in changes.items():
        profiles.merge(document[name], values)
    document["sets"] = {"ffhq": 500, "celebamask": 300, "scans": 96}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    return needs.Blocks(tmp_path / "params.yaml")


def test_the_fields_training_needs_more_with_more_rays(tmp_path):
    few = needs.train_sof(blocks(tmp_path))
    assert few["of"] == "a step of 8 heads by 512 rays" and few["operations"] == 1000 * few["step"]
    many = needs.train_sof(blocks(tmp_path, train_sof={"rays_per_view": 512}))
    assert many["step"] > 2 * few["step"] and few["device"] < many["device"] < 5 * few["device"]


def test_shares_of_steps_are_those_of_the_regularisers():
    assert needs._shares_of_steps(16, 8) == {0: 1 / 16, 1: 14 / 16, 8: 1 / 16}
    assert needs._shares_of_steps(0, 0) == {0: 1.0}
    assert needs._shares_of_steps(16, 0) == {0: 1 / 16, 1: 15 / 16}
    assert needs._shares_of_steps(4, 0, 2) == {0: 1 / 4, 1: 2 / 4, 2: 1 / 4}


def test_views_that_are_compared_are_painted_beside_a_step(tmp_path):
    config = {"batch": 4, "r1_every": 0, "sample_grid": [1, 1], "generator": {"resolution": 32}}
    config["discriminator"] = {"kind": "residual", "palette_weight": 0.0}
    often, rarely, never = (
        needs.train_siw(blocks(tmp_path, train_siw=config | {"consistency_every": every}))["operations"]
        for every in (1, 4, 0)
    )
    assert rarely - never == pytest.approx((often - never) / 4, rel=1e-6) and often > 1.3 * never


def test_parts_of_a_batch_save_memory_of_the_generators_training(tmp_path):
    config = {
        "batch": 8, "r1_every": 1, "share_fakes": False, "sample_grid": [1, 1], "scores": {"every_kimg": 0},
        "generator": {"resolution": 32}, "discriminator": {"kind": "residual", "palette_weight": 0.0},
    }  # fmt: skip
    whole = needs.train_siw(blocks(tmp_path, train_siw=config))
    parts = needs.train_siw(blocks(tmp_path, train_siw=config | {"accumulate": 2}))
    assert parts["of"] == "parts of 4 pictures of 32 px in a step"
    assert parts["device"] < 0.8 * whole["device"]
    assert np.isclose(parts["operations"], whole["operations"], rtol=0.02)


def test_pictures_that_are_scored_on_the_way_are_counted(tmp_path):
    config = {
        "batch": 2, "r1_every": 0, "sample_grid": [1, 1], "consistency_every": 0,
        "generator": {"resolution": 64}, "discriminator": {"kind": "residual", "palette_weight": 0.0},
    }  # fmt: skip
    scores = {"every_kimg": 1, "images": 100, "keep_all": False}
    never, few, many = (
        needs.train_siw(blocks(tmp_path, train_siw=config | {"scores": scores | more}))
        for more in ({"every_kimg": 0}, {"images": 2}, {})
    )
    assert never["of"] == "parts of 2 pictures of 64 px in a step"
    assert many["of"] == "16 pictures of 64 px scored at once" and many["device"] > 1.2 * few["device"]
    assert few["operations"] == many["operations"] == never["operations"]


def test_conditions_need_as_many_operations_as_there_are_views(tmp_path):
    few = needs.sample_conditions(blocks(tmp_path, sample_conditions={"maps": 10, "evaluation_maps": 10}))
    many = needs.sample_conditions(blocks(tmp_path, sample_conditions={"maps": 30, "evaluation_maps": 10}))
    assert few["of"] == "a view of 128 px" and many["operations"] == 2 * few["operations"]
    unused = {"map_proportions": {"parsed": 1.0, "celebamask": 0.0, "sof": 0.0}, "consistency_every": 0}
    changes = {"sample_conditions": {"evaluation_maps": 10}, "train_siw": unused}
    assert needs.sample_conditions(blocks(tmp_path, **changes))["operations"] == few["operations"] / 2
    larger = needs.sample_conditions(blocks(tmp_path, sample_conditions={"size_px": 256}))
    assert few["device"] < larger["device"] < 4 * few["device"]


def test_pictures_are_judged_a_batch_at_a_time(tmp_path):
    """All 32 styles of a map at once would be more than a GPU of 24 GB holds at 1024 pixels."""
    few = {
        "batch": 2,
        "grid": [1, 1],
        "turntable_frames": 2,
        "turntable_yaws_degrees": [0.0],
        "extractors": ["lite0"],
    }
    found = needs.evaluate(blocks(tmp_path, evaluate=few))
    assert found["of"] == "2 pictures of 64 px painted at once"
    larger = needs.evaluate(blocks(tmp_path, evaluate=few | {"batch": 8}))
    assert larger["device"] > 1.3 * found["device"] and np.isclose(larger["step"], found["step"])
    frames = needs.evaluate(blocks(tmp_path, evaluate=few | {"turntable_frames": 8}))
    assert frames["of"] == "8 pictures of 64 px painted at once" and frames["device"] > 1.3 * found["device"]
