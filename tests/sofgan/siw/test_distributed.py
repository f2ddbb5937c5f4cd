"""Training the generator in two processes, started by torchrun on this machine, is training in one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sofgan.config import to_mapping
from sofgan.session import Checkpoints, Session
from sofgan.siw.condition_store import Conditions
from sofgan.siw.data import ArraySource, Sources
from sofgan.siw.train import train
from tests.sofgan.siw.heads import write_heads

WORKER = Path(__file__).with_name("siw_worker.py")


def alone(config, photos, maps, folder):
    heads = Conditions(folder.parent / "heads").heads()
    sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, ArraySource(maps), heads)
    return train(sources, maps[:2], config, 0, "cpu", Session(states=Checkpoints(folder, "f")))


def test_two_processes_train_as_one_and_one_goes_on(torchrun, tiny_training, photos, maps, tmp_path):
    config = tiny_training(
        batch=8, kimg=0.032, report_every_kimg=0.016, path_length_every=2, r1_every=2,
        consistency_rate=1.0, consistency_every=2,
        discriminator={"kind": "hybrid", "region_weight": 1.0, "region_channels": 4},
    )  # fmt: skip
    photos = photos[:5]
    write_heads(tmp_path / "heads")
    np.savez(tmp_path / "pictures.npz", photos=photos, maps=maps)
    task = {"work": str(tmp_path), "config": json.loads(json.dumps(to_mapping(config)))}
    torchrun(str(WORKER), json.dumps(task))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    siw, rows = alone(config, photos, maps, tmp_path / "alone")

    assert first["reports"] == [2, 4] and second["reports"] == []
    assert {"r1", "path_length", "view_difference", "regions_fake", "logit_real"} <= rows[0].keys()
    for mine, theirs in zip(rows, first["rows"]):
        assert theirs == pytest.approx(mine, rel=5e-3, abs=1e-3)
    differences = []
    for key, value in siw.generator.state_dict().items():
        assert torch.equal(first["state"][key], second["state"][key])
        differences.append((first["state"][key] - value).abs().flatten())
        # As in the test of parts: where gradients are rounding errors, Adam may go either way.
        assert differences[-1].mean() < 5e-4, key
    # Weights can have moved by four times the learning rate, 40 times as far.
    assert torch.cat(differences).mean() < 2e-4

    # One process goes on from the state at half of it, which two left.
    states = sorted((tmp_path / "state").glob("*.pt"))
    assert len(states) == 2
    states[1].unlink()
    _, resumed = alone(config, photos, maps, tmp_path / "state")
    assert resumed[0] == first["rows"][0]
    assert resumed[1] == pytest.approx(first["rows"][1], rel=5e-3, abs=1e-3)
