"""The code that a stage runs: found through imports, and told apart by what it does, not by what is said beside it."""

import json

import pytest
import yaml

from stages.code import PACKAGES, ROOT, code_digest, code_digests, code_files

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
        "stages/__init__.py", "stages/paint.py", "sofgan/__init__.py", "sofgan/seeds.py", "sofgan/siw/__init__.py",
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
    before = code_digest("paint", root)
    layers = files["sofgan/siw/layers.py"]
    for text in (
        layers.replace("Layers.", "Other words."),
        layers.replace('    """Scaled."""\n', ""),
        layers.replace("GAIN = 2\n", "# Why.\n\nGAIN = (\n    2  # two\n)\n"),
        layers + '"""At its end."""\n',
    ):
        write({"sofgan/siw/layers.py": text})
        assert code_digest("paint", root) == before
    write({"sofgan/siw/kinds.py": files["sofgan/siw/kinds.py"].replace("Pixels", "In pixels")})
    write({"sofgan/siw/unused.py": "X = 1\n", "sofgan/other.py": "X = 1\n", "sofgan/siw/other.txt": "x"})
    write({"stages/params.py": "import sofgan.siw\n"})
    assert code_digest("paint", root) == before


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("sofgan/siw/layers.py", "GAIN = 2", "GAIN = 3"),  # three imports below the script
        ("sofgan/siw/layers.py", "GAIN * x", "GAIN + x"),
        ("sofgan/siw/layers.py", "GAIN = 2", "GAIN = 2.0"),
        ("sofgan/siw/kinds.py", "size: int", "size: float"),
        ("sofgan/siw/shaders/more/faces.vert", "{}", "{ }"),
        ("sofgan/seeds.py", "1", "None"),
        ("stages/paint.py", "    train()", "    return train()"),
    ],
)
def test_what_the_code_does_changes_the_digest_of_its_file(project, name, old, new):
    root, files, write = project
    before, whole = code_digests("paint", root), code_digest("paint", root)
    write({name: files[name].replace(old, new)})
    after = code_digests("paint", root)
    assert {path for path in before if before[path] != after[path]} == {name}
    assert code_digest("paint", root) != whole
    write(files)
    assert code_digest("paint", root) == whole


def test_stages_run_what_dvc_knows_and_more():
    """The lists of dvc.yaml are kept by hand; what they leave out decides some results all the same."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in ("train_parser", "train_siw", "make_avatars", "render_views", "report"):
        found = {path.as_posix() for path in code_files(stage)}
        listed = graph.get(f"{stage}_recipe", graph[stage])["deps"]
        code = {name for name in listed if name.endswith(".py") and name != "stages/recipe.py"}
        assert code <= found
    assert "sofgan/seeds.py" in found_by("train_siw") & found_by("train_parser") & found_by("render_views")
    assert "sofgan/views/shaders/faces.frag" in found_by("make_portraits") - found_by("train_siw")
    assert "stages/reporting/page.html" in found_by("report")
    assert not found_by("train_siw") & {"stages/params.py", "stages/tracking.py", "sofgan/faces/train.py"}


def found_by(stage: str) -> set[str]:
    return {path.as_posix() for path in code_files(stage)}


def test_every_asset_is_some_stages():
    assets = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")
    }
    assert assets == {name for stage in STAGES for name in found_by(stage) if not name.endswith(".py")}


def test_a_training_by_other_code_starts_anew_and_says_why(project, capsys):
    from sofgan.training import Checkpoints

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
