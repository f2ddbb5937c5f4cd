"""The recipe of a stage of the batches changes with its code and parameters, and with nothing else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages import params, recipe

ROOT = Path(__file__).parents[2]
STAGES = ("ingest_scans", "render_views")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A stage of two files, a folder and a block."""
    document = {
        "stages": {"paint_recipe": {"deps": ["stages/recipe.py", "a.py", "lib"], "params": ["seed", "paint"]}}
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "params.yaml").write_text("seed: 3\npaint: {size: 2}\nother: {}\n")
    (tmp_path / "a.py").write_text("a")
    (tmp_path / "lib/__pycache__").mkdir(parents=True)
    (tmp_path / "lib/b.py").write_text("b")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["recipe", "paint"])
    return tmp_path


def test_a_recipe_holds_files_and_parameters(project):
    recipe.main()
    path = project / "data/recipes/paint.json"
    first = path.read_bytes()
    found = json.loads(first)
    assert found["params"] == {"seed": 3, "paint": {"size": 2}}
    assert list(found["files"]) == ["a.py", "lib/b.py"]
    digests = {found["digest"]}

    (project / "lib/__pycache__/b.pyc").write_text("compiled")
    (project / "params.yaml").write_text("# said anew\nother: {x: 1}\nseed: 3\npaint: {size: 2}\n")
    recipe.main()
    assert path.read_bytes() == first
    for file, text in (("lib/b.py", "c"), ("params.yaml", "seed: 3\npaint: {size: 4}\n")):
        before = path.read_bytes()
        (project / file).write_text(text)
        recipe.main()
        assert path.read_bytes() != before
        digests.add(json.loads(path.read_text())["digest"])
    assert len(digests) == 3


@pytest.mark.parametrize("stage", STAGES)
def test_stages_of_batches_depend_on_their_recipe_and_it_on_them(stage):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert stages[stage]["params"] == [{f"data/recipes/{stage}.json": ["digest"]}]
    assert stages[f"{stage}_recipe"]["outs"] == [f"data/recipes/{stage}.json"]
    assert f"stages/{stage}.py" in stages[f"{stage}_recipe"]["deps"]
    assert stage in stages[f"{stage}_recipe"]["params"] and stage in params.BLOCKS


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def batch(tmp_path, real_files, monkeypatch) -> Path:
    """A project of one batch, brought up to date, with stages that do nothing and recipes of one code file each."""
    shutil.copytree(real_files, tmp_path, dirs_exist_ok=True)
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]
    document = {"stages": {stage: stages[stage] for stage in STAGES}}
    for stage, folder in zip(STAGES, ("data/scans", "data/views")):
        made = f"{folder}/${{item.batch}}"
        document["stages"][stage]["cmd"] = f"mkdir -p {made} && date +%N > {made}/a.npz"
        recipe_stage = stages[f"{stage}_recipe"] | {"deps": [f"{stage}.py"], "params": ["seed"]}
        document["stages"][f"{stage}_recipe"] = recipe_stage
        (tmp_path / f"{stage}.py").write_text("1")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(document, width=1000))
    (tmp_path / "params.yaml").write_text("batches: [x]\nseed: 0\n")
    (tmp_path / "data/raw/scans/x").mkdir(parents=True)
    (tmp_path / "data/raw/scans/x/a.obj").write_text("{}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    dvc(tmp_path, "repro", "-q")
    return tmp_path


def test_what_is_in_the_lock_for_a_batch_is_short(batch):
    """Whatever the code, a batch's stages are some twenty lines each: dvc reads and writes all of them at each."""
    lock = yaml.safe_load((batch / "dvc.lock").read_text())["stages"]
    lines = yaml.safe_dump({name: lock[name] for name in ("ingest_scans@x", "render_views@x")}).splitlines()
    assert len(lines) < 42


def test_a_changed_recipe_remakes_the_batches_at_once(batch):
    """Though the digest is a parameter, whose file dvc reads before, the stage that writes it comes first."""
    scans, views = (batch / f"data/{kind}/x/a.npz" for kind in ("scans", "views"))
    before = scans.read_bytes(), views.read_bytes()
    (batch / "render_views.py").write_text("2")
    dvc(batch, "repro", "-q", "render_views@x")
    assert scans.read_bytes() == before[0] and views.read_bytes() != before[1]
    assert "up to date" in dvc(batch, "status")

    (batch / "data/recipes/render_views.json").unlink()  # Of a clone that has not pulled everything.
    before = views.read_bytes()
    dvc(batch, "repro", "-q", "render_views@x")
    assert views.read_bytes() == before and "up to date" in dvc(batch, "status")
