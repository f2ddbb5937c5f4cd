"""The stage `sample_conditions` on a field that knows nothing: files, figures, and no work that nobody wants."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from sofgan import cameras
from sofgan.errors import InputError
from sofgan.photos.store import HELD_OUT, TRAIN, PhotoStoreWriter
from sofgan.seeds import torch_generator
from sofgan.siw import condition_shards, condition_store
from sofgan.siw.condition_store import EVALUATION, TRAINING, Conditions
from sofgan.siw.condition_views import HeadSampling
from sofgan.siw.portrait_camera import Framing
from sofgan.sof.config import FieldConfig, MarcherConfig, Sampling, SofConfig
from sofgan.sof.model import new_model
from sofgan.sof.sampling import combined_codes
from sofgan.sof.sof import Sof, load_sof, save_sof
from stages import params as stage_params
from stages import sample_conditions
from stages.execution import dask_shards
from tests.parameters import write_params

CONFIG = Path(__file__).parents[2] / "params.yaml"
BLOCK = {
    "maps": 5, "evaluation_maps": 2, "size_px": 16,
    "sampling": {
        "method": "neighbours", "bases": 3, "concentration": 1.0, "neighbours": 8, "people_share": 0.0, "judged": True,
    },
    "framing": {
        "cameras": "uniform", "yaw_balance": 0.0, "views_per_head": 2, "yaw_degrees": 20.0, "pitch_degrees": 5.0,
        "reference_maps": 3, "reference_heads": 2,
    },
}  # fmt: skip


@pytest.fixture
def project(workdir, monkeypatch):
    monkeypatch.setattr(sample_conditions, "portrait_framing", lambda *_: Framing(20.0, 0.05, 7.7))
    with PhotoStoreWriter("data/labels/ffhq") as store:
        for index in range(6):
            split = HELD_OUT if index == 0 else TRAIN
            store.add(str(index), None, np.full((32, 32), index, np.uint8), split)
    field = FieldConfig(
        code_size=8, channels=2, base_size=8, basis_size=4, basis=2, local_basis=0, decoder_hidden=8,
        background_bias=0.0,
    )  # fmt: skip
    model = new_model(SofConfig(field, MarcherConfig()), 4, 1.0, 0)
    poses = torch.from_numpy(cameras.orbit(np.zeros(1), np.zeros(1), 7.7)).float()
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(15.0)).float()
    (workdir / "models").mkdir()
    save_sof("models/sof_inverted.pt", Sof(model, list("abcd"), [1] * 4, {}, poses, intrinsics))
    return workdir


def run(share=0.35, threads=1, compared_every=0, **changes):
    """What the stage leaves: every file, by name."""
    train_siw = yaml.safe_load(CONFIG.read_text())["train_siw"]
    train_siw |= {"map_proportions": {"parsed": 0.5, "sof": share}, "consistency_every": compared_every}
    runtime = {"device": "cpu", "workers": 1, "threads": threads}
    document = {
        "seed": 0, "runtime": runtime, "sample_conditions": BLOCK | changes, "train_siw": train_siw
    }  # fmt: skip
    write_params(document)
    sample_conditions.main()
    return {path.name: path.read_bytes() for path in Path("data/conditions").iterdir()}


def test_conditions_are_the_same_by_any_number_of_threads(project, monkeypatch):
    monkeypatch.setattr(condition_store, "SHARD_VIEWS", 2)
    first = run()
    assert len(first) == 3 * (3 + 1) + 2
    assert run(threads=2) == first
    store = Conditions("data/conditions")
    assert (store.framing, store.size) == (Framing(20.0, 0.05, 7.7), 16)
    assert [len(store.maps(name)) for name in (TRAINING, EVALUATION)] == [5, 2]
    assert Image.open("data/conditions/maps.png").size == (12 * 16, 16)
    figures = json.loads(Path("metrics/all/sample_conditions.json").read_text())
    assert figures["training_maps"] == 5 and figures["camera_distance"] == 7.7


KILLED = """
import os, signal
from sofgan.siw import condition_shards, condition_store
from sofgan.siw.portrait_camera import Framing
from stages import sample_conditions

draw, drawn = condition_shards.draw_view, []

def view(*arguments):
    drawn.append(arguments)
    if len(drawn) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(*arguments)

condition_store.SHARD_VIEWS, condition_shards.draw_view = 2, view
sample_conditions.portrait_framing = lambda *_: Framing(20.0, 0.05, 7.7)
sample_conditions.main()
"""


def test_a_killed_run_is_gone_on_with_and_leaves_the_same_bytes(project, monkeypatch, capsys):
    monkeypatch.setattr(condition_store, "SHARD_VIEWS", 2)
    unbroken = run()
    shutil.rmtree("data/conditions")
    command, environment = [sys.executable, "-c", KILLED], os.environ | {"PYTHONPATH": str(CONFIG.parent)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not Path("data/conditions").exists()
    # Of shards of two views one is whole; in the next, one view was drawn.
    (kept,) = sample_conditions.WORK.iterdir()
    assert [path.name for path in kept.glob("*-0*.json")] == ["training-00000.json"]
    shutil.copytree(kept, project / "kept")
    drawn, chosen = [], []

    def counted(function, calls):
        return lambda *arguments, **named: calls.append(0) or function(*arguments, **named)

    monkeypatch.setattr(condition_shards, "draw_view", counted(condition_shards.draw_view, drawn))
    monkeypatch.setattr(condition_shards, "plan_views", counted(condition_shards.plan_views, chosen))

    def again(**changes):
        drawn.clear()
        chosen.clear()
        left = run(**changes)
        assert not sample_conditions.WORK.exists()
        return left, len(chosen), len(drawn)

    assert again() == (unbroken, 0, 5)
    # What is damaged is made again, and what other settings left is dropped, which is said.
    for file, chosen_again, drawn_again in (
        ("training-00000.npy", 0, 7),
        ("training-00000.depth.npy", 0, 7),
        ("plan.npz", 1, 5),
    ):
        shutil.copytree(project / "kept", kept)
        (kept / file).write_bytes((kept / file).read_bytes()[:-8])
        assert again() == (unbroken, chosen_again, drawn_again)
    shutil.copytree(project / "kept", kept)
    capsys.readouterr()
    assert again(size_px=32)[1:] == (1, 7)
    assert "a rendering of conditions that was stopped is not gone on with: configuration.size_px" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("share, maps", [(0.0, 5), (0.35, 0)])
def test_nothing_is_rendered_to_train_on_where_nobody_does(project, share, maps):
    run(share=share, maps=maps)
    store = Conditions("data/conditions")
    assert [len(store.maps(name)) for name in (TRAINING, EVALUATION)] == [0, 2]
    assert Image.open("data/conditions/maps.png").size == (12 * 16, 16)


def test_heads_are_rendered_where_they_are_compared_and_not_painted(project):
    run(share=0.0, compared_every=4)
    heads = Conditions("data/conditions").heads()
    assert (len(heads), heads.views_per_head) == (2, 2)  # The fifth view is alone.


def test_heads_are_the_papers_where_it_says_so(project, monkeypatch):
    """Sums of any heads, as they are drawn: none is looked at before."""
    monkeypatch.setattr(sample_conditions, "training_reference", lambda sof: pytest.fail("judged"))
    told = []

    def framed(sof, how, *_):
        told.append(how)
        return Framing(20.0, 0.05, 7.7)

    monkeypatch.setattr(sample_conditions, "portrait_framing", framed)
    paper = yaml.safe_load((CONFIG.parent / "profiles/paper.yaml").read_text())["sample_conditions"][
        "sampling"
    ]
    run(sampling=BLOCK["sampling"] | paper, framing=BLOCK["framing"] | {"views_per_head": 1})
    codes = load_sof("models/sof_inverted.pt").codes
    drawn = combined_codes(codes, 5, 3, 1.0, torch_generator(0, "siw", "sof codes", TRAINING))
    np.testing.assert_array_equal(Conditions("data/conditions").geometry(TRAINING, 0)["codes"], drawn.numpy())
    assert told == [HeadSampling(Sampling("random"))]


def test_heads_are_framed_as_the_photos_that_are_trained_on(project):
    run()
    maps = sample_conditions.photo_maps(stage_params.read_params("sample_conditions"))
    assert maps[:, 0, 0].tolist() == [1, 2, 3] and maps.shape == (3, 16, 16)
    with PhotoStoreWriter("data/labels/ffhq") as store:
        store.add("0", None, np.zeros((32, 32), np.uint8), HELD_OUT)
    with pytest.raises(InputError, match="held_out_share"):
        sample_conditions.photo_maps(stage_params.read_params("sample_conditions"))


def test_each_of_several_gpus_has_a_process(project, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    run()
    started = []
    monkeypatch.setattr(dask_shards, "DeviceProcesses", contextlib.nullcontext)
    for device in ("cuda", "cuda:1"):
        with dask_shards.over_devices("sample_conditions", device) as workers:
            started.append(workers)
    assert started[0] == ["cuda:0", "cuda:1", "cuda:2"] and started[1] is None
