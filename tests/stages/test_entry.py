"""How stages end: in one sentence, in every process, and with what DVC keeps of what they made last."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sofgan.errors import InputError
from stages.execution import error_sentences, recovery
from stages.tracking import run, spool

CODE = Path(__file__).parents[2]
STAGE = """
import sys
from sofgan.errors import InputError
from stages.execution.entry import enter

def main():
    raise {"user": InputError("no such\\n  thing"), "fault": KeyError("ours"), "stop": KeyboardInterrupt()}[sys.argv[1]]

enter(main)
"""


def run_stage(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    (folder / "paint.py").write_text(STAGE)
    own = {"PYTHONPATH": f"{CODE}{os.pathsep}{folder}"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | own | environment,
        capture_output=True,
        text=True,
    )


def test_a_users_error_is_one_line_a_fault_of_ours_a_traceback(tmp_path):
    done = run_stage(tmp_path, "-m", "paint", "user", "--batch", "may")
    assert (done.returncode, done.stderr) == (1, "paint@may: error: no such thing\n")
    done = run_stage(tmp_path, "-m", "paint", "user", SOFGAN_DEBUG="1")
    assert done.returncode == 1 and done.stderr.startswith("Traceback")
    assert done.stderr.endswith("paint: error: no such thing\n")
    done = run_stage(tmp_path, "-m", "paint", "fault")
    assert done.returncode == 1 and done.stderr.startswith("Traceback")
    assert done.stderr.endswith("KeyError: 'ours'\n")
    done = run_stage(tmp_path, "-m", "paint", "stop")
    assert (done.returncode, done.stderr) == (-2, "paint: interrupted\n")


def test_every_stage_ends_so():
    stages = yaml.safe_load((CODE / "dvc.yaml").read_text())["stages"].values()
    commands = [stage.get("do", stage)["cmd"].split() for stage in stages]
    scripts = {words[words.index("-m") + 1].split(".")[1] for words in commands}
    assert {"ingest_scans", "train_shape_parser", "report"} <= scripts
    ends = 'if __name__ == "__main__":\n    enter(main)\n'
    assert [name for name in scripts if not (CODE / f"stages/{name}.py").read_text().endswith(ends)] == []


def test_of_processes_that_train_together_one_tells(tmp_path):
    arguments = ["-m", "stages.execution.torchrun", "--standalone", "--nproc-per-node=2", "-m", "paint"]
    done = run_stage(tmp_path, *arguments, "user", OMP_NUM_THREADS="1")
    assert (done.returncode, done.stderr) == (1, "paint: error: no such thing\n")


def test_the_users_error_is_told_not_what_came_of_it_in_other_processes(tmp_path, capsys):
    from stages.execution import torchrun

    (tmp_path / "0.json").write_text(json.dumps({"said": None, "text": "Traceback: connection closed"}))
    (tmp_path / "1.json").write_text(json.dumps({"said": "no such thing", "text": None}))
    (tmp_path / "2.json").write_text("{half")
    torchrun._tell(tmp_path, None, ["-m", "stages.train_sof"])
    assert capsys.readouterr().err == "train_sof: error: no such thing\n"


def test_what_the_machine_refuses_is_told_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  train: {cmd: x, outs: [models/sof.pt]}\n"
        "  read: {matrix: {batch: [a]}, cmd: x, outs: ['data/scans/${item.batch}']}\n"
    )
    full = error_sentences.words(OSError(errno.ENOSPC, "No space left on device", "models/x.pt"))
    assert full.startswith("no space is left on the disk for models/x.pt: free some")
    assert "/x may not be used: Read-only file system" in error_sentences.words(
        OSError(errno.EROFS, "Read-only file system", "/x")
    )
    missing = "{} is not there: `dvc repro {}` makes it"
    for path, stage in (("models/sof.pt", "train"), (str(tmp_path / "data/scans/a/x.npz"), "read@a")):
        assert missing.format(path, stage) in error_sentences.words(
            FileNotFoundError(errno.ENOENT, "No such file", path)
        )
    assert error_sentences.words(MemoryError()).startswith("the memory is full (MemoryError)")
    for fault in (
        ValueError("x"),
        FileNotFoundError(errno.ENOENT, "No such file", "models/sof.pt.tmp"),
        OSError("x"),
    ):
        assert error_sentences.words(fault) is None


def test_mlflow_is_told_of_what_stops_before_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    monkeypatch.setenv("SOFGAN_TRACKING", "on")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(run.mirror, "ensure_running", lambda root: None)
    monkeypatch.setattr(run, "_began", False)
    run.note_failure("train_sof", "may", "no such key")
    run.note_failure("train_sof", "may", "again")  # There is a run by now, which has its own end.
    (found,) = (spool.Entry(path) for path in spool.entries(tmp_path))
    end = found.new_events()[-1][0]
    assert found.header["dvc_stage"] == "train_sof@may"
    assert (end["kind"], end["status"], end["error"]) == ("end", "FAILED", "no such key")

    with pytest.raises(InputError), run.stage_run("evaluate", {}):
        raise InputError("no\nfield")
    (found,) = (path for path in spool.entries(tmp_path) if "evaluate" in path.name)
    assert spool.Entry(found).new_events()[-1][0]["error"] == "no field"


DVC = """
stages:
  train:
    cmd: python train.py
    params: [steps]
    outs: [models/sof.pt, data/sof]
    metrics: [metrics/train.json: {cache: false}]
"""
TRAIN = """
import os, yaml
from sofgan.errors import InputError
from stages.execution.entry import enter

def main():
    steps = yaml.safe_load(open("params.yaml"))["steps"]
    if steps < 0:
        raise InputError("steps are few")
    for path in ("models/sof.pt", "data/sof/a.txt", "metrics/train.json"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").write(str(steps))

enter(main)
"""


def test_a_stage_that_stops_tells_how_to_get_back_what_it_made_last(tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "params.yaml").write_text("steps: 5\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def dvc(*arguments: str) -> subprocess.CompletedProcess:
        return run_stage(tmp_path, "-m", "dvc", *arguments, PATH=path)

    assert dvc("init", "-q", "--no-scm").returncode == 0 and dvc("repro", "-q").returncode == 0
    (tmp_path / "params.yaml").write_text("steps: -1\n")
    stopped = dvc("repro")
    assert stopped.returncode and not (tmp_path / "models/sof.pt").exists()
    said = stopped.stderr[stopped.stderr.index("train: error") :].splitlines()
    assert said[0] == "train: error: steps are few"
    assert said[1].startswith(
        "What train made last is in DVC's cache: `dvc checkout data/sof models/sof.pt` brings"
    )
    assert recovery.kept_outs(tmp_path) == ["data/sof", "models/sof.pt"]

    assert dvc(*said[1].split("`")[1].split()[1:]).returncode == 0
    assert (tmp_path / "models/sof.pt").read_text() == (tmp_path / "data/sof/a.txt").read_text() == "5"
    assert recovery.kept_outs(tmp_path) == [] and recovery.advice("train", tmp_path) is None

    # What the cache has only half of can't be had.
    for file in (tmp_path / ".dvc/cache/files/md5").rglob("*"):
        if file.is_file() and not file.name.endswith(".dir"):
            file.unlink()
    (tmp_path / "data/sof/a.txt").unlink()
    (tmp_path / "data/sof").rmdir()
    assert recovery.kept_outs(tmp_path) == []
