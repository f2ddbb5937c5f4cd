"""A head from one map: the modules explain what codes can't, and the field that was given stays as it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sofgan.apps import map_fit
from sofgan.apps.map_fit import fit_head, recipe
from sofgan.errors import InputError
from sofgan.siw.condition_views import draw_view
from sofgan.sof.inversion.cameras import PITCH_LIMIT
from tests.small_models import small_sof

# A field that is not trained has further to go.
FEW = replace(recipe(steps=10, released_steps=40, starts=2), module_learning_rate=3e-3)


@pytest.fixture(scope="module")
def sof():
    return small_sof()


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """A map that no code of the field has."""
    rows, columns = np.mgrid[:32, :32]
    around = np.hypot(rows - 15.5, columns - 15.5)
    return np.select([around < 6, around < 11], [3, 15], 0).astype(np.uint8)


@pytest.fixture(scope="module")
def head(sof, labels):
    return fit_head(sof, labels, FEW)


def test_released_modules_explain_more_than_codes(head):
    assert head.miou > head.codes_miou + 0.05


def test_the_given_field_stays(sof, head):
    fresh = small_sof()
    before, now = fresh.model.state_dict(), sof.model.state_dict()
    assert all(torch.equal(before[name], now[name]) for name in before)
    moved = head.sof.model.state_dict()
    assert any(not torch.equal(before[name], moved[name]) for name in before)


def test_the_heads_view_is_what_its_camera_sees(head):
    seen, _ = draw_view(head.sof, head.code, head.camera(32), head.shoulders)
    assert (seen == head.labels).mean() > 0.995


def test_the_camera_turns_and_keeps_its_distance(head):
    still, turned = head.camera(32), head.camera(32, yaw=30.0, pitch=-5.0)
    angles = [np.degrees(np.arctan2(c.cam2world[0, 3], c.cam2world[2, 3])) for c in (still, turned)]
    assert angles[1] - angles[0] == pytest.approx(30.0, abs=1e-3)
    assert np.linalg.norm(turned.cam2world[:3, 3]) == pytest.approx(np.linalg.norm(still.cam2world[:3, 3]))
    assert turned.cam2world[1, 3] < still.cam2world[1, 3]


def test_angles_are_those_of_the_camera_wherever_the_fit_went(sof, labels, monkeypatch):
    plain = map_fit.invert

    def gone_far(*arguments):
        found = plain(*arguments)
        found.views.values.data[0, :2] = torch.tensor([0.3 + 2 * torch.pi, 2.0])
        return found

    monkeypatch.setattr(map_fit, "invert", gone_far)
    far = fit_head(sof, labels, replace(FEW, steps=1, released_steps=0))
    assert far.yaw == pytest.approx(np.degrees(0.3), abs=1e-3)
    assert far.pitch == pytest.approx(np.degrees(PITCH_LIMIT))


def test_equal_seeds_are_equal_heads(sof, labels, head):
    again = fit_head(sof, labels, FEW)
    assert torch.equal(again.code, head.code) and again.miou == head.miou


def test_a_map_without_a_head_is_refused(sof):
    with pytest.raises(InputError, match="shows no head"):
        fit_head(sof, np.zeros((32, 32), np.uint8), FEW)
