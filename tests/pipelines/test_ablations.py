"""Sets of experiments on this project's own graph, its trainings replaced by small scripts; their comparison."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from pipelines import ablation_page, ablations, dvc_stages
from pipelines.ablation_table import COLUMNS, compare

CODE = Path(__file__).parents[2]
NAMED = yaml.safe_load((CODE / "pipelines/ablations.yaml").read_text())


@pytest.mark.parametrize("name", sorted(NAMED))
def test_named_ablations_change_valid_parameters(name, tmp_path):
    from stages import params

    document = yaml.safe_load((CODE / "params.yaml").read_text())
    for change in NAMED[name]:
        key, _, value = change.partition("=")
        *above, last = key.split(".")
        block = document
        for part in above:
            block = block[part]
        assert last in block and block[last] != yaml.safe_load(value), key
        block[last] = yaml.safe_load(value)
        params.block_of(document[above[0]], above[0], tmp_path / "params.yaml")


def test_ablations_are_known_by_their_names(capsys, monkeypatch):
    monkeypatch.chdir(CODE)
    assert ablations.named(["constant-encoder"]) == {
        "constant-encoder": ["train_siw.generator.encoder=constant"]
    }
    with pytest.raises(dvc_stages.StageFailed, match="no ablation 'constant'.*constant-encoder"):
        ablations.named(["constant"])
    assert ablations.run([], 1, 1) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(NAMED)


TRAIN = """
import io, json, os, sys
from pathlib import Path

import yaml
from PIL import Image

from stages import paths

block = yaml.safe_load(Path("params.yaml").read_text())["train_siw"]
name = f"{block['generator']['encoder']} {block['trial']}"
log = Path("LOG")
state = paths.WORK / "train_siw/state"
step = int(state.read_text()) if state.is_file() else 0
with open(log, "a") as file:
    file.write(f"{name} from {step}\\n")
if name == "constant 1" and not step:
    state.parent.mkdir(parents=True)
    state.write_text("1")
    sys.exit("train_siw: error: the power failed")
Path("models/siw.pt").write_text(name)
Path("models/siw_scored").mkdir(exist_ok=True)
Path("models/siw_scored/best.pt").write_text(name)
Path("data/siw").mkdir(parents=True, exist_ok=True)
Image.new("RGB", (6, 4), "red").save("data/siw/samples.png")
for file in ("metrics/train_siw.json", "metrics/all/train_siw.json"):
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text("{}")
Path("plots").mkdir(exist_ok=True)
for file in ("plots/train_siw.csv", "plots/train_siw_scores.csv"):
    Path(file).write_text("kimg\\n0\\n")
"""
EVALUATE = """
import json
from pathlib import Path

encoder, trial = Path("models/siw.pt").read_text().split()
value = 400 + int(trial) + (50 if encoder == "constant" else 0)
Path("data/evaluation").mkdir(parents=True, exist_ok=True)
Path("data/evaluation/a").write_text("")
for file in ("metrics/evaluation.json", "metrics/all/evaluation.json"):
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps({"fd_lite0": value, "fd_lite0_floor": 300}))
Path("plots").mkdir(exist_ok=True)
Path("plots/evaluation_classes.csv").write_text("control\\n0\\n")
"""


def test_a_set_that_was_killed_goes_on_where_it_was(up_to_date, monkeypatch, capsys):
    root, log = up_to_date, up_to_date / ".work/trained"
    log.parent.mkdir(exist_ok=True)
    (root / "stages/train_siw.py").write_text(TRAIN.replace("LOG", str(log)))
    (root / "stages/evaluate.py").write_text(EVALUATE)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in ([*git, "add", "-A"], [*git, "commit", "-qm", "a"]):
        subprocess.run(command, cwd=root, check=True)
    monkeypatch.chdir(root)
    before = (root / "params.yaml").read_text()

    assert ablations.run(["constant-encoder"], trials=2, jobs=1) == 1
    said = capsys.readouterr().out
    assert "constant-encoder-1: experiment 'constant-encoder-1' failed: train_siw: error: the power" in said
    assert "| constant-encoder | 1 | 450 |" in said  # What is done is compared all the same.
    assert log.read_text().splitlines() == ["styled 0 from 0", "constant 0 from 0", "styled 1 from 0",
                                            "constant 1 from 0"]  # fmt: skip
    assert (root / ".work/experiments/constant-encoder-1").is_dir()

    assert ablations.run(["constant-encoder"], trials=2, jobs=2) == 0
    said = capsys.readouterr().out
    assert log.read_text().splitlines()[4:] == ["constant 1 from 1"]  # All else comes from DVC's cache.
    assert not (root / ".work/experiments/constant-encoder-1").exists()
    assert "| default | 2 | 400.5" not in said and "| default | 2 | 400, " in said
    assert "| constant-encoder | 2 | 450, 444 to 457 (worse) |" in said
    assert "| floor |  | 300 |" in said
    page = (root / ablations.PAGE).read_text()
    assert page.count("data:image/png") == 2 and "train_siw.generator.encoder=constant" in page
    assert (root / "params.yaml").read_text() == before
    status = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True)
    assert status.stdout == ""


def test_an_interrupt_stops_what_runs_beside_and_begins_no_more(tmp_path, monkeypatch):
    said = []

    def interrupt():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def run_one(name, changes, root, environment, say):
        said.append(name)
        if name != "a":
            line = [sys.executable, "-c", "import time; print('in', flush=True); time.sleep(20)"]
            if dvc_stages.run_command(line, root, {}, lambda _: name == "b" and interrupt()):
                raise dvc_stages.StageFailed("stopped")
            said.append("done")

    monkeypatch.setattr(ablations, "run_one", run_one)
    began = time.monotonic()
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # Shells have jobs behind ignore it.
    try:
        with pytest.raises(KeyboardInterrupt):
            ablations.run_all(dict.fromkeys("abcd", []), tmp_path, 2, said.append)
    finally:
        signal.signal(signal.SIGINT, heard)
    assert time.monotonic() - began < 15 and set(said) <= set("abc") and not dvc_stages._running


def test_no_trainings_and_an_interrupt_are_told(monkeypatch, capsys):
    from pipelines.__main__ import main

    monkeypatch.chdir(CODE)
    assert main(["ablate", "no-mixing", "--seeds", "0"]) == 1
    assert "once at least (--seeds 1), not 0 times" in capsys.readouterr().err

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ablations, "run_all", interrupted)
    assert main(["ablate", "no-mixing"]) == 130 and capsys.readouterr().err.startswith("stopped: ")


def test_differences_are_taken_trial_by_trial():
    draws = np.random.default_rng(0).normal(0, 30, 3)  # What a trial's draws change in all of its trainings.
    scores = {
        f"default-{trial}": {"fd_lite0": 400 + draws[trial], "control_miou_frequent": 0.7}
        for trial in range(3)
    }
    for trial, noise in enumerate((0.1, 0.0, -0.1)):
        scores[f"near-{trial}"] = {
            "fd_lite0": 390 + draws[trial] + noise,
            "control_miou_frequent": 0.7 + noise,
        }
    scores["once-0"] = {"fd_lite0": 100.0}
    table = compare("default", scores)
    assert table.trials == {"default": 3, "near": 3, "once": 1}
    assert table.columns == ("fd_lite0", "control_miou_frequent")
    near, plain = table.rows["near"][0], table.rows["default"][0]
    assert near.better is True and plain.better is None  # Though their intervals overlap:
    assert near.over.high > plain.over.low
    low, high = stats.t.interval(0.95, 2, 400 + draws.mean(), stats.sem(draws))
    assert np.allclose([plain.over.low, plain.over.high], [low, high])
    assert table.rows["near"][1].better is None
    once = table.rows["once"]
    assert (once[0].value, once[0].better, once[1].text()) == (100.0, None, "-")
    worse = compare(
        "default", {**scores, **{f"near-{i}": {"control_miou_frequent": 0.6 + 0.001 * i} for i in range(3)}}
    )
    assert worse.rows["near"][1].better is False


def test_figures_that_could_not_be_measured_are_left_out():
    scores = {"default-0": {"fd_lite0": 3.0, "fd_lite0_floor": None, "warp_error_20": None}}
    scores["default-1"] = {"fd_lite0": 3.0, "fd_lite0_floor": 2.0}
    table = compare("default", scores)
    assert table.columns == ("fd_lite0",) and table.rows["floor"][0].value == 2.0


def test_pages_name_what_is_missing():
    scores = {"default-0": dict.fromkeys(COLUMNS, 0.5), "a<b-0": dict.fromkeys(COLUMNS, 0.25)}
    page = ablation_page.render(compare("default", scores), {"a<b": ["x=1"]}, {})
    assert page.count("No pictures of this experiment") == 2
    assert "a&lt;b" in page and "a<b" not in page and "x=1" in page and "params.yaml as it is" in page
