import copy

import numpy as np
import pytest
import torch

from sofgan import training
from sofgan.errors import InputError


def test_model_files_are_equal_bytes_whatever_their_name(tmp_path):
    state = torch.nn.Linear(3, 2).state_dict()
    for name in ("a.pt", "other.pt"):
        training.save_model(tmp_path / name, state, {"width": 3})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()
    loaded, config = training.load_model(tmp_path / "a.pt")
    assert config == {"width": 3} and torch.equal(loaded["weight"], state["weight"])


@pytest.mark.parametrize("start", [b"", b"PK", b"\x80\x02", b"\x80\x02}q\x00", b"(lp0", b"cos\nsystem\n"])
def test_bytes_that_are_no_model_are_told(tmp_path, start):
    """Pickle and zip files among them: whatever fails within torch."""
    draws = np.random.default_rng(len(start))
    for _ in range(40):
        (tmp_path / "junk.pt").write_bytes(start + draws.bytes(int(draws.integers(0, 80))))
        with pytest.raises(InputError, match="junk.pt (is no model of this project|is damaged)"):
            training.load_model(tmp_path / "junk.pt")


def test_ema_halves_after_its_halflife_and_copies_buffers():
    model = torch.nn.BatchNorm1d(2)
    ema = copy.deepcopy(model)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.running_mean.fill_(7.0)
    for _ in range(125):
        training.update_ema(ema, model, training.ema_beta(batch=8, halflife_images=1000))
    torch.testing.assert_close(ema.weight, torch.full((2,), 2.0), rtol=1e-4, atol=0)
    assert (ema.running_mean == 7).all()


def test_schedule_warms_up_then_falls_to_its_floor():
    factors = [training.warmup_cosine(step, 100, 10, floor=0.1) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(1.0)
    assert factors[9] == 1.0 and factors[100] == pytest.approx(0.1)
    assert factors[55] == pytest.approx((1 + 0.1) / 2)  # half way down
    assert all(b <= a for a, b in zip(factors[10:], factors[11:]))
