"""Each stage that computes on the CPU has its pieces worked off by as many threads as `runtime.threads` says."""

import importlib
import sys
from pathlib import Path

import pytest
import yaml

from stages import params as stage_params
from tests.parameters import write_params

ROOT = Path(__file__).parents[2]
STAGES = (
    "train_parser",
    "parse_faces",
    "train_sof",
    "invert_masks",
    "sample_conditions",
    "train_siw",
    "train_baseline",
    "evaluate",
)


class Told(Exception):
    pass


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("threads", [1, 3, 0])
def test_threads_of_the_runtime_are_set_before_anything_is_computed(stage, threads, workdir, monkeypatch):
    block = yaml.safe_load((ROOT / "params.yaml").read_text())
    block["runtime"] |= {"threads": threads, "device": "cpu"}
    write_params(block)
    module = importlib.import_module(f"stages.{stage}")

    def told(count):
        raise Told(count)

    monkeypatch.setattr(module, "use_cpu", told)
    monkeypatch.setattr(sys, "argv", [stage, "--method", "spade"])
    with pytest.raises(Told) as found:
        module.main()
    assert found.value.args == (threads or stage_params.cores(),)
