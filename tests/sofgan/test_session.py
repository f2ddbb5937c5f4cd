import pytest
import torch

from sofgan import distributed
from sofgan.session import UNWATCHED, Checkpoints, Session


def test_checkpoints_keep_the_newest_and_ignore_other_configurations(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"lr": 1}, keep=2)
    assert checkpoints.latest() is None
    for step in (1, 2, 10):
        checkpoints.save(step, {"x": torch.tensor(step)})
    assert checkpoints.latest()[0] == 10 and int(checkpoints.latest()[1]["x"]) == 10
    assert len(list(tmp_path.glob("*.pt"))) == 2
    other = Checkpoints(tmp_path, {"lr": 2})
    assert other.latest() is None
    other.save(1, {})
    assert checkpoints.latest() is None  # Abandoned states are removed once a new training has its own.


def test_a_session_goes_on_from_the_newest_state_and_keeps_the_last(tmp_path):
    session = Session(states=Checkpoints(tmp_path, "f"))
    assert session.resume() == (0, None)
    made = []
    for step in range(1, 8):
        session.keep(step, 3, 7, lambda step=step: made.append(step) or {"x": step})
    assert made == [3, 6, 7]
    assert Session(states=Checkpoints(tmp_path, "f")).resume() == (7, {"x": 7})
    assert Session(states=Checkpoints(tmp_path, "g")).resume() == (0, None)


def test_without_states_nothing_is_asked_for():
    UNWATCHED.keep(1, 1, 1, lambda: pytest.fail("asked for a state"))
    assert UNWATCHED.resume() == (0, None)


def test_the_first_process_alone_reads_and_writes(tmp_path, monkeypatch):
    session = Session(states=Checkpoints(tmp_path, "f"))
    session.keep(1, 1, 2, lambda: {"x": torch.ones(1)})
    given = []
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "from_first", lambda value: given.append(value) or (5, {"x": 5}))
    assert session.resume() == (5, {"x": 5}) and given == [None]
    session.keep(2, 1, 2, lambda: pytest.fail("asked for a state"))
    assert len(list(tmp_path.glob("*.pt"))) == 1
