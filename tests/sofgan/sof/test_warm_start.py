import dataclasses

import pytest
import torch

from sofgan.config import ConfigError, from_mapping
from sofgan.files import sha256_file
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session
from sofgan.sof.config import WarmStart
from sofgan.sof.data import instance_schedule
from sofgan.sof.sof import save_sof
from sofgan.sof.train import finish, train_sof
from sofgan.sof.view_set import read_views, view_files
from sofgan.sof.warm_start import (
    WarmStartError,
    load_previous,
    train_on,
    warm_config,
    warm_model,
    warm_schedule,
)

STEPS = 60


@pytest.fixture(scope="module")
def config(tiny_training):
    warm = WarmStart(steps=STEPS, instances_per_step=3, rate=0.5)
    return dataclasses.replace(tiny_training, validate_every_steps=STEPS, warm_start=warm)


@pytest.fixture(scope="module")
def views(views_folder):
    return read_views(view_files(views_folder, ["synthetic"]))


@pytest.fixture(scope="module")
def previous(views, config):
    """A field that knows the first three heads."""
    known = views.of_instances([0, 1, 2])
    model, _ = train_sof(known, dataclasses.replace(config, steps=300), 0, "cpu")
    return finish(model, known, config, 0)


def test_instances_are_taken_out_with_their_views(views):
    some = views.of_instances([2, 0])
    assert some.names == [views.names[2], views.names[0]]
    for new, old in ((0, 2), (1, 0)):
        torch.testing.assert_close(some.labels[some.instance == new], views.labels[views.instance == old])
        torch.testing.assert_close(some.intrinsics[new], views.intrinsics[old])
    assert len(some.labels) == int(((views.instance == 0) | (views.instance == 2)).sum())


def test_modules_and_known_codes_are_kept(previous, views, config):
    back_to_front = views.of_instances([3, 2, 0])  # One is new, one is gone.
    model = warm_model(previous, back_to_front.names, config, 0)
    for key, value in previous.model.field.state_dict().items():
        torch.testing.assert_close(model.field.state_dict()[key], value, rtol=0, atol=0)
    torch.testing.assert_close(model.codes[1:].detach(), previous.codes[[2, 0]], rtol=0, atol=0)


def test_added_codes_lie_about_the_mean_and_apart(previous, config):
    names = [*previous.instance_names, *(f"new/{i}" for i in range(400))]
    with torch.no_grad():
        offsets = warm_model(previous, names, config, 0).codes[3:] - previous.codes.mean(0)
    assert offsets.mean(0).abs().max() < 5 * config.code_init_std / 400**0.5
    assert float(offsets.std()) == pytest.approx(config.code_init_std, rel=0.1)


def counts_by_step(schedule, steps, batch, heads):
    """(steps, heads) how often each head is drawn."""
    drawn = torch.stack([schedule(step, batch) for step in steps])
    return torch.nn.functional.one_hot(drawn, heads).sum(1)


@pytest.mark.parametrize(
    "known, added, batch, draws",
    [(12, 4, 5, 900), (1000, 1, 4, 58), (2, 10, 4, 58), (40, 3, 4, 58), (1, 1, 2, 900), (30, 8, 8, 58)],
)
def test_added_heads_come_more_often_then_all_alike(previous, config, known, added, batch, draws):
    """Each added head in so many steps, all in turn; known ones in the rest, in turn."""
    names = [f"known/{i}" for i in range(known)]
    met = dataclasses.replace(previous, instance_names=names, rounds=[1] * known)
    mixed = [*(f"new/{i}" for i in range(added)), *names]  # Their order among all plays no part.
    warm = WarmStart(steps=500, added_draws=draws, added_share=0.3)
    config = dataclasses.replace(config, points_only_share=0.8, warm_start=warm)
    schedule = warm_schedule(met, mixed, config, 0)
    counts = counts_by_step(schedule, range(400), batch, known + added)
    assert (counts.sum(1) == batch).all()
    each = max(min(draws * added / 400, 0.3 * batch, added), batch * added / (known + added))
    assert abs(float(counts[:, :added].sum()) - 400 * each) < 1.01
    totals = counts.sum(0)
    for kind in (totals[:added], totals[added:]):
        assert kind.max() - kind.min() <= 1
    in_a_step = counts[:, :added].sum(1)
    assert in_a_step.max() - in_a_step.min() <= 1
    for step in (400, 499):
        torch.testing.assert_close(
            schedule(step, batch), instance_schedule(0, step, known + added, batch), rtol=0, atol=0
        )


def test_where_heads_only_went_or_all_are_new_all_are_drawn_alike(previous, config):
    for names in (previous.instance_names[:2], ["new/a", "new/b"]):
        schedule = warm_schedule(previous, names, config, 0)
        for step in range(5):
            torch.testing.assert_close(schedule(step, 2), instance_schedule(0, step, 2, 2), rtol=0, atol=0)


def test_warm_steps_are_as_anew_but_fewer_and_smaller(config):
    warm = warm_config(dataclasses.replace(config, steps=600, warmup_steps=50))
    assert (warm.steps, warm.warmup_steps, warm.instances_per_step) == (STEPS, 5, 3)
    assert warm.learning_rate == config.learning_rate / 2
    assert warm.code_learning_rate == config.code_learning_rate * 2
    assert warm.points_only_share == config.points_only_share


def test_few_warm_steps_are_worth_many(previous, views, config):
    model, curve = train_on(previous, views, config, 0, "cpu")
    _, cold = train_sof(views, dataclasses.replace(config, steps=STEPS), 0, "cpu")
    assert [row["step"] for row in curve] == [STEPS]
    assert curve[-1]["held_out_miou"] > cold[-1]["held_out_miou"] + 0.1
    assert len(model.codes) == len(views.names)


def test_heads_that_went_leave_the_others(previous, views, config):
    left = views.of_instances([2, 0])
    model, curve = train_on(previous, left, config, 0, "cpu")
    assert len(model.codes) == 2
    _, cold = train_sof(left, dataclasses.replace(config, steps=STEPS), 0, "cpu")
    assert curve[-1]["held_out_miou"] > cold[-1]["held_out_miou"] + 0.1


def test_a_resumed_warm_training_goes_on_where_it_was(previous, views, config, tmp_path):
    """In both phases: added heads more often, points only; and all alike, projected."""
    states = Checkpoints(tmp_path, ["warm"])

    class Killed(Exception):
        pass

    class Kill(Progress):
        def scalars(self, step, values):
            raise Killed

    config = dataclasses.replace(
        config,
        points_only_share=0.5,
        validate_every_steps=4,
        checkpoint_every_steps=2,
        warm_start=dataclasses.replace(config.warm_start, steps=6),
    )
    with pytest.raises(Killed):
        train_on(previous, views, config, 0, "cpu", Session(Kill(), states))
    assert states.latest()[0] == 2
    resumed, _ = train_on(previous, views, config, 0, "cpu", Session(states=states))
    whole, _ = train_on(previous, views, config, 0, "cpu")
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=0, atol=0)


def test_another_file_or_configuration_is_refused(previous, config, tmp_path):
    path = tmp_path / "sof.pt"
    warm = WarmStart(field=str(path), sha256="0" * 64)
    with pytest.raises(WarmStartError, match="no field at"):
        load_previous(warm, config)
    save_sof(path, previous)
    with pytest.raises(WarmStartError, match="not the expected file"):
        load_previous(warm, config)
    warm = WarmStart(field=str(path), sha256=sha256_file(path))
    assert load_previous(warm, config).instance_names == previous.instance_names
    other = dataclasses.replace(config, field=dataclasses.replace(config.field, decoder_hidden=24))
    with pytest.raises(WarmStartError, match="field.decoder_hidden 16, which is 24 now"):
        load_previous(warm, other)
    with pytest.raises(ValueError, match="sha256 is empty"):
        WarmStart(field="models/sof.pt")


def test_parameters_out_of_range_are_refused():
    for wrong in (
        {"steps": 0},
        {"rate": 1.5},
        {"code_rate": 0.0},
        {"instances_per_step": 0},
        {"added_share": 1.0},
        {"added_draws": -1},
    ):
        with pytest.raises(ConfigError, match=f"warm_start.{next(iter(wrong))} is "):
            from_mapping(WarmStart, wrong, "warm_start")
