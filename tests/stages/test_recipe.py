"""The recipe of a stage of the batches changes with its code and parameters, and with nothing else."""

import json
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

    (project / "lib/__pycache__/b.pyc").write_text("compiled")
    (project / "params.yaml").write_text("# said anew\nother: {x: 1}\nseed: 3\npaint: {size: 2}\n")
    recipe.main()
    assert path.read_bytes() == first
    for file, text in (("lib/b.py", "c"), ("params.yaml", "seed: 3\npaint: {size: 4}\n")):
        before = path.read_bytes()
        (project / file).write_text(text)
        recipe.main()
        assert path.read_bytes() != before


@pytest.mark.parametrize("stage", STAGES)
def test_stages_of_batches_depend_on_their_recipe_and_it_on_them(stage):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert f"data/recipes/{stage}.json" in stages[stage]["deps"]
    assert stages[f"{stage}_recipe"]["outs"] == [f"data/recipes/{stage}.json"]
    assert f"stages/{stage}.py" in stages[f"{stage}_recipe"]["deps"]
    assert stage in stages[f"{stage}_recipe"]["params"] and stage in params.BLOCKS


def test_what_is_in_the_lock_for_a_batch_is_short(tmp_path):
    """Whatever the code, a batch's stages are some twenty lines each: dvc reads and writes all of them at each."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    document = {"stages": {stage: stages[stage] for stage in STAGES}}
    for stage in STAGES:
        made = f"metrics/{stage}/${{item.batch}}.json"
        folders = f"data/scans/${{item.batch}} data/views/${{item.batch}} metrics/{stage}"
        document["stages"][stage]["cmd"] = f"mkdir -p {folders} && echo {{}} > {made}"
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(document, width=1000))
    (tmp_path / "params.yaml").write_text("batches: [x]\n")
    for file in (
        "data/raw/scans/x/a.obj",
        "data/recipes/ingest_scans.json",
        "data/recipes/render_views.json",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("{}")
    for command in (["init", "-q", "--no-scm"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    assert len((tmp_path / "dvc.lock").read_text().splitlines()) < 50
