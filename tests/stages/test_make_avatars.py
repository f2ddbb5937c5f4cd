"""The stage writes a whole batch, replaces it whole, and says how often what occurs."""

import json
import sys

import pytest

from sofgan.config import ConfigError
from stages import make_avatars
from tests.parameters import write_params


@pytest.fixture
def project(workdir, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_avatars", "--batch", "few"])

    def write(**block):
        runtime = {"device": "cpu", "workers": 1, "threads": 1}
        write_params({"seed": 0, "runtime": runtime, "make_avatars": block})

    return workdir, write


def test_makes_and_replaces_a_batch(project):
    folder, write = project
    scans = folder / "data/raw/scans/few"
    write(scans_per_batch=2)
    make_avatars.main()
    names = {
        "avatar_0000.glb",
        "avatar_0001.obj",
        "avatar_0001.mtl",
        "avatar_0001.png",
        "avatar_0001_seg.png",
    }
    assert {path.name for path in scans.iterdir()} == names | {"avatars.json"}
    first = (scans / "avatar_0000.glb").read_bytes()
    figures = json.loads((folder / "metrics/all/make_avatars/few.json").read_text())
    assert figures["scans"] == 2
    assert sum(value for key, value in figures.items() if key.startswith("hair/")) == pytest.approx(1)

    write(scans_per_batch=1)
    make_avatars.main()
    assert {path.name for path in scans.iterdir()} == {"avatar_0000.glb", "avatars.json"}
    assert (scans / "avatar_0000.glb").read_bytes() == first


def test_refuses_an_empty_batch(project):
    _, write = project
    write(scans_per_batch=0)
    with pytest.raises((ConfigError, ValueError), match="scans_per_batch"):
        make_avatars.main()
