"""The code that a stage runs: found through imports, and told apart by what it does, not by what is said beside it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.code_lists import PACKAGES, ROOT, VALUES, code_digests, code_files, scripts_of

STAGES = sorted(
    path.stem for path in (ROOT / "stages").glob("*.py") if "enter(main)" in path.read_text(encoding="utf-8")
)


@pytest.fixture
def project(tmp_path):
    """Files of a small repository, by path; written anew where a test changes one."""
    files = {
        "stages/__init__.py": "",
        "stages/paint.py": "from sofgan import seeds\nfrom stages.params import x\n\ndef main():\n"
        "    from sofgan.siw.train import train\n    train()\n",
        "stages/params.py": "import sofgan.other\n",
        "sofgan/__init__.py": 'LAZY = {"load": "sofgan.other"}\n\ndef __getattr__(name):\n    import sofgan.other\n',
        "sofgan/seeds.py": "SEED = 1\n",
        "sofgan/other.py": "",
        "sofgan/siw/__init__.py": "",
        "sofgan/siw/train.py": "import torch\nfrom .model import Model\n\ndef train():\n    return Model\n",
        "sofgan/siw/model.py": "import importlib\nimport sofgan.siw.layers\n\n\nclass Model:\n"
        '    """A model."""\n\n    kinds = {"a": "sofgan.siw.kinds:Kind"}\n',
        "sofgan/siw/layers.py": '"""Layers."""\n\nGAIN = 2\n\n\n'
        'def scaled(x):\n    """Scaled."""\n    return GAIN * x\n',
        "sofgan/siw/kinds.py": 'SHADERS = "shaders"\n\n\nclass Kind:\n    size: int\n    """Pixels."""\n',
        "sofgan/siw/unused.py": "",
        "sofgan/siw/shaders/faces.frag": "void main() {}",
        "sofgan/siw/shaders/more/faces.vert": "void main() {}",
        "sofgan/siw/other.txt": "",
    }

    def write(changes):
        for name, text in changes.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    write(files)
    return tmp_path, files, write


def test_files_are_found_through_imports_names_and_assets(project):
    root, files, write = project
    run = {
        "stages/__init__.py", "stages/paint.py", "sofgan/seeds.py", "sofgan/siw/__init__.py",
        "sofgan/siw/train.py", "sofgan/siw/model.py", "sofgan/siw/layers.py", "sofgan/siw/kinds.py",
        "sofgan/siw/shaders/faces.frag", "sofgan/siw/shaders/more/faces.vert",
    }  # fmt: skip
    assert {path.as_posix() for path in code_files("paint", root)} == run
    # What a package gives late is run by who takes it from there.
    write({"sofgan/siw/layers.py": "from sofgan import load\n"})
    assert {path.as_posix() for path in code_files("paint", root)} == run | {"sofgan/other.py"}
    with pytest.raises(FileNotFoundError):
        code_files("none", root)


def test_what_is_written_beside_the_code_changes_no_digest(project):
    root, files, write = project
    before = code_digests("paint", root)
    layers = files["sofgan/siw/layers.py"]
    for text in (
        layers.replace("Layers.", "Other words."),
        layers.replace('    """Scaled."""\n', ""),
        layers.replace("GAIN = 2\n", "# Why.\n\nGAIN = (\n    2  # two\n)\n"),
        layers + '"""At its end."""\n',
    ):
        write({"sofgan/siw/layers.py": text})
        assert code_digests("paint", root) == before
    write({"sofgan/siw/kinds.py": files["sofgan/siw/kinds.py"].replace("Pixels", "In pixels")})
    write({"sofgan/siw/unused.py": "X = 1\n", "sofgan/other.py": "X = 1\n", "sofgan/siw/other.txt": "x"})
    write({"stages/params.py": "import sofgan.siw\n"})
    assert code_digests("paint", root) == before


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("sofgan/siw/layers.py", "GAIN = 2", "GAIN = 3"),  # three imports below the script
        ("sofgan/siw/layers.py", "GAIN * x", "GAIN + x"),
        ("sofgan/siw/layers.py", "GAIN = 2", "GAIN = 2.0"),
        ("sofgan/siw/layers.py", "GAIN = 2", 'GAIN = "2"'),
        ("sofgan/siw/kinds.py", "size: int", "size: float"),
        ("sofgan/siw/shaders/more/faces.vert", "{}", "{ }"),
        ("sofgan/seeds.py", "1", "None"),
        ("stages/paint.py", "    train()", "    return train()"),
    ],
)
def test_what_the_code_does_changes_the_digest_of_its_file(project, name, old, new):
    root, files, write = project
    before = code_digests("paint", root)
    write({name: files[name].replace(old, new)})
    after = code_digests("paint", root)
    assert {path for path in before if before[path] != after[path]} == {name}
    write(files)
    assert code_digests("paint", root) == before


def test_stages_run_what_their_results_depend_on():
    assert "sofgan/seeds.py" in found_by("train_siw") & found_by("train_parser") & found_by("render_views")
    assert "sofgan/files.py" in found_by("make_avatars") & found_by("report")
    assert "sofgan/rendering/shaders/faces.frag" in found_by("make_portraits") - found_by("train_siw")
    assert "stages/reporting/page.html" in found_by("report")
    assert not found_by("train_siw") & {
        "stages/params.py",
        "stages/tracking/run.py",
        "sofgan/parsing/train.py",
    }
    assert [name for name in STAGES if "sofgan/sof/model.py" in found_by(name)] == [
        "evaluate", "invert_masks", "report", "sample_conditions", "train_sof",
    ]  # fmt: skip


def found_by(stage: str) -> set[str]:
    return {path.as_posix() for path in code_files(stage)}


def test_every_asset_is_some_stages():
    found = {name for stage in STAGES for name in found_by(stage)}
    run = {Path(name).parent.as_posix() for name in found if name.endswith(".py")}

    def package_of(path: Path) -> str:
        """Folder of modules that an asset belongs to; the viewer's are no stage's."""
        folder = next(parent for parent in path.parents if (parent / "__init__.py").is_file())
        return folder.relative_to(ROOT).as_posix()

    assets = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".py" and not path.name.startswith(".")
        if "__pycache__" not in path.parts  # where numba, too, keeps what it compiled
        if package_of(path) in run
    }
    assert assets == {name for name in found if not name.endswith(".py")}


def test_a_training_by_other_code_starts_anew_and_says_why(project, capsys):
    from sofgan.session import Checkpoints

    root, files, write = project

    def states():
        fingerprint = {"configuration": {"rate": 1.0}, "seed": 0, "code": code_digests("paint", root)}
        return Checkpoints(root / "states", json.loads(json.dumps(fingerprint)))

    states().save(7, {"x": 1})
    write({"sofgan/siw/layers.py": files["sofgan/siw/layers.py"].replace("Layers", "All layers")})
    assert states().latest()[0] == 7 and capsys.readouterr().err == ""
    write({"sofgan/siw/layers.py": files["sofgan/siw/layers.py"].replace("2", "3")})
    assert states().latest() is None
    said = f"{root}/states: a training stopped after step 7 is not gone on with: code.sofgan/siw/layers.py changed"
    assert capsys.readouterr().err == f"{said}; the work starts anew\n"
    states().save(1, {"x": 1})
    assert len(list((root / "states").iterdir())) == 2  # The old state and its fingerprint are gone.
    assert states().latest()[0] == 1 and capsys.readouterr().err == ""


GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize("stage", sorted(GRAPH.keys() - {"code"}))
def test_a_stage_depends_on_its_own_list_of_code_and_on_no_file_of_code(stage):
    own = f"data/code/{stage}.json"
    listed = [
        *GRAPH[stage]["deps"],
        *(block for block in GRAPH[stage].get("params", []) if isinstance(block, dict)),
    ]
    assert (own in listed) != ({own: ["digest"]} in listed)
    assert not [dep for dep in listed if isinstance(dep, str) and dep.startswith(("sofgan", "stages"))]
    assert not [dep for dep in listed if isinstance(dep, str) and dep.startswith("data/code/") and dep != own]
    # By the digest alone it must know of its parameters too.
    if {own: ["digest"]} in listed:
        assert VALUES[stage](yaml.safe_load((ROOT / "params.yaml").read_text())).keys() >= {stage}


@pytest.mark.parametrize("stage", sorted(GRAPH))
def test_a_stage_that_writes_figures_has_them_as_an_out(stage):
    script = ROOT / f"stages/{scripts_of(ROOT / 'dvc.yaml').get(stage, 'code')}.py"
    paths = {
        next(iter(out)) if isinstance(out, dict) else out
        for kind in ("outs", "metrics", "plots")
        for out in GRAPH[stage].get(kind, [])
    }
    figures = {path for path in paths if path.startswith("metrics/all/")}
    assert bool(figures) == ("run.final(" in script.read_text()), figures
    # What `dvc metrics` shows is a part of all figures, under the same file name.
    headlines = {path for path in paths - figures if path.startswith("metrics/")}
    assert {path.replace("metrics/", "metrics/all/", 1) for path in headlines} <= figures


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def change(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new, 1))


def test_dvc_runs_again_what_runs_the_code_that_changed(up_to_date):
    """The stand-ins run no code of sofgan; one reads a constant of it."""
    stand_in = up_to_date / "stages/render_views.py"
    stand_in.write_text("from sofgan import seeds\n" + stand_in.read_text())
    assert ran(up_to_date)[:2] == ["code", "render_views@avatars-000"]
    change(up_to_date, "sofgan/seeds.py", '"""', '"""Said otherwise. ')
    change(up_to_date, "sofgan/seeds.py", "\n\n\n", "\n\n\n# A comment.\n")
    assert ran(up_to_date) == ["code"]
    change(up_to_date, "sofgan/seeds.py", "\n\n\n", "\n\n\nA_NEW_CONSTANT = 1\n\n\n")
    again = ran(up_to_date)
    assert again[:2] == ["code", "render_views@avatars-000"] and "make_avatars@avatars-000" not in again
    assert "up to date" in dvc(up_to_date, "status")


def test_parameters_of_batches_are_in_their_digest(up_to_date):
    change(up_to_date, "params.yaml", "held_out_views: 4", "held_out_views: 3")
    assert ran(up_to_date)[:2] == ["code", "render_views@avatars-000"]
    (up_to_date / "data/code/render_views.json").unlink()  # Of a clone that lacks it.
    assert [stage for stage in ran(up_to_date) if stage != "code"] == []


def test_what_is_in_the_lock_for_a_batch_is_short(up_to_date):
    """Whatever the code, a batch's stages are some twenty lines each: dvc reads and writes all of them at each."""
    lock = yaml.safe_load((up_to_date / "dvc.lock").read_text())["stages"]
    names = ("ingest_scans@avatars-000", "render_views@avatars-000")
    assert len(yaml.safe_dump({name: lock[name] for name in names}).splitlines()) < 42
    # One file or folder each: DVC hashes every other one of every batch at each command.
    assert [len(lock[name]["deps"]) for name in names] == [1, 1]
    assert {"models/parsers/photos.json", "models/parsers/shapes.json"} <= lock[names[0]]["params"].keys()


def ran(root: Path) -> list[str]:
    """Stages that `dvc repro` runs."""
    return re.findall(r"Running stage '([^']+)'", dvc(root, "repro"))
