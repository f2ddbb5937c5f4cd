"""Tracking: files first, MLflow behind a process of its own, and nothing of it able to stop a stage."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import yaml

from sofgan import progress
from stages.tracking import lineage, mirror, spool
from stages.tracking import run as run_module
from stages.tracking.run import progress_bar, stage_run
from stages.tracking.spool import flatten

CODE = Path(__file__).parents[2]

STAGE = """
import sys, time
import numpy as np
from stages.tracking.run import stage_run
name, item = sys.argv[1], (sys.argv[2:] or [None])[0]
with stage_run(name, {"lr": 0.1, "deep": {"n": 3}}, item) as run:
    for step in range(1200):
        run.scalars(step, {"loss": 1 / (step + 1), "odd %": float("nan")})
    run.image("samples/grid", np.zeros((8, 8, 3), np.uint8), step=7)
    if name == "train_siw":
        run.scalars(5000, {"loss": 0.0})
        print("waiting", flush=True)
        time.sleep(120)
    if name == "evaluate":
        raise RuntimeError("no photos")
    run.artifact("params.yaml")
    run.scalars(1000, {"miou": 0.4})
    run.final({"miou": 0.5, "n": np.int64(3), "extractor": "lite0"})
"""


def only_entry(root: Path) -> spool.Entry:
    (path,) = spool.entries(root)
    return spool.Entry(path)


def events_of(entry: spool.Entry) -> list[dict]:
    return [event for event, _ in entry.new_events()]


def test_final_writes_the_metrics_file_of_stage_and_batch(root):
    with stage_run("ingest_scans", {"a": 1}, "avatars-000") as run:
        run.final({"good": np.int64(4), "share": np.float32(0.5), "odd": float("inf"), "kind": "x"})
    written = json.loads((root / "metrics/all/ingest_scans/avatars-000.json").read_text())
    assert written == {"good": 4, "share": 0.5, "odd": None, "kind": "x"}
    assert not (root / "metrics/ingest_scans").exists()  # Nothing of it is a headline.


def test_final_writes_the_few_figures_that_dvc_shows_apart_from_all(root):
    figures = {"held_out_miou": 0.5, "iou_hair": 0.25, "lost": float("nan")}
    with stage_run("train_sof", None) as run:
        run.final(figures, headline={"field": "held_out_miou", "new_head": "new_head_miou", "x": "lost"})
    assert json.loads((root / "metrics/train_sof.json").read_text()) == {"field": 0.5, "x": None}
    assert json.loads((root / "metrics/all/train_sof.json").read_text()) == figures | {"lost": None}
    (event,) = [event for event in events_of(only_entry(root)) if event["kind"] == "final"]
    assert event["values"] == figures | {"lost": None} and event["name"] == "train_sof"


def test_processes_after_the_first_tell_and_write_nothing(root, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    with stage_run("train_sof", {"lr": 0.1}) as run:
        run.scalars(3, {"loss": 0.25})
        run.images(3, {"view": np.zeros((4, 4, 3), np.uint8)})
        run.items(3, 10, "steps")
        run.final({"miou": 0.5})
    assert not (root / "metrics").exists()
    assert not list(spool.entries(root))
    assert capsys.readouterr().err == ""


def test_entry_keeps_everything_in_order(root):
    @dataclass(frozen=True)
    class Deep:
        sizes: tuple = (1, 2)

    with stage_run("train_sof", {"lr": 0.1, "deep": flatten(Deep())}) as run:
        run.scalars(3, {"loss": 0.25})
        run.images(3, {"view": np.full((4, 4, 3), 9, np.uint8)})
    entry = only_entry(root)
    events = events_of(entry)
    assert [event["kind"] for event in events] == ["metrics", "image", "end"]
    assert events[0]["values"] == {"loss": 0.25} and events[0]["step"] == 3
    assert (entry.folder / events[1]["file"]).is_file()
    assert events[2]["status"] == "FINISHED" and events[2]["cost"]["cpu_seconds"] > 0
    assert entry.header["params"] == {"lr": "0.1", "deep.sizes": "[1, 2]"}
    assert entry.header["parent"]["kind"] == "manual" and entry.is_alive()
    for event, offset in entry.new_events():  # Whoever goes on from there meets the next one.
        entry.save(offset=offset)
        assert events_of(spool.Entry(entry.folder)) == events[events.index(event) + 1 :]


def test_half_a_line_of_a_killed_stage_waits(root):
    with stage_run("train_sof", None) as run:
        run.scalars(1, {"loss": 1.0})
    entry = only_entry(root)
    with open(entry.folder / "events.jsonl", "a") as file:
        file.write('{"kind": "metr')
    assert len(events_of(entry)) == 2


@pytest.mark.parametrize(
    "error, status",
    [(RuntimeError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit("no"), "FAILED")],
)
def test_how_a_stage_ended(root, error, status):
    with pytest.raises(type(error)), stage_run("train_sof", None):
        raise error
    assert events_of(only_entry(root))[-1]["status"] == status


def test_tracking_that_fails_is_said_once_and_stops_nothing(root, capsys):
    (root / ".work").write_text("a file where the folder should be")
    with stage_run("train_sof", {"a": 1}) as run:
        run.scalars(1, {"loss": 1.0})
        run.image("view", np.zeros((4, 4, 3), np.uint8))
        run.final({"miou": 0.5})
    assert json.loads((root / "metrics/all/train_sof.json").read_text()) == {"miou": 0.5}
    assert capsys.readouterr().err.count("tracking:") == 1


def test_bad_values_stop_tracking_not_the_stage(root, capsys):
    with stage_run("train_sof", None) as run:
        run.scalars(1, {"loss": "not a number"})
        run.image("view", np.zeros((4, 4, 3), np.uint8))
        run.final({"miou": 0.5})
    assert (root / "metrics/all/train_sof.json").is_file()
    assert capsys.readouterr().err.count("tracking:") == 1


def test_an_absent_server_is_said_once_an_execution(root, capsys):
    uri = spool.tracking_uri(root)
    mirror._keep_errors(root, {uri: ConnectionError("refused"), "http://other": ConnectionError("gone")})
    for _ in range(2):
        with stage_run("train_sof", None):
            pass
    assert capsys.readouterr().err.count("refused") == 1
    with stage_run("report", None):  # Doesn't wait for a server that fails.
        pass
    mirror._keep_errors(root, {})
    assert mirror.last_error(root, uri, "another execution") is None


def test_status_is_a_line_now_and_then_and_the_last(root, capsys):
    with stage_run("train_sof", None) as run:
        for step in range(50):
            run.text(f"step {step}")
    lines = [line for line in capsys.readouterr().err.splitlines() if "step" in line]
    assert lines == ["train_sof: step 0", "train_sof: step 49"]


def test_counts_have_a_rate_from_where_their_loop_began(root, monkeypatch):
    now, shown = [50.0], []
    with stage_run("train_sof", None) as run:
        monkeypatch.setattr(run._status, "show", shown.append)
        with monkeypatch.context() as patched:
            patched.setattr(progress.time, "monotonic", lambda: now[0])
            for done in (40, 50, 60):  # Resumed at 40.
                run.items(done, 100, "steps", "loss 0.300")
                now[0] += 5
            run.items(4, 100, "steps")  # Another loop, as it begins anew.
            now[0] += 1
            run.items(8, 100, "steps")
            run.items(2, 9, "groups of maps")
    assert shown == [
        "40/100 steps  loss 0.300",
        "50/100 steps  2.0 steps/s  0:25 left  loss 0.300",
        "60/100 steps  2.0 steps/s  0:20 left  loss 0.300",
        "4/100 steps",
        "8/100 steps  4.0 steps/s  0:23 left",
        "2/9 groups of maps",
    ]


def test_a_terminal_shows_a_bar(root, capsys, monkeypatch):
    assert progress_bar("photos: 30/40 photos  5.0 photos/s") == "\u2588" * 15 + "\u2591" * 5 + " "
    assert progress_bar("held-out views") == progress_bar("0/0 photos") == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((60, 20)))
    with stage_run("parse_faces", {}) as run:
        run.text("10/40 photos  " + "x" * 80)
    shown = capsys.readouterr().err
    assert f"parse_faces: {progress_bar('1/4')}10/40 photos" in shown and "x" * 80 not in shown


def test_off_writes_nothing_but_the_metrics(root, monkeypatch):
    monkeypatch.setenv("SOFGAN_TRACKING", "off")
    with stage_run("train_sof", None) as run:
        run.image("view", np.zeros((4, 4, 3), np.uint8))
        run.final({"miou": 0.5})
    assert not (root / ".work").exists() and (root / "metrics/all/train_sof.json").is_file()


def test_a_pid_used_again_is_another_process():
    me = spool.identity(os.getpid())
    assert spool.is_alive(me, 0)
    assert not spool.is_alive({**me, "created": me["created"] - 100}, time.time())
    assert spool.is_alive({**me, "host": "elsewhere"}, time.time())
    assert not spool.is_alive({**me, "host": "elsewhere"}, time.time() - 2 * spool.FOREIGN_STALE_SECONDS)


def test_stages_of_one_execution_find_one_parent(root, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train_sof")
    first = spool.find_parent()
    assert first == spool.find_parent() and first["kind"] == "repro" and first["owner"]["pid"] != os.getpid()
    monkeypatch.setenv("DVC_EXP_NAME", "brave-name")
    assert spool.find_parent()["kind"] == "experiment" and spool.find_parent()["name"] == "brave-name"
    monkeypatch.setenv("SOFGAN_RUN", "flow-1")
    monkeypatch.setenv("SOFGAN_RUN_PID", str(os.getpid()))
    assert spool.find_parent()["owner"]["pid"] == os.getpid()


def test_table_says_what_was_cached(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {b: {}, a: {}, c: {}}")
    params = {"params.yaml": {"seed": 0}, "recipe.json": {"digest": "5"}}
    lock = {"stages": {"a@x": {"params": params, "outs": [{"path": "o", "md5": "1"}]}, "b": {}, "gone": {}}}
    (tmp_path / "dvc.lock").write_text(json.dumps(lock))
    ran = {"c": {"run_id": "r3", "status": "KILLED"}, "b": {"run_id": "r2", "status": "FINISHED"}}
    made_by = lambda name, stage: ("earlier", "r1") if stage else None  # noqa: E731
    rows = lineage.stage_table(tmp_path, ran, {"a@x"}, made_by)
    assert rows == [
        ("b", "ran", "this one", "r2"),
        ("a@x", "cached", "earlier", "r1"),
        ("c", "killed", "this one", "r3"),
    ]
    assert "| a@x | cached | earlier `r1` |" in lineage.as_markdown(rows)
    assert list(lineage.hashes(lock["stages"]["a@x"])) == [("dep", "recipe.json", "5"), ("out", "o", "1")]


def test_an_experiment_that_runs_again_has_a_parent_of_its_own(root, monkeypatch):
    """MLflow never changes a run's parameters: in the parent of the first time they would stand beside new metrics."""
    from mlflow import MlflowClient

    from stages.tracking.mlflow_runs import Runs

    for name, value in {"DVC_STAGE": "train_siw", "DVC_EXP_NAME": "again", "SOFGAN_RUN": ""}.items():
        monkeypatch.setenv(name, value)
    # What an earlier execution, of other parameters, has left of a stage that this one never came to.
    lock = {
        "stages": {
            "evaluate": {
                "params": {"params.yaml": {"seed": 4}},
                "outs": [{"path": "metrics/all/evaluate.json", "md5": "1"}],
            }
        }
    }
    (root / "dvc.lock").write_text(json.dumps(lock))
    (root / "metrics/all").mkdir(parents=True)
    (root / "metrics/all/evaluate.json").write_text('{"fd": 300.0}')
    runs = Runs(root)
    for seed, loss in ((5, 0.5), (6, 0.25)):
        (root / "params.yaml").write_text(f"seed: {seed}\n")
        dvc = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        owner = spool.identity(dvc.pid)
        monkeypatch.setattr(spool, "_dvc_ancestor", lambda owner=owner: owner)
        with stage_run("train_siw", {"seed": seed}) as run:
            run.final({"loss": loss})
        assert runs.update()[1] == {}
        dvc.communicate(b"\n")
        assert runs.update() == (0, {})

    client = MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")
    experiment = client.get_experiment_by_name("sofgan").experiment_id
    parents = client.search_runs([experiment], "attributes.run_name = 'again'", order_by=["start_time"])
    assert [parent.data.params for parent in parents] == [{"seed": "5"}, {"seed": "6"}]
    assert [parent.data.metrics for parent in parents] == [{"train_siw/loss": 0.5}, {"train_siw/loss": 0.25}]
    assert [parent.info.status for parent in parents] == ["FINISHED", "FINISHED"]
    for parent, seed in zip(parents, "56"):
        (nested,) = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
        assert nested.data.params == {"seed": seed}
    assert "| evaluate | old |" in parents[1].data.tags["mlflow.note.content"]


def test_parameters_changed_under_a_flow_begin_another_execution(root, monkeypatch):
    monkeypatch.setenv("SOFGAN_RUN", "flow-1")
    monkeypatch.setenv("SOFGAN_RUN_PID", str(os.getpid()))
    keys = []
    for text in ("seed: 5\n", "seed: 5\n", "seed: 6\n"):
        (root / "params.yaml").write_text(text)
        with stage_run("train_sof", None):
            pass
        keys.append(spool.Entry(list(spool.entries(root))[-1]).header["parent"]["key"])
    assert keys[0] == keys[1] != keys[2]


def test_old_outs_are_told_from_those_of_this_execution():
    """A chain a, b, c and d beside it; the user's own photos are a source of a."""
    param = lambda value: {"params.yaml": {"x": value}}  # noqa: E731
    lock = {
        "a": {
            "deps": [{"path": "photos", "md5": "p"}],
            "outs": [{"path": "data/a", "md5": "1"}],
            "params": param(1),
        },
        "b@x": {"deps": [{"path": "data/a", "md5": "1"}], "outs": [{"path": "data/b/x", "md5": "2"}]},
        "c": {"deps": [{"path": "data/b", "md5": "9"}], "outs": [{"path": "metrics/all/c.json", "md5": "3"}]},
        "d": {
            "deps": [],
            "outs": [{"path": "metrics/all/d.json", "md5": "4"}],
            "params": {"params.yaml": {"y": 1}},
        },
    }
    told = lambda ran, **params: lineage.current_stages(lock, ran, params)  # noqa: E731
    assert told({}, x=1, y=1) == {"a", "b@x", "c", "d"}
    assert told({}, x=2, y=1) == {"d"} and told({}, x=1, y=2) == {"a", "b@x", "c"}
    assert told({"a": {"status": "FINISHED"}}, x=1, y=1) == {"a", "b@x", "c", "d"}
    assert told({"b@x": {"status": "KILLED"}}, x=1, y=1) == {"a", "d"}
    lock["a"]["outs"][0]["md5"] = "other"  # a has run since, b has not.
    assert told({"a": {"status": "FINISHED"}}, x=1, y=1) == {"a", "d"}
    figures = lineage.figures_of(lock, {"a", "c"}, Path("metrics/all"))
    assert figures == [Path("metrics/all/c.json")]


def test_stages_of_this_repositorys_lock_are_current_where_their_parameters_are_the_same():
    """Some depend on a value within a block, which dvc.lock names with dots (`train_siw.photo_sets`)."""
    params, seen = yaml.safe_load((CODE / "params.yaml").read_text()), set()
    for name, stage in lineage.read_lock(CODE).items():
        used = stage.get("params", {}).get("params.yaml", {})
        same = all(reduce(dict.__getitem__, key.split("."), params) == value for key, value in used.items())
        assert lineage.current_stages({name: stage}, {}, params) == ({name} if same else set())
        seen.update(used)
    assert "train_siw.photo_sets" in seen
    lock = {"evaluate": {"params": {"params.yaml": {"a.b.c": 1}}}}
    told = [
        lineage.current_stages(lock, {}, {"a": block})
        for block in ({"b": {"c": 1}}, {"b": {"c": 2}}, {"b": 1})
    ]
    assert told == [{"evaluate"}, set(), set()]


def test_mlflow_shows_one_parent_and_how_each_stage_ended(root):
    """The real thing: stages as processes, one of them killed hard, one failing, all under one parent."""
    (root / "stage.py").write_text(STAGE)
    environment = {**os.environ, "PYTHONPATH": str(CODE), "SOFGAN_RUN": "flow-7", "PYTHONUNBUFFERED": "1"}
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    environment["SOFGAN_RUN_PID"] = str(owner.pid)

    def start(*arguments):
        command = [sys.executable, "stage.py", *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    killed = start("train_siw")
    others = [start("train_sof"), start("ingest_scans", "avatars-000"), start("evaluate")]
    assert [process.wait() for process in others] == [0, 0, 1]
    assert killed.stdout.readline() == b"waiting\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    owner.communicate(b"\n")
    end = time.monotonic() + 240
    while list(spool.entries(root)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not list(spool.entries(root)), (spool.spool_folder(root) / "mirror.log").read_text()

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")
    experiment = client.get_experiment_by_name("sofgan").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    parent = runs.pop("flow-7")
    assert {name: run.info.status for name, run in runs.items()} == {
        "train_sof of flow-7": "FINISHED",
        "ingest_scans avatars-000 of flow-7": "FINISHED",
        "evaluate of flow-7": "FAILED",
        "train_siw of flow-7": "KILLED",
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert parent.info.status == "FAILED"
    assert parent.data.metrics["ingest_scans/avatars-000/miou"] == 0.5
    assert parent.data.params == {"seed": "5", "sof.size": "3"}
    sof = runs["train_sof of flow-7"]
    assert sof.data.params == {"lr": "0.1", "deep.n": "3"}
    assert sof.data.metrics["miou"] == 0.5 and sof.data.tags["final.extractor"] == "lite0"
    assert len(client.get_metric_history(sof.info.run_id, "loss")) == 1200
    curve = [(point.step, point.value) for point in client.get_metric_history(sof.info.run_id, "miou")]
    assert sorted(curve) == [(1000, 0.4), (1000, 0.5)]  # The final one ends its curve.
    assert "RuntimeError: no photos" in runs["evaluate of flow-7"].data.tags["error"]
    kept = {path.path for path in client.list_artifacts(sof.info.run_id)}
    assert kept == {"images", "params.yaml"}
    assert "killed" in parent.data.tags["mlflow.note.content"]


def test_what_the_pipeline_writes_itself_makes_a_work_tree_no_dirtier(root):
    outs = [
        path
        for stage in yaml.safe_load((CODE / "dvc.yaml").read_text())["stages"].values()
        for kind in ("outs", "metrics", "plots")
        for item in stage.get(kind, [])
        if isinstance(item, dict)
        for path, options in item.items()
        if options.get("cache") is False  # git has these
    ]
    assert "data/code" in outs
    files = [root / path / "file" for path in outs] + [root / "dvc.lock"]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    git = ["git", "-c", "user.name=a", "-c", "user.email=b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run(git + command, check=True)
    for path in files:
        path.write_text("after")
    assert not run_module._git_state()["dirty"]
    (root / "params.yaml").write_text("seed: 6\n")
    assert run_module._git_state()["dirty"]


def test_the_mirror_imports_from_the_repository_and_not_from_stages(tmp_path, monkeypatch):
    """There a module `code` would stand in the place of Python's own, which pdb needs."""
    started = []
    monkeypatch.setattr(mirror.subprocess, "Popen", lambda command, **named: started.append(named["env"]))
    mirror.ensure_running(tmp_path)
    (environment,) = started
    paths = environment["PYTHONPATH"].split(os.pathsep)
    assert paths[0] == str(CODE) and str(CODE / "stages") not in paths


IMPORTING = """
import sys, time
from stages.tracking.run import stage_run
with stage_run("render_views", {}):
    try:
        import slow_package
    except BaseException as error:
        print(f"taken for missing: {type(error).__name__}", flush=True)
    time.sleep(60)
"""


def test_a_stage_asked_to_stop_while_it_imports_stops_after_that(tmp_path):
    """Packages that are optional to others are imported under an `except` that would swallow the request."""
    (tmp_path / "slow_package.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(1)\n")
    path = os.pathsep.join([str(CODE), str(tmp_path), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, "-c", IMPORTING]
    stage = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert stage.stdout.readline() == "ready\n"
    stage.terminate()
    said = stage.communicate(timeout=20)[0]
    assert stage.returncode != 0 and "taken for missing" not in said
