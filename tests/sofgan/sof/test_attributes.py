"""Directions of attributes: exact where an attribute is linear in the code, scored by heads that were left out."""

import json

import numpy as np
import pytest
import torch

from sofgan.apps.attributes import (
    Attribute,
    area_under_curve,
    avatar_attributes,
    compact,
    cross_validated_score,
    fit_directions,
    read_parameters,
)


def numbers(values, parameter, unit="units"):
    return Attribute(np.asarray(values, np.float64), unit, parameter)


@pytest.fixture
def heads():
    """60 codes of 256 numbers, and two attributes that are linear in them and go together."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(60, 256, generator=generator)
    first, second = torch.randn(2, 256, generator=generator)
    return codes, first, first + 0.7 * second


def test_moving_a_code_changes_its_attribute_by_the_amount_and_no_other(heads):
    codes, length, width = heads
    attributes = {
        "length": numbers(codes @ length, "length", "centimetres"),
        "width": numbers(codes @ width, "width"),
    }
    directions = fit_directions(codes, attributes)
    found = directions["length"]
    assert found.measure == "correlation"
    assert found.unit == "centimetres"
    assert found.heads == 60
    moved = codes[3] + 2.5 * found.vector
    assert (moved - codes[3]) @ length == pytest.approx(2.5, abs=1e-3)
    assert (moved - codes[3]) @ width == pytest.approx(0, abs=1e-3)
    # Alone, without the other held, it takes the other along, since the two go together.
    alone = fit_directions(codes, {"length": attributes["length"]})["length"].vector
    assert alone @ length == pytest.approx(1, abs=1e-3)
    assert abs(alone @ width) > 0.5


def test_a_class_means_difference_is_the_direction_of_what_is_there_or_not():
    generator = torch.Generator().manual_seed(1)
    worn = torch.arange(40) % 4 == 0
    offset = torch.randn(64, generator=generator)
    codes = 0.1 * torch.randn(40, 64, generator=generator) + worn[:, None] * offset
    found = fit_directions(codes, {"glasses": numbers(worn, "glasses")})["glasses"]
    assert torch.allclose(found.vector, codes[worn].mean(0) - codes[~worn].mean(0), atol=1e-5)
    assert (found.vector - offset).norm() < 0.2 * offset.norm()
    assert found.measure == "AUC"
    assert found.score > 0.99
    assert found.reliability > 0.98


def test_the_score_of_what_codes_do_not_tell_is_chance():
    rng = np.random.default_rng(0)
    scores = []
    for seed in range(12):
        features, values = rng.normal(size=(48, 256)), rng.normal(size=48)
        scores.append(cross_validated_score(features, values, False, seed))
    assert abs(np.mean(scores)) < 0.12  # no head is read worse than by chance because it was left out
    features = rng.normal(size=(48, 8))
    told = features[:, 0] + 0.3 * rng.normal(size=48)
    assert cross_validated_score(features, told, False, 0) > 0.85
    assert cross_validated_score(features, told, False, 0) == cross_validated_score(features, told, False, 0)


def test_features_score_but_codes_move():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(48, 4))
    codes = torch.from_numpy(np.concatenate([seen, 20 * rng.normal(size=(48, 100))], 1)).float()
    attributes = {"jaw": numbers(seen[:, 0], "jaw")}
    blind = fit_directions(codes, attributes)["jaw"]
    sighted = fit_directions(codes, attributes, torch.from_numpy(seen))["jaw"]
    assert sighted.score > 0.9 > 0.5 > blind.score
    assert torch.equal(sighted.vector, blind.vector)


def test_attributes_of_avatars():
    parameters = [
        {"hair": "bald", "expression": "neutral", "glasses": "round", "hair_color": "grey"},
        {"hair": "long", "expression": "laugh", "earrings": "drop", "age": 0.5},
        {"hair": "bun", "expression": "pout"},
        {},
    ]
    found = avatar_attributes(parameters)
    assert found["hair_length"].values[:2].tolist() == [0, 4]
    assert np.isnan(found["hair_length"].values[2:]).all()  # a bun does not tell, nor does an unknown head
    assert found["smile"].values[:2].tolist() == [0, 3]
    assert found["open_mouth"].values[:3].tolist() == [0, 1, 0]
    assert found["glasses"].values[:3].tolist() == [1, 0, 0]
    assert np.isnan(found["glasses"].values[3])
    assert found["expression_pout"].values[2] == 1
    assert np.isnan(found["expression_pout"].values[1])
    assert found["age"].values[1] == 0.5
    assert "hair_color" not in found
    assert fit_directions(torch.randn(4, 8), found) == {}  # too few to learn from


def test_parameters_are_read_by_batch_and_missing_for_scans(tmp_path):
    (tmp_path / "avatars-0").mkdir()
    (tmp_path / "avatars-0" / "avatars.json").write_text(json.dumps({"a": {"hair": "bob"}}))
    names = ["avatars-0/a", "avatars-0/gone", "mine/a"]
    assert read_parameters(names, tmp_path) == [{"hair": "bob"}, {}, {}]
    nothing = avatar_attributes(read_parameters(["mine/a"] * 30, tmp_path))
    assert fit_directions(torch.randn(30, 8), nothing) == {}


def test_attributes_of_another_number_of_heads_are_refused():
    with pytest.raises(ValueError, match="jaw"):
        fit_directions(torch.randn(30, 8), {"jaw": numbers(np.arange(29), "jaw")})


def test_area_under_curve_counts_ties_half():
    positive = np.array([True, True, False, False])
    assert area_under_curve(np.array([3.0, 2, 1, 0]), positive) == 1
    assert area_under_curve(np.array([1.0, 1, 1, 1]), positive) == 0.5
    assert area_under_curve(np.array([3.0, 0, 1, 2]), positive) == 0.5


def test_compact_features_give_the_same_scores():
    generator = torch.Generator().manual_seed(0)
    features, codes = torch.randn(40, 300, generator=generator), torch.randn(40, 8, generator=generator)
    values = {"x": Attribute(np.where(np.arange(40) % 7 == 0, np.nan, features[:, 0].numpy()), "x", "x")}
    scores = [fit_directions(codes, values, seen)["x"].score for seen in (features, compact(features))]
    assert compact(features).shape == (40, 40) and scores[0] == pytest.approx(scores[1], abs=1e-6)
