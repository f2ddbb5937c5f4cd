"""DVC records parameters, inputs and lists of code as they are when a stage ends: what changed while it ran must not
count as what it was made with. All on this project's own graph; its stages are stand-ins."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sofgan.errors import InputError
from stages.execution import recorded, sessions


@pytest.fixture
def project(up_to_date, tmp_path) -> Path:
    """This project's graph, brought up to date."""
    return Path(shutil.copytree(up_to_date, tmp_path / "project", symlinks=True))


def repro(project: Path, *names: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "dvc", "repro", *names]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def meanwhile(project: Path, code: str) -> None:
    """Have the next stage that runs, whichever it is, do that as well."""
    (project / "meanwhile.py").write_text(f"from pathlib import Path\n{code}\n")


def locked(project: Path, stage: str) -> dict:
    return yaml.safe_load((project / "dvc.lock").read_text())["stages"][stage]


def kimg(project: Path) -> float:
    return locked(project, "train_siw")["params"]["params.yaml"]["train_siw"]["kimg"]


def test_parameters_that_change_while_a_stage_runs_are_not_recorded_as_its_own(project):
    before = kimg(project)
    change(project / "params.yaml", f"\n  kimg: {before:g}", "\n  kimg: 77")
    edit = "path = Path('params.yaml'); path.write_text(path.read_text().replace('kimg: 77', 'kimg: 78', 1))"
    meanwhile(project, edit)
    stopped = repro(project, "train_siw")
    assert stopped.returncode, stopped.stdout
    said = "train_siw: error: params.yaml: train_siw.kimg (77, now 78) changed while this ran"
    assert said in stopped.stderr
    assert kimg(project) == before

    done = repro(project, "train_siw")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"Running stage '(\w+)'", done.stdout) == ["code", "train_siw"] and kimg(project) == 78
    painter = (project / "models/siw.pt").read_text()
    # By what params.yaml had at first it is another one.
    change(project / "params.yaml", "kimg: 78", "kimg: 77")
    assert repro(project, "train_siw").returncode == 0 and (project / "models/siw.pt").read_text() != painter


def test_what_a_stage_does_not_depend_on_may_change(project):
    change(project / "params.yaml", "\n  kimg: ", "\n  kimg: 1")
    edit = (
        "path = Path('params.yaml'); path.write_text(path.read_text().replace('workers: 0', 'workers: 1', 1)"
        ".replace('max_image_width_px: ', 'max_image_width_px: 1', 1))"
    )
    meanwhile(project, edit)
    done = repro(project, "train_siw")
    assert done.returncode == 0, done.stderr
    assert "workers: 1" in (project / "params.yaml").read_text()


def test_a_scan_that_comes_while_its_batch_is_ingested_is_not_lost(project):
    """A batch of one's own, copied into its folder while dvc is at work."""
    batch = project / "data/raw/scans/mine"
    batch.mkdir()
    (batch / "a.npz").write_text("a")
    document = yaml.safe_load((project / "params.yaml").read_text())
    change(project / "params.yaml", f"batches: [{', '.join(document['batches'])}]", "batches: [mine]")
    meanwhile(project, "Path('data/raw/scans/mine/b.npz').write_text('b')")
    stopped = repro(project, "ingest_scans@mine")
    said = "ingest_scans@mine: error: data/raw/scans/mine/b.npz changed while this ran"
    assert stopped.returncode and said in stopped.stderr
    assert repro(project, "ingest_scans@mine").returncode == 0
    assert {path.name for path in (project / "data/scans/mine").iterdir()} == {"a.npz", "b.npz"}


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("stages/render_views.py", "import main", "import main as main"),
        ("params.yaml", "views_per_scan: ", "views_per_scan: 1"),
    ],
)
def test_edits_between_the_list_of_code_and_a_stage_are_not_recorded_as_what_was_listed(
    project, file, old, new
):
    """A stage of a batch is recorded by its list's digest alone, which has its parameters too."""
    assert old in (project / file).read_text()
    document = yaml.safe_load((project / "params.yaml").read_text())
    change(project / "stages/ingest_scans.py", "enter(main)", "ONE = 1\nenter(main)")
    meanwhile(project, f"p = Path('{file}'); p.write_text(p.read_text().replace('{old}', '{new}', 1))")
    before = locked(project, f"render_views@{document['batches'][0]}")
    stopped = repro(project, f"render_views@{document['batches'][0]}")
    assert stopped.returncode and f"error: {file} changed after dvc had listed" in stopped.stderr, stopped
    assert locked(project, f"render_views@{document['batches'][0]}") == before
    assert repro(project, f"render_views@{document['batches'][0]}").returncode == 0
    assert locked(project, f"render_views@{document['batches'][0]}") != before


def test_states_stay_where_a_result_is_not_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(
        "stages: {train: {cmd: x, params: [train.steps], deps: [in.txt, new.txt]}}"
    )
    (tmp_path / "params.yaml").write_text("train: {steps: 3, other: 1}")
    (tmp_path / "in.txt").write_text("in")
    monkeypatch.setenv("DVC_STAGE", "train")
    state = sessions.paths.WORK / "train/state.pt"
    state.parent.mkdir(parents=True)
    state.write_text("")
    recorded.begin()
    (tmp_path / "params.yaml").write_text("train: {steps: 4, other: 1}")
    (tmp_path / "in.txt").write_text("out")
    (tmp_path / "new.txt").write_text("")
    with pytest.raises(InputError, match=r"train.steps \(3, now 4\), in.txt, new.txt changed while"):
        sessions.forget("train")
    assert state.exists()
    (tmp_path / "params.yaml").write_text("train: {steps: 3, other: 2}")
    with pytest.raises(InputError, match=r"^in.txt, new.txt changed while"):
        recorded.check()
    monkeypatch.setenv("DVC_STAGE", "../dvc.yaml:train")  # dvc's name for it, called from another folder
    recorded.begin()
    (tmp_path / "params.yaml").write_text("train: {steps: ")
    with pytest.raises(InputError, match="no YAML now"):
        recorded.check()
    (tmp_path / "params.yaml").write_text("train: {steps: 5, other: 2}")
    with pytest.raises(InputError, match=r"steps \(3, now 5\)"):
        recorded.check()
    (tmp_path / "params.yaml").write_text("train: {steps: 3, other: 2}")
    (tmp_path / "in.txt").write_text("out")  # as git does that stashes and takes back
    sessions.forget("train")
    assert not state.exists()

    # By hand, without dvc, nothing is recorded.
    monkeypatch.delenv("DVC_STAGE")
    recorded.begin()
    (tmp_path / "in.txt").write_text("whatever")
    recorded.check()
