"""Codes of heads that the field has not seen: fitted alone, from training views only."""

import dataclasses

import pytest
import torch

from sofgan.sof.fitting import fit_codes, score_codes, with_codes
from sofgan.sof.view_set import ViewsError, read_views, view_files
from tests import scenes

STEPS = 150


@pytest.fixture(scope="module")
def views(views_folder):
    return read_views(view_files(views_folder, ["synthetic"]))


@pytest.fixture(scope="module")
def config(tiny_training):
    return dataclasses.replace(tiny_training, code_learning_rate=3e-2)


@pytest.fixture(scope="module")
def fitted(views, trained, config):
    return fit_codes(trained.model, views, config, STEPS, 0, "cpu")


def mean_codes(trained, count):
    return trained.codes.mean(0).expand(count, -1)


def test_codes_of_known_heads_are_found_again(views, trained, fitted):
    """The truth can be reached here: from the mean code the fit comes near to what training found."""
    assert fitted.shape == trained.codes.shape
    assert not fitted.requires_grad
    reached, known, start = (
        score_codes(trained.model, codes, views)[0].miou()
        for codes in (fitted, trained.codes, mean_codes(trained, 4))
    )
    assert start < known - 0.05
    assert reached > known - 0.02


def test_unseen_heads_are_shown_better_than_the_mean_head(trained, config, tmp_path):
    scenes.make_views(tmp_path / "b", heads=7, views=6, held_out=2, size=32)
    unseen = read_views(view_files(tmp_path, ["b"])[4:])
    codes = fit_codes(trained.model, unseen, config, STEPS, 0, "cpu")
    confusion, picture = score_codes(trained.model, codes, unseen)
    assert confusion.counts.sum() == 6 * 32 * 32  # held-out views, all of them
    assert picture.shape == (64, 6 * 32, 3)
    assert confusion.miou() > score_codes(trained.model, mean_codes(trained, 3), unseen)[0].miou() + 0.015


def test_the_field_stays_as_it_is_and_seeds_decide(views, trained, config, fitted):
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    short = dataclasses.replace(config, instances_per_step=3)  # groups of three and one
    first, again, other = (fit_codes(trained.model, views, short, 4, seed, "cpu") for seed in (0, 0, 1))
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (4, 8)
    twin = with_codes(trained.model, fitted)
    assert [name for name, value in twin.named_parameters() if value.requires_grad] == ["codes"]


def test_held_out_views_are_not_looked_at(views, trained, config):
    labels = views.labels.clone()
    labels[views.held_out] = 0
    blind = dataclasses.replace(views, labels=labels)
    codes = [fit_codes(trained.model, seen, config, 4, 0, "cpu") for seen in (views, blind)]
    assert torch.equal(*codes)
    with pytest.raises(ViewsError, match="head-001"):
        nothing = views.held_out | (views.instance == 1)
        fit_codes(trained.model, dataclasses.replace(views, held_out=nothing), config, 4, 0, "cpu")
