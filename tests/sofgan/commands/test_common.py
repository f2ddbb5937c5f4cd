"""What verbs share, without models: devices, heads out of files, a report's parts, and lines of progress."""

import argparse
from types import SimpleNamespace

import numpy as np
import pytest

from sofgan.apps.edited_heads import MARK
from sofgan.apps.results import encode
from sofgan.commands import common, generate, kinds, photo
from sofgan.errors import InputError
from sofgan.progress import SILENT


@pytest.mark.parametrize("name", ["mps", "xpu", "cpu:3", "mps:0", "gpu"])
def test_devices_that_nothing_here_was_run_on_are_refused(name):
    with pytest.raises(InputError, match=f"--device is auto, cpu, cuda or cuda:N, not '{name}'"):
        common.device_of(argparse.Namespace(device=name))
    assert common.device_of(argparse.Namespace(device="cpu")) == "cpu"


def file_of(folder, heads: list[str]) -> str:
    """Path of a picture whose record names these heads, as a film's of `sofgan morph` does."""
    record = {"verb": "morph", "arguments": {"heads": heads}, "models": {}, "version": "1", "commit": "x"}
    path = folder / "made.png"
    path.write_bytes(encode(np.zeros((8, 8, 3), np.uint8), ".png", record))
    return str(path)


def test_a_file_of_several_heads_gives_the_one_that_was_edited(tmp_path):
    assert kinds.head(file_of(tmp_path, ["3", MARK + "abc", "b"])) == MARK + "abc"
    assert kinds.head(file_of(tmp_path, [MARK + "abc"] * 2)) == MARK + "abc"
    for heads, told in (
        (["3", "b"], "holds no edited head"),
        ([MARK + "a", MARK + "b"], "holds 2 edited heads"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=told):
            kinds.head(file_of(tmp_path, heads))


def test_a_last_seed_of_too_many_digits_is_told_with_the_one_that_was_given():
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    engine = SimpleNamespace(camera=lambda *_: None)
    with pytest.raises(InputError, match="--seed 999999999999999 .*15 digits"):
        generate.make(engine, parser.parse_args(["--seed", "9" * 15, "--heads", "2"]), SILENT)


def test_a_report_has_both_cameras():
    record, fit = {"camera": {"fov_degrees": 29.0}}, {"camera": {"yaw_degrees": 3.0}, "map_miou": 0.9}
    found = photo.report_of(record, fit)
    assert found == {**record, "photo_camera": {"yaw_degrees": 3.0}, "map_miou": 0.9}


def test_progress_is_told_now_and_then_where_there_is_no_terminal(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    line = common.Line()
    for done in range(1, 101):
        clock[0] += 0.5
        line.items(done, 100, "steps")
    told = capsys.readouterr().err
    assert "\r" not in told and told.splitlines() == [f"{done}/100 steps" for done in (20, 40, 60, 80, 100)]
