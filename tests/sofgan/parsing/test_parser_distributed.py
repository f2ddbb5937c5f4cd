"""Training the parser in two processes, started by torchrun on this machine, is training in one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sofgan import distributed
from sofgan.config import from_mapping
from sofgan.errors import InputError
from sofgan.labels import NUM_CLASSES, PALETTE
from sofgan.parsing.config import TrainParser
from sofgan.parsing.data import splits_of
from sofgan.parsing.train import own_rows, sharers, train_parser
from sofgan.photos.decoding import encode_labels
from sofgan.photos.store import HELD_OUT, TRAIN, VALIDATION, PhotoStore, PhotoStoreWriter
from sofgan.progress import Progress
from sofgan.session import Checkpoints, Session

WORKER = Path(__file__).with_name("parser_worker.py")
CONFIG = {
    "parser": {"arch": "unet", "size": 16, "width": 4, "order": "17"}, "pretrained": {"path": "", "sha256": ""},
    "steps": 4, "batch": 12, "learning_rate": 1e-2, "weight_decay": 1e-2, "class_balance": 0.5, "dice_weight": 0.5,
    "auxiliary_weight": 0.4, "ema_halflife_images": 20, "score_every_steps": 2, "patience": 0,
    "checkpoint_every_steps": 2,
    "augmentation": {
        "mirror": 0.5, "zoom": 0.2, "shift": 0.06, "rotation_degrees": 12.0, "colour": 0.3, "blur": 0.2,
        "noise": 0.03,
    }, "repeat_below": 0.5,
}  # fmt: skip


@pytest.fixture
def work(tmp_path):
    """A folder with a store of 14 photos to train on, 20 held out and 20 to validate by: two processes' shares."""
    generator = np.random.default_rng(0)
    with PhotoStoreWriter(tmp_path / "store") as writer:
        for i in range(54):
            split = TRAIN if i < 14 else HELD_OUT if i < 34 else VALIDATION
            labels = generator.integers(0, NUM_CLASSES, (4, 4), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            writer.add(f"{i}", _png(PALETTE[labels]), encode_labels(labels), split=split)
    return tmp_path


def _png(pixels):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_two_processes_train_as_one_and_one_goes_on(torchrun, work):
    torchrun(str(WORKER), json.dumps({"work": str(work), "config": CONFIG}))
    first, second = (torch.load(work / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    config = from_mapping(TrainParser, CONFIG, "test")
    alone = train_parser(splits_of(PhotoStore(work / "store"), 16), config, 0)

    assert first["reports"] == [2, 4] and second["reports"] == []
    assert first["curve"] == second["curve"]
    assert int(first["counts"].sum()) == 20 * 16 * 16 and torch.equal(first["counts"], second["counts"])
    for mine, theirs in zip(alone.curve, first["curve"], strict=True):
        assert theirs == pytest.approx(mine, rel=1e-3, abs=1e-3)
    for name, value in alone.parser.state_dict().items():
        assert torch.equal(first["state"][name], second["state"][name])
        # Where gradients are rounding errors, Adam may go either way; batch norms know all shares.
        assert (first["state"][name].float() - value.float()).abs().mean() < 1e-4, name

    # One process goes on from the state at half of it, which two left.
    states = sorted((work / "states").glob("*.pt"))
    assert len(states) == 2
    states[1].unlink()
    steps = []

    class Reports(Progress):
        def scalars(self, step, values):
            steps.append(step)

    session = Session(Reports(), Checkpoints(work / "states", "f"))
    resumed = train_parser(splits_of(PhotoStore(work / "store"), 16), config, 0, session=session)
    assert steps == [4] and resumed.curve[0] == first["curve"][0]
    assert resumed.curve[1] == pytest.approx(first["curve"][1], rel=1e-3, abs=1e-3)


def test_processes_take_whole_shares(monkeypatch):
    """Shares are those of one process on a CPU, whose batch norms see four photos at least."""
    assert [sharers(batch, 8) for batch in (4, 7, 8, 12, 16, 64)] == [1, 1, 2, 3, 4, 8]
    assert own_rows(12) == slice(0, 12)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    rows = []
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        rows.append(own_rows(12))
    assert rows == [slice(0, 4), slice(4, 12)]
    with pytest.raises(InputError, match="cannot share"):
        own_rows(7)
