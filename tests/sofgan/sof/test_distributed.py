"""Training in two processes, started by torchrun on this machine, is training in one."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from sofgan import distributed
from sofgan.config import to_mapping
from sofgan.session import Checkpoints, Session
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig, WarmStart
from sofgan.sof.model import new_model
from sofgan.sof.sof import load_sof, save_sof
from sofgan.sof.train import finish, train_sof
from sofgan.sof.view_set import read_views, view_files
from sofgan.sof.warm_start import train_on

WORKER = Path(__file__).with_name("distributed_worker.py")


@pytest.fixture(scope="module")
def configs(tiny_training):
    """Three instances for two processes, so that the shares differ; the first half of the steps points only."""
    default = dataclasses.replace(
        tiny_training,
        steps=8,
        points_only_share=0.5,
        instances_per_step=3,
        views_per_instance=2,
        rays_per_view=16,
        validate_every_steps=2,
        checkpoint_every_steps=4,
        warm_start=WarmStart(steps=6, instances_per_step=3, added_draws=3),
    )
    field = FieldConfig("hyper", code_size=8, phi_hidden=16, hyper_hidden=16)
    paper = dataclasses.replace(default, field=field, marcher=MarcherConfig("lstm", steps=3, hidden=4))
    return {"default": default, "paper": dataclasses.replace(paper, learning_rate=1e-3)}


@pytest.fixture(scope="module")
def previous(configs, views_folder, tmp_path_factory):
    """File of a field that knows two heads, as it is before any training."""
    known = read_views(view_files(views_folder, ["synthetic"])).of_instances([0, 1])
    config = configs["default"]
    untrained = new_model(SofConfig(config.field, config.marcher), 2, config.code_init_std, 1)
    path = tmp_path_factory.mktemp("previous") / "sof.pt"
    save_sof(path, finish(untrained, known, config, 0))
    return path


@pytest.fixture(scope="module")
def two_processes(torchrun, configs, previous, views_folder, tmp_path_factory):
    """What both ranks ended with, and the folder of their checkpoints."""
    work = tmp_path_factory.mktemp("two processes")
    blocks = {name: to_mapping(config) for name, config in configs.items()}
    task = {"views": str(views_folder), "work": str(work), "configs": blocks, "previous": str(previous)}
    torchrun(str(WORKER), json.dumps(task))
    return [torch.load(work / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)], work


@pytest.mark.parametrize("name", ["default", "paper"])
def test_two_processes_train_as_one(name, configs, views_folder, two_processes):
    views = read_views(view_files(views_folder, ["synthetic"]))
    model, curve = train_sof(views, configs[name], 0, "cpu")
    first, second = (results[name] for results in two_processes[0])
    assert [row["step"] for row in first["curve"]] == [2, 4, 6, 8] == first["reports"]
    assert second["curve"] == second["reports"] == []
    for mine, theirs in zip(curve, first["curve"]):
        assert mine.keys() == theirs.keys()
        for key in mine.keys() - {"held_out_miou"}:
            if not key.startswith("iou_"):  # A pixel on the brink may change its class.
                assert theirs[key] == pytest.approx(mine[key], rel=2e-3), key
    for key, value in model.state_dict().items():
        assert torch.equal(first["state"][key], second["state"][key])
        assert torch.allclose(first["state"][key], value, rtol=1e-2, atol=2e-3), key


def test_two_processes_train_on_as_one(configs, previous, views_folder, two_processes):
    views = read_views(view_files(views_folder, ["synthetic"]))
    model, curve = train_on(load_sof(previous), views, configs["default"], 0, "cpu")
    first, second = (results["warm"] for results in two_processes[0])
    assert [row["loss"] for row in first["curve"]] == pytest.approx([row["loss"] for row in curve], rel=2e-3)
    for key, value in model.state_dict().items():
        assert torch.equal(first["state"][key], second["state"][key])
        assert torch.allclose(first["state"][key], value, rtol=1e-2, atol=2e-3), key


def test_the_first_process_alone_saves(configs, views_folder, two_processes):
    """One process goes on from where two were, and ends where they did."""
    states = Checkpoints(two_processes[1] / "default", ["default"])
    assert states.latest()[0] == 8
    max((two_processes[1] / "default").glob("*.pt")).unlink()
    assert states.latest()[0] == 4
    views = read_views(view_files(views_folder, ["synthetic"]))
    _, curve = train_sof(views, configs["default"], 0, "cpu", Session(states=states))
    theirs = two_processes[0][0]["default"]["curve"]
    assert curve[:2] == theirs[:2]
    assert [row["loss"] for row in curve] == pytest.approx([row["loss"] for row in theirs], rel=2e-3)


def test_what_the_first_holds_is_given_to_all(two_processes):
    for results in two_processes[0]:
        given = results["given"]
        assert torch.equal(given["a"][0], torch.arange(6).reshape(2, 3).T)
        nothing, empty, yes = given["c"]
        assert nothing is None and empty.shape == (0, 2) and yes.tolist() == [True]
        assert given["a"][1]["b"].dtype == torch.bfloat16 and given["a"][1]["b"].item() == 2.5
        assert results["left"] == "here"


def test_no_tensor_is_sent_in_one_piece_with_the_others(monkeypatch):
    """A resume state is a gigabyte, which was copied as a whole onto each GPU."""
    sent = []
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "get_backend", lambda: "gloo")
    monkeypatch.setattr(distributed.dist, "broadcast_object_list", lambda box: sent.append(len(box[0][0])))
    monkeypatch.setattr(distributed.dist, "broadcast", lambda tensor, source: sent.append(tensor.nbytes))
    state = {"a": torch.zeros(5000), "b": torch.zeros(3000)}
    assert distributed.from_first(state) is state
    assert sent[0] < 1000 and sent[1:] == [20000, 12000]


def test_processes_wait_for_each_other_longer_than_nccl_would(monkeypatch):
    asked = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(
        distributed.dist, "init_process_group", lambda *a, **how: asked.append(how["timeout"])
    )
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: None)
    with distributed.process_group("cpu"):
        pass
    assert asked == [distributed.TIMEOUT] and 30 <= asked[0].total_seconds() / 60 <= 120


def test_shares_cover_all_instances_once(monkeypatch):
    for world, count in ((1, 5), (2, 3), (3, 8), (4, 4)):
        monkeypatch.setattr(distributed, "world_size", lambda world=world: world)
        taken = []
        for rank in range(world):
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            taken.append(range(count)[distributed.share(count)])
        assert [i for part in taken for i in part] == list(range(count))
        assert max(map(len, taken)) - min(map(len, taken)) <= 1
    with pytest.raises(ValueError, match="cannot share"):
        distributed.share(3)


def test_draws_are_those_of_one_process(monkeypatch):
    draw = lambda count, sample: sample((count, 3), generator=torch.Generator().manual_seed(1))  # noqa: E731
    samples = {distributed.rand: torch.rand, distributed.randn: torch.randn}
    whole = {sample: draw(5, plain) for sample, plain in samples.items()}
    assert all(torch.equal(draw(5, sample), numbers) for sample, numbers in whole.items())
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        mine = distributed.share(5)
        with distributed.shared_draws(5):
            for sample, numbers in whole.items():
                assert torch.equal(draw(mine.stop - mine.start, sample), numbers[mine])
            with pytest.raises(ValueError, match="draw of 4 rows"):
                draw(4, distributed.rand)
