"""A rehearsal: few of everything, valid in every profile, and told of as it will be with all of it."""

import json
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from pipelines import profiles, rehearsal, rehearsal_forks, rehearsal_params
from pipelines.dvc_stages import planned
from pipelines.rehearsal import Counts, Done, Planned, Result
from stages import params
from stages.params_checks import faults_of_blocks

ROOT = Path(__file__).parents[2]
ALL = ["demo", *sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))]


@pytest.fixture
def in_project(monkeypatch):
    """The working folder is the project; the demo is the params.yaml here."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(profiles, "demo_text", (ROOT / "params.yaml").read_text)


def counts(**needs: dict) -> Counts:
    """What was counted of stages by name."""
    future = Future()
    future.set_result([needs])
    return Counts(future, 0)


@pytest.mark.parametrize("name", ALL)
def test_few_of_everything_is_valid_in_every_profile(in_project, tmp_path, name):
    document = rehearsal.document_of(name)
    few = rehearsal_params.fewer(document)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(few))
    assert list(faults_of_blocks(tmp_path / "params.yaml")) == []
    # Networks, sizes of pictures and switches are the profile's own.
    for block, key in (("train_siw", "generator"), ("train_siw", "discriminator"), ("train_sof", "field")):
        assert few[block][key] == document[block][key]
    assert few["parse_faces"]["label_size"] == document["parse_faces"]["label_size"]
    siw = params.block_of(few["train_siw"], "train_siw", tmp_path / "params.yaml")
    assert round(1000 * siw.kimg) == 2 * siw.batch and few["train_sof"]["steps"] == 2


def test_every_few_is_a_key_of_some_profile(in_project):
    """A key that was renamed is no longer few: the rehearsal would take hours."""
    known = set()

    def walk(value, name):
        known.update((name, name.rpartition(".")[2]))
        if isinstance(value, dict):
            for key, below in value.items():
                walk(below, f"{name}.{key}" if name else key)

    for name in ALL:
        walk(rehearsal.document_of(name), "")
    assert set(rehearsal_params.FEW) <= known


def test_paper_512_is_paper_but_for_its_size(in_project):
    paper, smaller = rehearsal.document_of("paper"), rehearsal.document_of("paper-512")
    changed = profiles.leaves(profiles.differences(paper, smaller))
    assert set(changed) == {
        "profile", "train_siw.kimg", "train_siw.accumulate", "train_siw.generator.resolution",
    }  # fmt: skip
    assert smaller["train_siw"]["generator"]["resolution"] == 512


def test_lengths_stand_for_what_there_will_be(in_project):
    document = rehearsal.document_of("paper")
    few, sets = rehearsal_params.fewer(document), {"ffhq": 70_000, "celebamask": 30_000, "scans": 122}
    stage = Planned("evaluate", "", (), ("seed", "evaluate"), ())
    lengths = rehearsal_params.lengths_of(stage, document, few, sets)
    assert lengths[7] == (50_000, "evaluate.images") and lengths[5] == (10_000, "evaluate.sof_images")
    assert lengths[14] == (0.9 * 70_000, "photos of ffhq") and lengths[18][0] == 70_000
    assert lengths[21] == (0.9 * 30_000, "photos of celebamask") and lengths[23][0] == 30_000
    assert lengths[11] == (122 + 30_000, "heads of the field")
    assert len({*rehearsal_params.GROWING.values()}) == len(rehearsal_params.GROWING)


@pytest.mark.parametrize("name", ALL)
def test_no_two_lengths_are_alike_in_any_profile(in_project, name):
    """Of two batches and few maps there were as many heads as photos: as 26,000 they needed 43 GB."""
    document = rehearsal.document_of(name)
    few, sets = rehearsal_params.fewer(document), rehearsal_params.set_sizes(document, ROOT)
    assert few["train_siw"]["photo_proportions"] == {}  # No photo that stands in lies in these folders.
    block = Planned("evaluate", "", (), ("evaluate", "sample_conditions"), ())
    lengths = rehearsal_params.lengths_of(block, document, few, sets)
    maps = few["invert_masks"]["maps"] + few["invert_masks"]["parsed_maps"]
    heads = rehearsal_params.SCANS * len(few["batches"]) + maps
    assert lengths[heads][1] == "heads of the field"
    for photos, (train, held_out) in rehearsal_params.PHOTOS.items():
        assert lengths[train][1] == lengths[train + held_out][1] == f"photos of {photos}"
    of_blocks = {"evaluate.images", "evaluate.sof_images", "sample_conditions.evaluation_maps"}
    assert of_blocks <= {what for _, what in lengths.values()}


def test_what_several_rehearsals_wait_for_takes_the_place_of_no_other_work():
    done, going, ended = Done(at_once=2), threading.Event(), []
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(done.get, "slow", going.wait) for _ in range(3)]
        other = pool.submit(done.get, "other", lambda: ended.append(1))
        try:
            assert other.result(30)[1] and ended == [1]
        finally:
            going.set()
        assert sorted(one.result(30) for one in waiting) == [(True, False), (True, False), (True, True)]


def test_photos_and_scans_are_made_once_for_rehearsals_that_want_the_same(in_project, tmp_path, monkeypatch):
    made = []

    def python(arguments, folder):
        order = json.loads(Path(arguments[1]).read_text())
        made.append(order)
        for path in [f"data/raw/scans/{name}" for name in order["scans"]] + [
            one["folder"] for one in order["photos"]
        ]:
            (folder / path / "below").mkdir(parents=True)
            (folder / path / "below/file").write_text(str(len(made)))
        return 0, ""

    monkeypatch.setattr(rehearsal, "run_python", python)
    done, folders = Done(), []
    for name in ("paper", "paper-512", "real-mini"):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        rehearsal._make_raw(rehearsal_params.fewer(rehearsal.document_of(name)), [], folders[-1], [], done)
    assert len(made) == 2 and made[1]["scans"] != made[0]["scans"]
    for source, number in (("ffhq", "1"), ("CelebAMask-HQ", "1")):
        for folder in folders[:2]:
            assert (folder / f"data/raw/{source}/below/file").read_text() == number
    assert (folders[2] / "data/raw/scans/heads/below/file").read_text() == "2"


PROJECT = {
    "check": {"cmd": "python -m stages.code", "deps": ["params.yaml"], "outs": ["data/check"]},
    "one": {
        "cmd": "python -m stages.make_portraits", "deps": ["data/check"], "params": ["make_portraits"],
        "outs": ["data/one"],
    },
    "train_sof": {
        "cmd": "python -m stages.train_sof", "deps": ["data/one"], "params": ["train_sof"], "outs": ["models/x"],
    },
    "last": {"cmd": "python -m stages.report", "deps": ["models/x"], "outs": ["report"]},
}  # fmt: skip


@pytest.fixture
def project(in_project, tmp_path, monkeypatch):
    """A graph of four stages whose processes do what a test says: by module, status, output and what is told."""
    document = rehearsal.document_of("demo")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": PROJECT}, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rehearsal, "_make_raw", lambda *_: None)
    ran, does = [], {}

    def python(arguments, folder):
        module, order = arguments[2], Path(arguments[1])
        ran.append(module)
        status, text, told = does.get(module, (0, "", {}))
        plain = {"faults": [], "instead": [], "growing": 0.0, "tables": [], "resident": 1e9}
        order.with_suffix(".told").write_text(json.dumps(plain | told))
        stage = next(stage for stage in PROJECT.values() if stage["cmd"].endswith(module))
        for out in stage["outs"] if status == 0 else ():
            (folder / out).parent.mkdir(parents=True, exist_ok=True)
            (folder / out).write_text("made")
        return status, text

    monkeypatch.setattr(rehearsal, "run_python", python)
    done = Done()

    def rehearse(name="demo", needs=None, changes=None):
        said = []
        known = counts(
            **(needs or {"train_sof": {"device": 1e9, "operations": 1.0, "step": 1.0, "of": "a step"}})
        )
        changed = profiles.merge(yaml.safe_load(yaml.safe_dump(document)), changes or {})
        results = rehearsal.rehearse(name, changed, tmp_path / "work" / name, done, known, said.append)
        return {result.stage: result for result in results}, "\n".join(said)

    return SimpleNamespace(rehearse=rehearse, ran=ran, does=does)


def test_stages_run_in_the_graphs_order_and_are_told_of(project):
    results, said = project.rehearse()
    assert list(results) == ["check", "one", "train_sof", "last"]
    assert project.ran == [
        "stages.code", "stages.make_portraits", "stages.train_sof", "stages.report",
    ]  # fmt: skip
    assert not any(result.faults for result in results.values())
    assert results["train_sof"].device == 1e9 + rehearsal.DEVICE_RESERVE
    assert "train_sof" in said and "ok" in said and "1.0 GB host, 3.0 GB GPU" in said


def test_a_stage_that_stops_is_told_with_its_sentence_and_what_needs_it_is_not_run(project):
    project.does["stages.make_portraits"] = (1, "one: error: no eyes\nand more\n", {})
    results, said = project.rehearse()
    assert results["one"].faults == ["one: error: no eyes"]
    assert results["train_sof"].faults == ["not run: nothing made data/one"] and results["last"].faults
    assert project.ran == ["stages.code", "stages.make_portraits"]
    assert "would fail" in said and "one: error: no eyes" in said


def test_memory_above_the_limits_is_a_fault_that_names_the_table(project):
    told = {"growing": 84e9, "tables": [[84e9, "20,000 train_siw.sof_maps at x.py:3"]]}
    project.does["stages.train_sof"] = (0, "", told)
    needs = {"train_sof": {"device": 23e9, "operations": 1.0, "step": 1.0, "of": "a step of 8 heads"}}
    results, _ = project.rehearse(needs=needs)
    host, device = results["train_sof"].faults
    assert "85 GB of memory in a process, above 64" in host and "20,000 train_siw.sof_maps at x.py:3" in host
    assert device == "25 GB of a GPU, above 24: a step of 8 heads"


def test_faults_that_a_stage_or_the_counting_found_are_told(project):
    project.does["stages.train_sof"] = (0, "", {"faults": ["looks from 4.0"]})
    results, _ = project.rehearse(needs={"train_sof": {"fault": "ValueError: no"}})
    assert results["train_sof"].faults == ["looks from 4.0", "at its own sizes: ValueError: no"]


def test_the_very_same_is_run_once_and_what_differs_again(project):
    project.rehearse("demo")
    del project.ran[:]
    results, said = project.rehearse("other", changes={"train_sof": {"learning_rate": 0.5}})
    assert project.ran == [
        "stages.code",
        "stages.train_sof",
        "stages.report",
    ]  # The first checks all parameters.
    assert results["one"].twin == "demo" and "as in demo" in said


def test_one_thread_at_a_time_asks_for_the_graph(project, monkeypatch):
    """DVC fails where two do: "dvc.yaml validation failed"."""
    asking, plan = threading.Semaphore(1), rehearsal.planned

    def planned(folder, targets):
        assert asking.acquire(blocking=False)
        time.sleep(0.05)
        asking.release()
        return plan(folder, targets)

    monkeypatch.setattr(rehearsal, "planned", planned)
    with ThreadPoolExecutor(2) as pool:
        walks = [pool.submit(project.rehearse, name) for name in ("demo", "other")]
        assert all(len(walk.result()[0]) == 4 for walk in walks)


def test_outs_that_are_not_made_are_a_fault(project, monkeypatch):
    monkeypatch.setitem(PROJECT["last"], "outs", ["elsewhere"])
    results, _ = project.rehearse()
    assert results["last"].faults == ["it ended well, but did not make report"]


def own_graph(document: dict, folder: Path) -> list[Planned]:
    """The project's graph by a params.yaml."""
    (folder / ".dvc").mkdir(exist_ok=True)
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    (folder / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    return planned(folder, [])


def test_the_own_graph_is_planned_with_commands_and_paths(in_project, tmp_path):
    few = rehearsal_params.fewer(rehearsal.document_of("real-mini"))
    graph = {stage.name: stage for stage in own_graph(few, tmp_path)}
    assert graph["ingest_scans@heads"].command == "python -m stages.ingest_scans --batch heads"
    assert "data/raw/real/ffhq" in graph["import_photos"].needs
    assert graph["train_siw"].params == ("seed", "train_siw") and "models/siw.pt" in graph["train_siw"].makes
    order = list(graph)
    assert order.index("train_sof") < order.index("invert_masks") < order.index("train_siw")


@pytest.mark.parametrize(
    "key, of",
    [
        ("render_views.views_per_scan", "render_views"),
        ("ingest_scans.palette_tolerance", "ingest_scans"),
        ("report.title", "code"),
    ],
)
def test_what_lists_of_code_tell_stages_is_theirs_too(in_project, tmp_path, key, of):
    """dvc.yaml names no block for these: their parameters come by data/code."""
    document = rehearsal.document_of("demo")
    other = json.loads(json.dumps(document))
    block, _, name = key.partition(".")
    other[block][name] = other[block][name] * 2
    graph = own_graph(document, tmp_path)
    stage = next(stage for stage in graph if stage.name.partition("@")[0] == of)
    foreign = next(stage for stage in graph if stage.name == "train_shape_parser")

    def key_of(stage: Planned, few: dict, real: dict) -> str:
        return rehearsal._key(stage, few, real, {}, False)

    few = rehearsal_params.fewer(document)
    assert key_of(stage, few, document) == key_of(stage, few, document)
    assert key_of(stage, few, other) != key_of(stage, few, document)  # Its tables will grow otherwise.
    assert key_of(stage, other, document) != key_of(stage, document, document)
    assert key_of(foreign, other, other) == key_of(foreign, document, document)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each stage is a process from the start")
def test_forked_scripts_run_as_processes_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "says.py").write_text(
        "import os, sys, time\nprint(sys.argv[1], os.getcwd(), __name__)\nsys.exit(int(sys.argv[1]))\n"
    )
    (tmp_path / "fails.py").write_text("import math\nraise ValueError('no')\n")
    (tmp_path / "sleeps.py").write_text("import time\ntime.sleep(60)\n")
    forks = rehearsal_forks.Forks(tmp_path, ["json"])
    try:
        with ThreadPoolExecutor(3) as pool:
            several = pool.map(lambda status: forks.run(["says", str(status)], tmp_path), range(3))
            assert list(several) == [(n, f"{n} {tmp_path} __main__\n") for n in range(3)]
        status, text = forks.run(["fails"], tmp_path)
        assert status == 1 and rehearsal._last(text) == "ValueError: no"
        monkeypatch.setattr(rehearsal_forks, "STAGE_SECONDS", 0.2)
        assert forks.run(["sleeps"], tmp_path) == (1, rehearsal_forks.TOO_LONG)
    finally:
        forks.close()


def test_the_command_ends_with_1_where_a_stage_would_fail(in_project, monkeypatch, capsys):
    monkeypatch.setattr(rehearsal, "count_needs", lambda files: [{} for _ in files])
    faults = {"demo": [], "paper": ["too much"]}

    def rehearse(name, *_):
        return [Result("x", faults=faults[name])]

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    assert rehearsal.run(["demo"]) == 0 and rehearsal.run(["demo", "paper"]) == 1
    assert "1 stage would fail" in capsys.readouterr().out
    with pytest.raises(profiles.ProfileError, match="did you mean 'paper'"):
        rehearsal.run(["papre"])
