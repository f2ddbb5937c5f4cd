import dataclasses

import pytest
import torch

from sofgan.files import sha256_file
from sofgan.sof.config import WarmStart
from sofgan.sof.data import read_views, view_files
from sofgan.sof.model import save_sof
from sofgan.sof.train import finish, train_sof, validate
from sofgan.sof.warm_start import WarmStartError, load_previous, warm_config, warm_model
from sofgan.training import Checkpoints

STEPS = 60


@pytest.fixture(scope="module")
def config(tiny_training):
    warm = WarmStart(steps=STEPS, rate=0.5)
    return dataclasses.replace(tiny_training, validate_every_steps=STEPS, fit_steps=40, warm_start=warm)


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


def test_modules_and_known_codes_are_kept_and_added_codes_fitted(previous, views, config):
    back_to_front = views.of_instances([3, 2, 0])  # One is new, one is gone.
    model = warm_model(previous, back_to_front, config, 0, "cpu")
    for key, value in previous.model.field.state_dict().items():
        torch.testing.assert_close(model.field.state_dict()[key], value, rtol=0, atol=0)
    torch.testing.assert_close(model.codes[1:].detach(), previous.codes[[2, 0]], rtol=0, atol=0)

    new, unfitted = views.of_instances([3]), previous.codes.mean(0, keepdim=True)
    model.codes = torch.nn.Parameter(model.codes[:1].detach())
    fitted, _ = validate(model, new, None)
    model.codes = torch.nn.Parameter(unfitted)
    at_the_mean, _ = validate(model, new, None)
    assert fitted.miou() > at_the_mean.miou()


def test_few_warm_steps_are_worth_many(previous, views, config):
    def start():
        return warm_model(previous, views, config, 0, "cpu")

    warm = warm_config(config)
    assert warm.steps == STEPS and warm.points_only_share == 0
    model, curve = train_sof(views, warm, 0, "cpu", start=start)
    _, cold = train_sof(views, dataclasses.replace(config, steps=STEPS), 0, "cpu")
    assert len(curve) == 1
    assert curve[-1]["held_out_miou"] > cold[-1]["held_out_miou"] + 0.1
    assert len(model.codes) == len(views.names)


def test_a_resumed_warm_training_does_not_start_again(previous, views, config, tmp_path):
    states, starts = Checkpoints(tmp_path, ["warm"]), []

    def start():
        starts.append(True)
        return warm_model(previous, views, config, 0, "cpu")

    class Killed(Exception):
        pass

    def report(step, scalars, images):
        raise Killed

    warm = dataclasses.replace(warm_config(config), steps=6, validate_every_steps=4, checkpoint_every_steps=2)
    with pytest.raises(Killed):
        train_sof(views, warm, 0, "cpu", states, report, start=start)
    resumed, _ = train_sof(views, warm, 0, "cpu", states, start=start)
    assert len(starts) == 1
    whole, _ = train_sof(views, warm, 0, "cpu", start=start)
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
