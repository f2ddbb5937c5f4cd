import dataclasses
import importlib
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import yaml

from sofgan.config import ConfigError
from sofgan.errors import InputError
from stages import params
from tests.parameters import write_params

ROOT = Path(__file__).parents[2]


def test_every_block_of_the_project_is_known_and_valid():
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(params.BLOCKS) <= set(document)
    for block in params.BLOCKS:
        params.read_params(block, ROOT / "params.yaml")


def test_reading_all_blocks_needs_no_torch():
    code = (
        "import sys; from stages import params; [params.read_params(b) for b in params.BLOCKS]; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_unknown_block_is_named(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 1\ntrain_soff: {}\n")
    with pytest.raises(ConfigError, match="unknown block 'train_soff'; did you mean 'train_sof'"):
        params.read_params("train_sof", tmp_path / "params.yaml")


def test_runtime_resolves_automatic_values(monkeypatch, tmp_path):
    (tmp_path / "params.yaml").write_text("runtime: {device: cpu, workers: 0, threads: 3}\n")
    monkeypatch.chdir(tmp_path)
    assert (
        params.runtime().device == "cpu" and params.runtime().workers >= 1 and params.runtime().threads == 3
    )


RUNTIME = {"device": "cpu", "workers": 2, "threads": 3}


def test_processes_that_train_together_share_the_cores(workdir, monkeypatch):
    monkeypatch.setattr(params, "cores", lambda: 9)
    write_params({"runtime": RUNTIME | {"workers": 0, "threads": 0}})
    for processes, expected in ((1, 9), (2, 4), (20, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert (params.own_cores(), params.workers(), params.runtime().threads) == (expected,) * 3
        assert params.runtime().workers == expected
    write_params({"runtime": RUNTIME})
    assert (params.workers(), params.runtime().workers, params.runtime().threads) == (2, 2, 3)


def test_the_environment_says_where_stages_run(workdir, monkeypatch):
    write_params({"runtime": RUNTIME | {"cluster": "local", "train_processes": 5}})
    assert (params.device(), params.cluster(), params.train_processes()) == ("cpu", "local", 5)
    for name, value in (("DEVICE", "cuda:3"), ("CLUSTER", "tcp://host:8786"), ("TRAIN_PROCESSES", "4")):
        monkeypatch.setenv(f"SOFGAN_{name}", value)
    assert (params.device(), params.cluster(), params.train_processes()) == ("cuda:3", "tcp://host:8786", 4)
    monkeypatch.setenv("SOFGAN_DEVICE", "gpu")
    with pytest.raises(InputError, match="SOFGAN_DEVICE"):
        params.device()
    monkeypatch.setenv("SOFGAN_TRAIN_PROCESSES", "two")
    with pytest.raises(ConfigError, match="SOFGAN_TRAIN_PROCESSES is a whole number, not 'two'"):
        params.train_processes()


@pytest.mark.parametrize("seed", ["x", 1.5, True, None])
def test_a_seed_is_a_whole_number(workdir, seed):
    write_params({"seed": seed})
    with pytest.raises(ConfigError, match="seed is a whole number"):
        params.seed()
    write_params({"seed": 7})
    assert params.seed() == 7


def test_no_default_differs_from_params_yaml():
    """Only what is in a model's own file has defaults, and what params.yaml need not say."""

    def differing(cls, mapping: dict, where: str):
        hints = typing.get_type_hints(cls)
        for one in dataclasses.fields(cls):
            if one.name not in mapping:
                continue
            value, name = mapping[one.name], f"{where}.{one.name}"
            if dataclasses.is_dataclass(hints[one.name]):
                yield from differing(hints[one.name], value, name)
            elif one.default not in (dataclasses.MISSING, tuple(value) if isinstance(value, list) else value):
                yield name

    document = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    for block, place in params.BLOCKS.items():
        module, name = place.split(":")
        assert list(differing(getattr(importlib.import_module(module), name), document[block], block)) == []
