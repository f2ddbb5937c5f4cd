import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sofgan.config import ConfigError
from stages import params

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
