"""What each stage that computes on a GPU chooses there, seen by torch's flags: no GPU is needed for it."""

import dataclasses
import importlib
import shutil
import sys
from pathlib import Path

import pytest

from stages import params

ROOT = Path(__file__).parents[2]
ROUNDED, EXACT = (
    ("ieee", "tf32", True),
    ("ieee", "ieee", False),
)  # matrix products, convolutions, fastest of cuDNN's
CHOSEN = {
    "train_parser": ROUNDED,
    "train_shape_parser": ROUNDED,
    "train_siw": ROUNDED,
    "train_baseline": ROUNDED,
    "parse_faces": EXACT,
    "train_sof": EXACT,
    "invert_masks": EXACT,
    "sample_conditions": EXACT,
    "evaluate": EXACT,
}


class NothingThere(Exception):
    """The stage has come to its inputs."""


@pytest.mark.parametrize("stage", CHOSEN)
def test_a_stage_chooses_before_it_reads_what_it_works_on(gpu_choices, tmp_path, monkeypatch, stage):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOFGAN_TRACKING", "off")
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    params._document.cache_clear()
    script = importlib.import_module(f"stages.{stage}")
    monkeypatch.setattr(sys, "argv", [stage, "--method", "spade"])
    monkeypatch.setattr(script, "runtime", lambda: params.Runtime("cuda", 1, 1))
    monkeypatch.setattr(script, "use_cpu", lambda threads: None)

    def stop(*_, **__):
        raise NothingThere

    for name in ("PhotoStore", "sha256_file", "load_sof", "view_files"):
        monkeypatch.setattr(script, name, stop, raising=False)
    monkeypatch.setattr("sofgan.distributed.process_group", stop)
    monkeypatch.setattr("stages.execution.sessions.code_digests", stop)
    if stage == "train_shape_parser":
        read = script.read_params
        monkeypatch.setattr(script, "read_params", lambda name: _with_people(read(name)))
        monkeypatch.setattr(script, "picture_people", lambda *_, **__: ([], [], []))
    gpu_choices.set(("tf32", "none", not CHOSEN[stage][2]))
    with pytest.raises(NothingThere):
        script.main()
    assert gpu_choices.get() == CHOSEN[stage]
    params._document.cache_clear()


def _with_people(block):
    return dataclasses.replace(block, people=3)
