"""Settled styles: regions come nearer to the colors that are asked for, and styles that are not asked about stay."""

import numpy as np
import pytest
import torch

from sofgan.apps.engine import Engine
from sofgan.apps.looks import REGION_NAMES
from sofgan.apps.settle import settle
from sofgan.apps.style_fit import region_colors
from sofgan.labels import CLOTH, HAIR, SKIN
from sofgan.progress import Progress


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.starter()


@pytest.fixture(scope="module")
def maps(engine) -> list[np.ndarray]:
    """Two heads at the painter's size."""
    return [engine.view(engine.head(seed), engine.camera(0, 0, 64)).labels for seed in (0, 3)]


def test_regions_come_nearer_to_colors_on_all_maps_and_other_styles_stay(engine, maps):
    look, other = engine.look(0, 0.7), engine.look(5, 0.7)
    for labels in maps:
        assert {SKIN, HAIR, CLOTH} <= set(np.unique(labels))
    wanted = {name: region_colors(engine.paint(maps[0], other), maps[0])[name] for name in ("hair", "cloth")}
    settled = settle(engine.siw, look, maps, wanted, steps=15)
    for labels in maps:
        before, after = (region_colors(engine.paint(labels, one), labels) for one in (look, settled))
        for name, color in wanted.items():
            assert np.linalg.norm(after[name] - color) < 0.5 * np.linalg.norm(before[name] - color)
    plain = look.w[:, None].expand_as(settled.w)
    for row, name in enumerate(REGION_NAMES):
        assert torch.equal(settled.w[row], plain[row]) == (name not in wanted)
    assert torch.equal(look.w, engine.look(0, 0.7).w)  # the given one stays


def test_without_colors_a_look_stays(engine, maps):
    look = engine.look(1)
    assert settle(engine.siw, look, maps, {}) is look


class Steps(Progress):
    """How many were told."""

    count = 0

    def items(self, *_, **__) -> None:
        self.count += 1


def test_a_region_that_no_map_shows_stays_and_costs_nothing(engine):
    look, steps = engine.look(1, 0.7), Steps()
    labels = [np.full((64, 64), SKIN, np.uint8)]
    settled = settle(engine.siw, look, labels, {"hat": np.zeros(3)}, steps=3, progress=steps)
    assert torch.equal(settled.w, look.w[:, None].expand_as(settled.w)) and settled.w.dim() == 3
    assert not steps.count


def test_regions_that_are_shown_settle_as_beside_one_that_is_not(engine, maps, monkeypatch):
    """As they do where that one takes part in every step."""
    look, colors = engine.look(1, 0.7), {"hair": np.array([200.0, 40, 40]), "hat": np.zeros(3)}
    found = settle(engine.siw, look, maps[:1], colors, steps=4)
    monkeypatch.setattr("sofgan.apps.settle.shown_on", lambda shares: np.ones(len(shares), bool))
    assert torch.allclose(found.w, settle(engine.siw, look, maps[:1], colors, steps=4).w, atol=1e-6)
