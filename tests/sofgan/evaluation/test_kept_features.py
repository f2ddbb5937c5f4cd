import os

import numpy as np
import pytest

from sofgan.evaluation import kept_features as module
from sofgan.evaluation.kept_features import kept_features


def test_features_and_colors_come_back_as_they_were_made(tmp_path):
    features = {"fd_lite0": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)}
    colors = {"hair": np.zeros((2, 3)), "none at all": np.zeros((0, 3))}
    made = kept_features(tmp_path, {"of": 1}, lambda: (features, colors))
    again = kept_features(tmp_path, {"of": 1}, lambda: pytest.fail("made again"))
    assert made == (features, colors) and [list(part) for part in again] == [list(features), list(colors)]
    for one, other in zip(made, again):
        for name, values in one.items():
            assert other[name].dtype == values.dtype and np.array_equal(other[name], values)
    with pytest.raises(pytest.fail.Exception):
        kept_features(tmp_path, {"of": 2}, lambda: pytest.fail("made again"))


def test_those_used_last_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    for number in range(2):
        kept_features(tmp_path, number, lambda: ({"f": np.zeros((1, 1))}, {}))
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        os.utime(path, ns=(number, number))  # as if long ago
    kept_features(tmp_path, 0, lambda: pytest.fail("made again"))
    kept_features(tmp_path, 2, lambda: ({"f": np.zeros((1, 1))}, {}))
    assert len(list(tmp_path.iterdir())) == 2
    kept_features(tmp_path, 0, lambda: pytest.fail("the one that was used last is gone"))


def test_another_process_may_drop_a_file_at_any_time(tmp_path, monkeypatch):
    """Between reading and marking it as used, and while the oldest are looked for."""
    kept_features(tmp_path, 1, lambda: ({"f": np.ones((1, 1))}, {}))
    read = module._read

    def read_and_drop(file):
        found = read(file)
        file.unlink()
        return found

    monkeypatch.setattr(module, "_read", read_and_drop)
    features, _ = kept_features(tmp_path, 1, lambda: ({"f": np.full((1, 1), 2)}, {}))
    assert features["f"] == 2 and len(list(tmp_path.iterdir())) == 1  # made again, and no empty file left
    monkeypatch.setattr(module, "_read", read)
    assert kept_features(tmp_path, 1, lambda: pytest.fail("made again"))[0]["f"] == 2
    assert module._used(tmp_path / "gone.npz") == 0
