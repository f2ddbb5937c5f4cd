"""What a server of MLflow holds in the end, whatever goes wrong on the way to it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from stages.tracking import mirror, spool
from stages.tracking.mlflow_runs import Runs
from stages.tracking.run import stage_run


class Server:
    """Stands for MLflow's client, and is gone for one call: it keeps equal points of a curve once, as MLflow does, and
    pictures as often as they are sent."""

    def __init__(self, gone_at: int | None = None):
        self.calls, self._gone_at = 0, gone_at
        self.runs: dict[str, dict] = {}
        self.files: list[tuple] = []

    def _call(self) -> None:
        self.calls += 1
        if self.calls - 1 == self._gone_at:
            raise ConnectionError("refused")

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, experiments, query, **_):
        self._call()
        keys = {name: run["tags"]["sofgan.key"] for name, run in self.runs.items()}
        found = [name for name, key in keys.items() if f"'{key}'" in query]
        return [SimpleNamespace(info=SimpleNamespace(run_id=name)) for name in found]

    def create_run(self, experiment, start_time, tags, run_name):
        self._call()
        assert run_name not in self.runs
        self.runs[run_name] = {"tags": dict(tags), "params": {}, "metrics": set(), "status": None}
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        self._call()
        run = self.runs[run_id]
        run["metrics"].update((one.key, one.step, one.value) for one in metrics)
        run["params"].update((one.key, one.value) for one in params)
        run["tags"].update((one.key, one.value) for one in tags)

    def log_image(self, run_id, image, key, step, **_):
        self._call()
        self.files.append((run_id, key, step))

    def log_artifact(self, run_id, path):
        self._call()
        self.files.append((run_id, Path(path).name))

    def log_text(self, run_id, text, name):
        self._call()

    def set_tag(self, run_id, key, value):
        self._call()
        self.runs[run_id]["tags"][key] = value

    def set_terminated(self, run_id, status, end_time):
        self._call()
        self.runs[run_id]["status"] = status


@pytest.fixture
def root(root, monkeypatch):
    """A project folder to work in, whose runs are told to a server of this process."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.setattr(mirror, "wait", lambda *_: None)
    monkeypatch.setattr(Runs, "_client", lambda self, uri: self.server)
    return root


def runs_of(root: Path, server: Server) -> Runs:
    runs = Runs(root)
    runs.server = server
    return runs


def test_a_server_that_is_gone_for_any_one_call_holds_the_same_in_the_end(root):
    with stage_run("report", {"lr": 0.1}) as run:
        run.scalars(1, {"loss": 0.5, "miou": 0.1})
        run.image("grid", np.zeros((4, 4, 3), np.uint8), step=1)
        run.image("head", np.zeros((4, 4, 3), np.uint8), step=1)
        run.scalars(2, {"loss": 0.25})
        run.artifact("params.yaml")
        run.final({"miou": 0.5, "extractor": "lite0"})
        run.scalars(3, {"miou": 0.75})  # The final one before stands at step 1, also when it is told again.
    steady = Server()
    shutil.copytree(spool.spool_folder(root), spool.spool_folder(root / "steady"))
    assert runs_of(root / "steady", steady).update() == (1, {})
    parent, stage = steady.runs["manual"], steady.runs["report of manual"]
    assert parent["params"] == {"seed": "5", "sof.size": "3"} and stage["params"] == {"lr": "0.1"}
    assert ("miou", 1, 0.5) in stage["metrics"] and ("report/miou", 0, 0.5) in parent["metrics"]
    assert [file[1] for file in steady.files] == ["grid", "head", "params.yaml"]
    assert steady.calls > 12
    for number in range(steady.calls):
        again = root / f"gone-{number}"
        shutil.copytree(spool.spool_folder(root), spool.spool_folder(again))
        server = Server(gone_at=number)
        runs = runs_of(again, server)
        assert [str(error) for error in runs.update()[1].values()] == ["refused"], number
        if number % 2:  # Another mirror, which knows what the first one has written down.
            runs = runs_of(again, server)
        assert runs.update() == (1, {})
        assert (server.runs, server.files) == (steady.runs, steady.files), number


@pytest.mark.parametrize("name", ["header.json", "state.json", "events.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\0" * 64, b'{"stage": "tr'], ids=["empty", "zeros", "half"])
def test_an_entry_that_a_power_cut_left_unreadable_stops_no_other(root, monkeypatch, capsys, name, content):
    for stage in ("train_sof", "evaluate"):
        with stage_run(stage, {"lr": 0.1}) as run:
            run.final({"miou": 0.5})
    whole, broken = (next(spool.spool_folder(root).glob(f"*-{stage}")) for stage in ("evaluate", "train_sof"))
    (broken / name).write_bytes(content + b"\n" * (name == "events.jsonl"))
    server = Server()
    runs = runs_of(root, server)
    assert runs.update()[1] == runs.update()[1] == {}
    assert server.runs["evaluate of manual"]["status"] == "FINISHED"
    said = capsys.readouterr().out
    assert said.count("\n") == said.count(broken.name) == 1 and runs.anything_alive()
    if name != "events.jsonl":
        # The mirror ends all the same, and leaves it for who looks.
        monkeypatch.setattr(spool, "is_alive", lambda *_: False)
        monkeypatch.setattr("stages.tracking.mlflow_runs.Runs", lambda root: runs)
        mirror.main(root)
        assert broken.is_dir() and not whole.exists()


def test_a_picture_that_cannot_be_read_is_left_out(root, capsys):
    with stage_run("train_sof", None) as run:
        for step in (1, 2):
            run.image("grid", np.zeros((4, 4, 3), np.uint8), step=step)
    (path,) = spool.entries(root)
    (path / "files/000001/image.png").write_bytes(b"")
    server = Server()
    assert runs_of(root, server).update() == (1, {})
    assert [step for _, _, step in server.files] == [2] and "unreadable" in capsys.readouterr().out


def test_runs_that_someone_deletes_on_the_way_keep_no_execution_open(root, monkeypatch):
    """MLflow refuses what it is told of a deleted run, also its end; and a run may have outlived its parent."""
    for stage in ("train_sof", "evaluate"):
        with stage_run(stage, None) as run:
            run.final({"miou": 0.5})
    lock = {"stages": {"train_siw": {"outs": [{"path": "models/siw.pt", "md5": "1"}]}}}
    (root / "dvc.lock").write_text(json.dumps(lock))

    def refuse(*_, **__):
        raise MlflowException("no such run", RESOURCE_DOES_NOT_EXIST)

    server = Server()
    orphan = {"tags": {"dvc.out.models/siw.pt": "1", "mlflow.parentRunId": "gone"}}
    found = SimpleNamespace(data=SimpleNamespace(**orphan), info=SimpleNamespace(run_id="orphan"))
    by_key = server.search_runs
    server.search_runs = lambda some, query, **_: [found] if "dvc.stage" in query else by_key(some, query)
    for name in ("log_batch", "log_text", "set_tag", "set_terminated", "get_run"):
        setattr(server, name, refuse)
    monkeypatch.setattr(spool, "is_alive", lambda *_: False)
    assert runs_of(root, server).update() == (0, {})
