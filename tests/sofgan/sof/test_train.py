"""Training: it learns, it resumes to the same bytes, and what it saves renders the same."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from sofgan import cameras, runtime, shares
from sofgan.cameras import Camera
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session
from sofgan.sof import train
from sofgan.sof.config import FieldConfig, MarcherConfig, Sampling, SofConfig, SofLoss
from sofgan.sof.data import RaySampler, known_points
from sofgan.sof.losses import sof_loss, weighted_cross_entropy
from sofgan.sof.model import SofModel, new_model
from sofgan.sof.rays import Projection
from sofgan.sof.render import RenderedView
from sofgan.sof.sampling import sample_codes
from sofgan.sof.sof import load_sof, save_sof
from sofgan.sof.train import finish, train_sof, validate
from sofgan.sof.view_set import read_views, view_files
from sofgan.training import write_curve


@pytest.fixture(scope="module")
def views(views_folder):
    return read_views(view_files(views_folder, ["synthetic"]))


@pytest.fixture(scope="module")
def config(tiny_training):
    return dataclasses.replace(
        tiny_training,
        steps=12,
        points_only_share=0.5,
        instances_per_step=2,
        views_per_instance=2,
        rays_per_view=16,
        validate_every_steps=6,
        checkpoint_every_steps=4,
    )


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def numbers(seed=0):
    return torch.Generator().manual_seed(seed)


class Killed(Exception):
    pass


@pytest.mark.parametrize("still", ["learning_rate", "code_learning_rate"])
def test_codes_and_modules_have_rates_of_their_own(views, config, still):
    config = dataclasses.replace(config, steps=2, validate_every_steps=100, **{still: 0.0})
    start = new_model(SofConfig(config.field, config.marcher), 4, config.code_init_std, 0).state_dict()
    model, _ = train_sof(views, config, 0, "cpu")
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert moved == ({"codes"} if still == "learning_rate" else start.keys() - {"codes"})


def test_held_out_views_alone_are_scored(views, trained, monkeypatch):
    shown = []

    def render(model, representation, camera):
        shown.append(camera.cam2world)
        return RenderedView(torch.zeros((camera.size, camera.size), dtype=torch.uint8), None)

    monkeypatch.setattr(train, "render_view", render)
    for held_out, count in ((True, 8), (False, 24)):
        shown.clear()
        confusion, _ = validate(trained.model, views, None, held_out)
        assert torch.equal(torch.stack(shown), views.cam2world[views.held_out == held_out])
        assert confusion.counts.sum() == count * 32 * 32
    validate(trained.model, views, 3)
    assert len(shown) == 24 + 3


def test_cross_entropy_is_the_mean_of_weighted_log_probabilities():
    logs = torch.randn(2, 5, 17).log_softmax(-1)
    classes, weights = torch.randint(17, (2, 5)), torch.rand(2, 5)
    plain = [-weights[i, n] * logs[i, n, classes[i, n]] for i in range(2) for n in range(5)]
    assert torch.allclose(weighted_cross_entropy(logs, classes, weights), sum(plain) / 10)


@pytest.mark.parametrize("project", [True, False])
def test_the_loss_is_the_sum_of_its_terms_by_their_weights(views, config, project, monkeypatch):
    """Each term by hand. Where only points are judged they count fully."""
    weights = SofLoss(cross_entropy=3.0, points=0.7, code=0.2, roughness=0.4, negative_depth=5.0)
    config = dataclasses.replace(config, loss=weights)
    model = new_model(SofConfig(config.field, config.marcher), 4, 1.0, 0)
    batch = RaySampler(views, config.rays).draw(torch.tensor([2, 0, 3]), 2, 16, numbers())
    seen = Projection(torch.randn(3, 32, 17).log_softmax(-1), torch.randn(3, 32), None)
    monkeypatch.setattr(SofModel, "project", lambda *arguments: seen)
    total, terms = sof_loss(model, batch, config, project, numbers(1))

    codes = model.codes[[2, 0, 3]]
    representation = model.generate(codes)
    planes = representation["planes"]
    steps = [(planes[..., 1:] - planes[..., :-1]), (planes[..., 1:, :] - planes[..., :-1, :])]
    points, classes = known_points(batch, config.rays, numbers(1))
    answers = (
        model.field.logits(representation, points.flatten(1, 2))
        .log_softmax(-1)
        .unflatten(1, classes.shape[1:])
    )
    by_ray = -answers.gather(-1, classes[..., None])[..., 0].mean(-1)
    expected = {
        "code": (codes**2).mean(),
        "roughness": sum((step**2).mean() for step in steps),
        "points": (by_ray * batch.weights).mean(),
        "cross_entropy": weighted_cross_entropy(seen.log_probabilities, batch.labels, batch.weights),
        "negative_depth": (torch.where(seen.depth < 0, seen.depth, 0.0) ** 2).mean(),
    }
    if not project:
        del expected["cross_entropy"], expected["negative_depth"]
    assert terms.keys() == expected.keys() and batch.weights.std() > 0.1
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    factors = dataclasses.asdict(weights) | ({} if project else {"points": 1.0})
    torch.testing.assert_close(total, sum(factors[name] * value for name, value in expected.items()))


def test_killed_and_resumed_training_ends_in_the_same_bytes(views, config, tmp_path):
    def run(name, kill_at=None):
        states = Checkpoints(tmp_path / "work", [name])

        class Kill(Progress):
            def scalars(self, step, values):
                if step == kill_at:
                    raise Killed

        model, curve = train_sof(views, config, 0, "cpu", Session(Kill(), states))
        save_sof(tmp_path / f"{name}.pt", finish(model, views, config, 0))
        write_curve(tmp_path / f"{name}.csv", curve)
        return digest(tmp_path / f"{name}.pt"), digest(tmp_path / f"{name}.csv")

    whole = run("whole")
    with pytest.raises(Killed):
        run("resumed", kill_at=6)
    assert Checkpoints(tmp_path / "work", ["resumed"]).latest()[0] == 4
    with pytest.raises(Killed):
        run("resumed", kill_at=12)
    assert run("resumed") == whole
    lines = (tmp_path / "whole.csv").read_text().splitlines()
    assert lines[0].startswith("step,loss,held_out_miou")
    assert len(lines) == 3


def test_threads_change_no_bit_and_shares_round_alone(views, config, monkeypatch):
    config = dataclasses.replace(config, instances_per_step=4)

    def run(threads: int) -> list[torch.Tensor]:
        runtime.use_cpu(threads)
        model, _ = train_sof(views, config, 0, "cpu")
        return list(model.state_dict().values())

    one, two = run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(one, two))
    monkeypatch.setattr(shares, "MOST_SHARES", 1)
    plain = run(1)
    assert not all(torch.equal(a, b) for a, b in zip(one, plain))  # There were shares.
    assert torch.cat([(a - b).abs().flatten() for a, b in zip(one, plain)]).mean() < 1e-4


def test_the_curve_holds_every_class_and_the_report_the_seconds_too(views, config):
    told, ticks = [], iter(range(1000))

    class Tracker(Progress):
        def scalars(self, step, values):
            told.append(values)
            for _ in range(100):  # time that passes while a tracker is told
                next(ticks)

    _, curve = train_sof(views, config, 0, "cpu", Session(Tracker(), clock=lambda: next(ticks)))
    assert [row["step"] for row in curve] == [6, 12]
    for row, scalars in zip(curve, told):
        scores = [value for name, value in row.items() if name.startswith("iou_")]
        assert np.mean(scores) == pytest.approx(row["held_out_miou"])
        assert row == {"step": row["step"], **{k: v for k, v in scalars.items() if k != "train_seconds"}}
    assert 0 < told[0]["train_seconds"] < told[1]["train_seconds"] < 20


def test_a_field_learns_its_views(views, trained):
    confusion, picture = validate(trained.model, views, None)
    scores = confusion.per_class()
    assert confusion.miou() > 0.35
    assert min(scores["background"], scores["skin"]) > 0.7
    assert picture.shape == (64, 8 * 32, 3)


@pytest.mark.parametrize("start", ["srn", "sphere"])
def test_the_papers_preset_takes_steps(views, config, start):
    config = dataclasses.replace(
        config,
        field=FieldConfig("hyper", code_size=8, phi_hidden=16, hyper_hidden=16, head_hidden=1),
        marcher=MarcherConfig("lstm", steps=3, hidden=4, start=start),
        loss=SofLoss(cross_entropy=200.0, points=0.0, code=1.0, negative_depth=10.0, roughness=0.0),
        steps=30,
        learning_rate=1e-3,
        warmup_steps=5,
        validate_every_steps=100,
        instances_per_step=4,
    )
    sampler = RaySampler(views, config.rays)
    batch = sampler.draw(torch.arange(4), 2, 64, torch.Generator().manual_seed(0))
    model, _ = train_sof(views, dataclasses.replace(config, steps=1), 0, "cpu")
    before = sof_loss(model, batch, config, True, torch.Generator().manual_seed(0))[0].item()
    model, curve = train_sof(views, config, 0, "cpu")
    after, terms = sof_loss(model, batch, config, True, torch.Generator().manual_seed(0))
    assert after.item() < 0.9 * before
    assert set(terms) == {"code", "cross_entropy", "negative_depth"}
    assert np.isfinite(curve[-1]["held_out_miou"])


def test_saved_field_loads_and_renders_the_same(views, config, tmp_path):
    model, _ = train_sof(views, config, 0, "cpu")
    sof = finish(model, views, config, 0)
    save_sof(tmp_path / "sof.pt", sof)
    loaded = load_sof(tmp_path / "sof.pt")
    assert loaded.instance_names == views.names
    assert loaded.rounds == [1] * 4
    assert loaded.codes.shape == (4, 8)
    assert loaded.config == sof.config
    assert loaded.radius == pytest.approx(4.0, rel=1e-3)
    camera = Camera(cameras.orbit(0.3, 0.1, 4.0), cameras.intrinsics_from_fov(29.0), 24)
    first, second = (s.render(s.codes[1], camera, probabilities=True) for s in (sof, loaded))
    assert torch.equal(first.labels, second.labels)
    assert first.labels.shape == first.depth.shape == (24, 24)
    assert torch.allclose(first.probabilities.sum(-1), torch.ones(24, 24), atol=1e-2)
    many = loaded.render_views(loaded.generate(loaded.codes[1]), camera[None][[0, 0]])
    assert all(torch.equal(view.labels, first.labels) for view in many)
    drawn = sample_codes(loaded, 3, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, sample_codes(loaded, 3, torch.Generator().manual_seed(0)))
    assert sample_codes(loaded, 3, torch.Generator(), Sampling("random")).shape == (3, 8)
