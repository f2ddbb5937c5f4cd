"""Stages in graph order, run by a real dvc in a small project; the flow around them without a server."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pipelines import dvc_stages, gpu_shares
from pipelines.ablation_table import compare
from pipelines.dvc_at_work import dvc_at_work
from pipelines.summary import batch_tables, experiments_table, summary
from stages import paths

CODE = Path(__file__).parents[2]
DVC = """
stages:
  report: {cmd: cp b.txt report.txt, deps: [b.txt], outs: [report.txt]}
  last: {cmd: cat a-x.txt a-y.txt > b.txt, deps: [a-x.txt, a-y.txt], outs: [b.txt]}
  first:
    matrix: {batch: [x, y]}
    cmd: echo doing ${item.batch}; echo ${item.batch} > a-${item.batch}.txt
    outs: ["a-${item.batch}.txt"]
  sleep: {cmd: "echo $$ > pid.txt; sleep 100", outs: [never.txt]}
  asks:
    cmd: python -c "from pipelines.dvc_at_work import *; print(dvc_at_work(Path()))" > asked.txt
    outs: [asked.txt]
  bad: {cmd: "echo about to fail; exit 3", outs: [never2.txt]}
  said: {cmd: "echo 'said: error: no such key'; exit 1", outs: [never3.txt]}
"""


@pytest.fixture(scope="module")
def project(real_files, tmp_path_factory) -> Path:
    """A small dvc project: this one's own ignore files, a graph whose stages say something, last, or fail."""
    root = Path(shutil.copytree(real_files, tmp_path_factory.mktemp("flows") / "project"))
    (root / "dvc.yaml").write_text(DVC)
    return root


def test_graph_order(project):
    order = dvc_stages.in_graph_order(project, [])
    assert sorted(order) == ["asks", "bad", "first@x", "first@y", "last", "report", "said", "sleep"]
    assert order.index("first@y") < order.index("last") < order.index("report")
    assert dvc_stages.in_graph_order(project, ["last"]) == ["first@x", "first@y", "last"]
    assert dvc_stages.in_graph_order(project, ["first"]) == ["first@x", "first@y"]
    with pytest.raises(dvc_stages.StageFailed, match="no stage 'lost'"):
        dvc_stages.in_graph_order(project, ["last", "lost"])


def test_a_stage_runs_once_then_is_cached(project):
    lines = []
    outcome = dvc_stages.run_stage("first@x", project, {}, lines.append)
    assert outcome.what == "ran" and "doing x" in lines and (project / "a-x.txt").read_text() == "x\n"
    assert dvc_stages.run_stage("first@x", project, {}, lines.append).what == "cached"


def test_a_dvc_that_runs_a_stage_is_seen_at_work(project):
    assert dvc_at_work(project) is None
    dvc_stages.run_stage("asks", project, {"PYTHONPATH": str(CODE)}, print)
    assert (project / "asked.txt").read_text().strip().endswith("repro --single-item asks")
    assert dvc_at_work(project) is None


def test_a_failure_raises_after_its_words(project):
    lines = []
    with pytest.raises(dvc_stages.StageFailed, match="'bad'"):
        dvc_stages.run_stage("bad", project, {}, lines.append)
    assert "about to fail" in lines
    # What the stage itself said says more than dvc, which speaks last.
    with pytest.raises(dvc_stages.StageFailed, match="^said: error: no such key$"):
        dvc_stages.run_stage("said", project, {}, lines.append)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_flow_leaves_no_stage_behind(project, number):
    (project / "pid.txt").unlink(missing_ok=True)
    code = (
        "from pathlib import Path; from pipelines.dvc_stages import run_stage; "
        f"run_stage('sleep', Path({str(project)!r}), {{}}, print)"
    )
    flow = subprocess.Popen(
        [sys.executable, "-c", code], cwd=CODE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while not (project / "pid.txt").is_file() or not (project / "pid.txt").read_text().strip():
        assert time.monotonic() < end
        time.sleep(0.05)
    stage = psutil.Process(int((project / "pid.txt").read_text()))
    os.kill(flow.pid, number)
    flow.wait()
    stage.wait(timeout=20)
    assert not (project / "never.txt").exists()


def test_the_flow_goes_through_the_graph_and_stops_at_a_failure(project, monkeypatch):
    from prefect.states import Completed, Failed

    from pipelines import flows

    seen, artifacts = [], []

    class Task:
        def with_options(self, name, retries, retry_delay_seconds):
            assert retries == 2
            return self

        def __call__(self, stage, root, environment, return_state):
            assert environment["SOFGAN_RUN_PID"] == str(os.getpid())
            seen.append(stage)
            if stage == "last":
                return Failed(data=dvc_stages.StageFailed("stage 'last' failed"), message="no")
            return Completed(data=dvc_stages.Outcome(stage, "ran", 1.5))

    monkeypatch.chdir(project)
    monkeypatch.setattr(flows, "stage_task", Task())
    monkeypatch.setattr(flows, "create_markdown_artifact", lambda markdown, key: artifacts.append(markdown))
    state = flows.rebuild.fn(targets=["report"], retries=2)
    assert state.is_failed() and state.message == "stage 'last' failed"
    assert seen == ["first@x", "first@y", "last"]
    assert "| first@x | ran | 1.5 |" in artifacts[0] and "| last | failed |" in artifacts[0]


def test_the_watching_flow_takes_up_what_is_unfinished(tmp_path, monkeypatch, capsys, at_work):
    from prefect.states import Completed, Failed

    from pipelines import batches, flows, watched_folder

    rendered, noted, given_up = [], [], ["hopeless", "photos"]

    def render_batch(source, fine_tune, return_state):
        rendered.append((Path(source), fine_tune))
        return Failed() if "bad" in source else Completed()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flows, "render_batch", render_batch)
    monkeypatch.setattr(
        watched_folder, "arrived", lambda *_: [Path("incoming") / name for name in ("New", "Photos", "bad")]
    )
    monkeypatch.setattr(watched_folder, "unfinished", lambda *_: ["bad-again", "hopeless", "mended"])
    monkeypatch.setattr(watched_folder, "worth_a_try", lambda root, name, source=None: name not in given_up)
    monkeypatch.setattr(batches, "goes_on_from_its_field", lambda root, name: name == "mended")
    monkeypatch.setattr(
        watched_folder, "note_failure", lambda root, name, source: noted.append((name, source))
    )
    state = flows.watch_batches.fn(folder="incoming", fine_tune=True)
    assert state.is_failed() and "could not be taken in: bad, bad-again" in state.message
    assert rendered == [
        (Path("incoming/New"), True),
        (Path("incoming/bad"), True),
        (paths.RAW_SCANS / "bad-again", False),  # Its warm start is another batch's by now.
        (paths.RAW_SCANS / "mended", True),
    ]
    assert noted == [("bad", Path("incoming/bad")), ("bad-again", paths.RAW_SCANS / "bad-again")]
    said = capsys.readouterr().out
    assert "batch 'hopeless' failed" in said and "incoming/Photos was refused 3 times" in said

    at_work(tmp_path)
    assert flows.watch_batches.fn(folder="incoming") == [] and len(rendered) == 4 and len(noted) == 2
    assert "dvc is at work (dvc repro): incoming/New and what comes after" in capsys.readouterr().out
    at_work(tmp_path, False)

    monkeypatch.setattr(watched_folder, "arrived", lambda *_: [])
    monkeypatch.setattr(watched_folder, "unfinished", lambda *_: ["hopeless", "mended"])
    assert flows.watch_batches.fn(folder="incoming") == ["mended"]


@pytest.mark.parametrize(
    "name, has_field, trains", [("new", True, True), ("new", False, False), ("may", False, True)]
)
def test_without_a_field_a_batch_is_rendered_all_the_same(
    tmp_path, monkeypatch, capsys, name, has_field, trains
):
    """dvc removed it before a training that failed; the batch that came with that goes on from the field kept."""
    from prefect.states import Completed

    from pipelines import batches, flows

    monkeypatch.chdir(tmp_path)
    kept = "batches: [may]\ntrain_sof: {warm_start: {field: data/fields/before-may.pt}}\n"
    (tmp_path / "params.yaml").write_text(kept)
    if has_field:
        (tmp_path / "models").mkdir()
        (tmp_path / paths.SOF).write_bytes(b"a field")
    ran = []

    def register(source, name, root, warm_start, return_state):
        ran.append(warm_start)
        return Completed(data=batches.Batch(name, {}, 1, True))

    monkeypatch.setattr(flows, "register_task", register)
    monkeypatch.setattr(flows, "run_stages", lambda targets, *_: ran.extend(targets))
    monkeypatch.setattr(flows, "score_task", lambda *_, **__: Completed(data=True))
    monkeypatch.setattr(flows, "execution", lambda *_: {"SOFGAN_RUN": "x"})
    monkeypatch.setattr(flows, "batch_tables", lambda *_: "")
    monkeypatch.setattr(flows, "summary", lambda *_, **__: "")
    monkeypatch.setattr(flows, "create_markdown_artifact", lambda *_, **__: None)
    assert flows.render_batch.fn("incoming/x", name=name, fine_tune=True) == []
    assert ran == [trains, f"render_views@{name}", *(["train_sof"] if trains else [])]
    said = "no field at models/sof.pt to go on from: batch 'new' is rendered only"
    assert (said in capsys.readouterr().out) is not trains


@pytest.fixture
def repository(real_files, tmp_path) -> Path:
    """A git repository with this one's own ignore files, whose one stage takes a while."""
    shutil.copytree(real_files, tmp_path, dirs_exist_ok=True)
    times = tmp_path / ".work/times"
    times.mkdir(parents=True)
    (tmp_path / "stage.py").write_text(
        "import json, os, time, yaml; began = time.time(); time.sleep(3); "
        "x = yaml.safe_load(open('params.yaml'))['x']; "
        "open(f'{WHERE}/{x}', 'w').write(f'{began} {time.time()}'); "
        "open(f'{WHERE}/{x}.gpus', 'w').write(os.environ['CUDA_VISIBLE_DEVICES']); "
        "json.dump({'distance': 10 * x}, open('metrics/evaluation.json', 'w'))".replace("{WHERE}", str(times))
    )
    (tmp_path / "dvc.yaml").write_text(
        "stages: {evaluate: {cmd: python stage.py, params: [x], "
        "metrics: [metrics/evaluation.json: {cache: false}]}}"
    )
    (tmp_path / "params.yaml").write_text("x: 1\n")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/evaluation.json").write_text('{"distance": 10}\n')
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in ([*git, "add", "-A"], [*git, "commit", "-qm", "a"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def test_experiments_run_beside_each_other_and_leave_the_workspace(repository):
    experiments = {"two": ["x=2"], "three": ["x=3"]}
    gpus = [gpu_shares.environment(share) for share in gpu_shares.shares(["4", "6"], 2)]

    def run(name: str, environment: dict[str, str]) -> str:
        return dvc_stages.run_experiment(name, experiments[name], repository, environment, print).what

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, experiments, gpus)) == ["ran", "ran"]
    assert [(repository / f".work/times/{x}.gpus").read_text() for x in "23"] == ["4", "6"]
    first, second = (
        [float(time) for time in (repository / ".work/times" / x).read_text().split()] for x in ("2", "3")
    )
    assert max(first[0], second[0]) < min(first[1], second[1])  # The stages ran at the same time.
    assert (repository / "params.yaml").read_text() == "x: 1\n"
    table = experiments_table(repository, {**experiments, "lost": ["x=4"]})
    assert (
        "| two | x=2 | 20 |" in table
        and "| three | x=3 | 30 |" in table
        and "| lost | x=4 | failed |" in table
    )

    dvc_stages.run_experiment("two", ["x=5"], repository, gpus[0], print)  # Again, with another change.
    assert "| two | x=5 | 50 |" in experiments_table(repository, {"two": ["x=5"]})
    with pytest.raises(dvc_stages.StageFailed, match="experiment 'bad'"):
        dvc_stages.run_experiment("bad", ["no such"], repository, {}, print)


@pytest.mark.parametrize(
    "gpus, jobs, shares",
    [
        ([], 2, [[], []]),
        (["0"], 2, [["0"], ["0"]]),
        (["0", "1"], 3, [["0"], ["1"], ["0"]]),
        (["0", "1", "2"], 2, [["0"], ["1", "2"]]),
        (list("01234567"), 2, [list("0123"), list("4567")]),
    ],
)
def test_jobs_share_the_gpus(gpus, jobs, shares):
    assert gpu_shares.shares(gpus, jobs) == shares


def test_gpus_are_those_that_a_stage_would_see(monkeypatch, tmp_path):
    monkeypatch.chdir(CODE)
    monkeypatch.setenv("SOFGAN_DEVICE", "auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-b")
    assert gpu_shares.seen() == ["3", "GPU-b"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_shares.seen() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_shares.seen() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: GPU-2)'\n"
    )
    tool.chmod(0o755)
    assert gpu_shares.seen() == ["0", "1"]
    for device in ("cpu", "cuda:1"):  # Chosen by who runs it.
        monkeypatch.setenv("SOFGAN_DEVICE", device)
        assert gpu_shares.seen() == []


def test_an_experiment_gets_the_gpus_of_one_that_is_done(monkeypatch):
    from pipelines import flows

    class Future:
        def __init__(self, name):
            self.name = name

        def result(self, raise_on_failure):
            order.append(f"done {self.name}")
            return dvc_stages.Outcome(self.name, "ran", 0.0)

    class Task:
        def with_options(self, name):
            return self

        def submit(self, name, changes, root, gpus):
            begun.append((name, gpus))
            order.append(name)
            return Future(name)

    begun, order = [], []
    monkeypatch.setattr(flows, "experiment_task", Task())
    monkeypatch.setattr(flows, "as_completed", reversed)  # The youngest is done first.
    monkeypatch.setattr(flows, "experiments_table", lambda *_: "")
    monkeypatch.setattr(flows, "create_markdown_artifact", lambda *_, **__: None)
    monkeypatch.setattr(gpu_shares, "seen", lambda: list("0123"))
    outcomes = flows.ablate.fn({name: [] for name in "abcd"}, jobs=2)
    assert begun == [("a", ["0", "1"]), ("b", ["2", "3"]), ("c", ["2", "3"]), ("d", ["2", "3"])]
    assert sorted(outcome.stage for outcome in outcomes) == list("abcd")
    begun.clear()
    flows.ablate.fn({name: [] for name in "abc"}, jobs=1)
    assert [gpus for _, gpus in begun] == [list("0123")] * 3
    assert flows.ablate.fn({}, jobs=2) == []

    compared = []

    def summarize(root, changes, names):
        compared.append((changes, names))
        return compare("default", {name: {"fd_lite0": 1.0} for name in names})

    monkeypatch.setattr(flows.ablations, "summarize", summarize)
    begun.clear()
    flows.ablate.fn({"a": ["x=1"], "b": ["x=2"]}, jobs=1, seeds=2)
    trials = ["default-0", "a-0", "b-0", "default-1", "a-1", "b-1"]
    assert [name for name, _ in begun] == trials
    assert compared == [
        ({"a": ["x=1"], "b": ["x=2"]}, trials)
    ]  # The page tells what each experiment changes.
    order.clear()
    flows.ablate.fn({"a": ["x=1"], "b": ["x=2"]}, jobs=2, seeds=1)
    # What all share is made once, by the first alone.
    assert order[:4] == ["default-0", "done default-0", "a-0", "b-0"]


def test_summary_shows_metrics_and_places(tmp_path):
    (tmp_path / "metrics/all").mkdir(parents=True)
    (tmp_path / "metrics/all/render_views.json").write_text(
        '{"views": 2000, "scans": 96.0, "share": 0.123456}'
    )
    (tmp_path / "metrics/all/evaluation.json").write_text('{"fd_lite0": 312.6, "fd_lite0_floor": 300}')
    text = summary(tmp_path, [dvc_stages.Outcome("render@a", "cached", 0.5)], "run-1", "sqlite:///x")
    assert "| render@a | cached | 0.5 |" in text
    assert "| render_views | Label views | 2,000 | 96 scans | rendered around the scans |" in text
    assert (
        "| evaluate | Portraits, fd_lite0 | 313 | not given | painted from maps kept from training, against"
        in text
    )
    assert "; floor 300: as many real photos, kept from training" in text
    assert "share" not in text and "not run yet" not in text  # Few figures, of what is there.
    assert "no report yet" in text and "no new run" in text
    text = summary(tmp_path, [], "run-1", "sqlite:///x", metrics=["evaluate"])
    assert "fd_lite0" in text and "Label views" not in text


def test_a_batch_is_told_of_by_figures_and_odd_scans(tmp_path):
    for folder, figures in (("scans", '{"scans_rejected": 1.0}'), ("views", '{"views": 40.0}')):
        (tmp_path / f"data/{folder}/may").mkdir(parents=True)
        (tmp_path / f"data/{folder}/may/figures.json").write_text(figures)
    text = batch_tables(tmp_path, "may")
    assert text.startswith("## Batch may") and "look odd" not in text
    assert "| ingest_scans | scans_rejected | 1 |" in text and "| render_views | views | 40 |" in text
    (tmp_path / "data/oddities").mkdir(parents=True)
    rows = "scan,plausible,p_value,score,why\nb,False,0.01,4.0,part.neck 0 not in 1..inf\na,True,0.5,0.0,\n"
    (tmp_path / "data/oddities/may.csv").write_text(rows)
    text = batch_tables(tmp_path, "may")
    assert text.startswith("## 1 of 2 scans of may look odd") and "| b | 0.01 | part.neck" in text
    assert "## Batch may" in text
    assert "views" not in batch_tables(tmp_path, "june")  # Nothing of it was made.
    assert "| a |" not in text


def test_how_stages_run_is_a_parameter_of_the_flow(monkeypatch):
    from pipelines import flows
    from stages import params

    monkeypatch.chdir(CODE)
    for name in ("SOFGAN_CLUSTER", "SOFGAN_TRAIN_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    assert (params.cluster(), params.train_processes()) == ("", 1)
    assert flows.execution("rebuild", None, None).keys() == {"SOFGAN_RUN", "SOFGAN_RUN_PID"}
    for name, value in flows.execution("rebuild", "tcp://host:8786", 8).items():
        monkeypatch.setenv(name, value)
    assert (params.cluster(), params.train_processes()) == ("tcp://host:8786", 8)
