"""What DVC holds, in a project with this one's own ignore files, graph and parameters: it is shared, and kept.

A folder is the remote; small scripts stand in for the stages' code.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from pipelines import batches, demo

# By what add-batch, or `dvc add` as the docs have it, has DVC hold.
HELD = {
    "data/raw/scans/may/a.obj": "o a\n",
    "data/raw/scans/may/subject01/b.obj": "o b\n",
    "data/raw/photos/1.jpg": "a photo",
    "data/fields/before-may.pt": "a field",
    "data/weights/parser.pth": "weights",
    "models/mine.pt": "a model",
}


def run(folder: Path, *command: str) -> str:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    start = git if command[0] == "git" else [sys.executable, "-m", "dvc"]
    done = subprocess.run(
        [*start, *command[1:]], cwd=folder, env=demo.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(root: Path, command: str, **options) -> None:
    """A bare command of DVC's; in this process, as its import takes the most of each."""
    with Repo(str(root)) as repo:
        getattr(repo, command)(**options)


def held(root: Path) -> dict[str, str]:
    """What is there of all that DVC holds."""
    return {name: (root / name).read_text() for name in HELD if (root / name).is_file()}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory, real_files, stand_ins) -> Path:
    """A project to which scans and the like were added, whose stages ran, and which was pushed to a folder."""
    folder = tmp_path_factory.mktemp("remote")
    root = Path(shutil.copytree(real_files, folder / "laptop"))
    stand_ins(root)
    for name, text in {**HELD, "models/sof.pt": HELD["data/fields/before-may.pt"]}.items():
        path = folder / name.removeprefix("data/raw/scans/") if "scans" in name else root / name
        if "fields" not in name:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    batches.add(root, str(folder / "may"), warm_start=True)
    for name in ("data/raw/photos", "data/weights/parser.pth", "models/mine.pt"):
        dvc(root, "add", targets=str(root / name))
    run(root, "dvc", "remote", "add", "-q", "-d", "shared", str(folder / "shared"))
    run(root, "dvc", "repro", "-q")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "-qm", "may")
    dvc(root, "push")
    return root


@pytest.fixture
def laptop(pushed, tmp_path) -> Path:
    return Path(shutil.copytree(pushed, tmp_path / "laptop"))


def test_new_files_stay_out_of_git_and_what_holds_them_does_not(laptop):
    tracked = run(laptop, "git", "ls-files", "data", "models").split()
    assert sorted(name for name in tracked if not name.startswith("data/code/")) == [
        "data/README.md",
        "data/fields/before-may.pt.dvc",
        "data/raw/photos.dvc",
        "data/raw/scans/may.dvc",
        "data/weights/parser.pth.dvc",
        "models/mine.pt.dvc",
    ]
    for name in ("raw/scans/june/a.obj", "raw/more/1.jpg", "raw/one.zip", "fields/new.pt", "weights/x.pth"):
        (laptop / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (laptop / "data" / name).write_text("new")
    (laptop / "models/new.pt").write_text("new")
    assert run(laptop, "git", "status", "--short", "--untracked-files=all") == ""


def test_a_second_clone_pulls_everything_and_makes_nothing(laptop, tmp_path):
    run(tmp_path, "git", "clone", "-q", str(laptop), "worker")
    worker = tmp_path / "worker"
    assert held(worker) == {} and not (worker / "data/views/may").exists()
    dvc(worker, "pull")
    assert held(worker) == HELD
    made = [path for path in sorted((laptop / "data").rglob("*")) if path.is_file()]
    assert {"data/views/may/a.npz", "data/evaluation/made.npz"} <= {str(p.relative_to(laptop)) for p in made}
    for path in made:
        assert (worker / path.relative_to(laptop)).read_bytes() == path.read_bytes()
    assert "up to date" in run(worker, "dvc", "status")
    said = run(worker, "dvc", "repro")
    assert "Running stage" not in said and "didn't change, skipping" in said


def survives(root: Path) -> None:
    """Neither `dvc checkout` nor `dvc gc` takes what DVC holds, and it comes back out of DVC's cache."""
    dvc(root, "checkout")
    assert held(root) == HELD
    dvc(root, "gc", workspace=True)
    assert held(root) == HELD and (root / "data/README.md").is_file()
    for name in HELD:
        (root / name).unlink()
    dvc(root, "checkout")
    assert held(root) == HELD


def test_what_dvc_holds_outlives_checkout_gc_and_remove_batch(laptop, tmp_path, monkeypatch, capsys):
    survives(laptop)
    monkeypatch.chdir(laptop)
    assert batches.run_remove("may") == 0
    said = capsys.readouterr().out
    assert "still in data/raw/scans/may, held by data/raw/scans/may.dvc: `dvc push` takes them along" in said
    survives(laptop)
    run(laptop, "git", "commit", "-qam", "without may")
    run(laptop, "dvc", "remote", "modify", "shared", "url", str(tmp_path / "fresh"))
    dvc(laptop, "push")
    run(tmp_path, "git", "clone", "-q", str(laptop), "worker")
    run(tmp_path / "worker", "dvc", "remote", "modify", "shared", "url", str(tmp_path / "fresh"))
    dvc(tmp_path / "worker", "pull")
    assert held(tmp_path / "worker") == HELD
    run(laptop, "dvc", "remove", "--outs", "data/raw/scans/may.dvc")  # As remove-batch says.
    assert not (laptop / "data/raw/scans/may").exists() and (laptop / "data/raw/photos").is_dir()


def test_an_experiment_in_a_folder_of_its_own_has_the_scans(laptop):
    change = "ingest_scans.palette_tolerance=30"
    said = run(laptop, "dvc", "exp", "run", "--temp", "--name", "wider", "-S", change, "ingest_scans@may")
    assert "Running stage 'ingest_scans@may'" in said
    (ref,) = run(laptop, "git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/wider").split()
    locks = [yaml.safe_load(run(laptop, "git", "show", f"{commit}:dvc.lock")) for commit in ("HEAD", ref)]
    before, after = (lock["stages"]["ingest_scans@may"] for lock in locks)
    assert before["deps"] == after["deps"] and before["deps"][0]["nfiles"] == 2  # The same scans,
    assert before["outs"] != after["outs"] and after["outs"][0]["nfiles"] == 2  # read with another tolerance.
