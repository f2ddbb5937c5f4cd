from pathlib import Path

import pytest
import torch

from sofgan.evaluation import shards
from sofgan.parsing import parse_store, parser
from sofgan.runtime import use_gpu
from sofgan.scans.unlabelled import scan_parser
from sofgan.sof import sof

ROUNDED, EXACT = ("ieee", "tf32", True), ("ieee", "ieee", False)
OTHERWISE = ("tf32", "tf32", True)


def test_convolutions_of_trainings_alone_are_rounded_and_the_cpu_is_left(gpu_choices):
    for exact, choices in ((False, ROUNDED), (True, EXACT)):
        gpu_choices.set(OTHERWISE)
        use_gpu("cpu", exact)
        assert gpu_choices.get() == OTHERWISE
        use_gpu("cuda:1", exact)
        assert gpu_choices.get() == choices


FILE = Path("model")
LOADERS = {  # what loads a model in a process that works off pieces of a stage, and by which function
    "parse_faces": (parse_store.ParserFile(FILE, "", "cuda").load, (parse_store, "load_parser")),
    "evaluate": (shards.Judges(FILE, FILE, (), (), "", 1, "cuda").load, (shards, "load_parser")),
    "invert_masks, sample_conditions": (sof.SofFile(FILE, "", "cuda").load, (sof, "load_sof")),
    "ingest_scans": (lambda: scan_parser._parser(FILE, 0, "cuda"), (parser, "load_parser")),
}


class Loaded(Exception):
    """The model would be loaded now."""


@pytest.mark.parametrize("stage", LOADERS)
def test_processes_that_a_stage_starts_are_exact_too(gpu_choices, monkeypatch, stage):
    load, place = LOADERS[stage]

    def stop(*_):
        raise Loaded

    monkeypatch.setattr(*place, stop)
    monkeypatch.setattr(scan_parser, "resolve_device", lambda name: name)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    gpu_choices.set(OTHERWISE)
    with pytest.raises(Loaded):
        load()
    assert gpu_choices.get() == EXACT
