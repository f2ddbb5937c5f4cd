"""dvc.yaml names the code that the field's stages run, and no other code of the field."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# No results depend on them, as dvc.yaml says of params and tracking.
LEFT_OUT = {
    f"sofgan/{name}.py"
    for name in ("config", "cpu", "device", "errors", "files", "gpus", "processes", "progress", "seeds")
}


def imported(path: Path) -> set[Path]:
    """Modules of the project that a module imports, also those that it imports late."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = {ROOT / f"{name.replace('.', '/')}.py" for name in names}
    return {file for file in files if file.is_file() and file.is_relative_to(ROOT / "sofgan")}


def code_of(stage: str) -> set[str]:
    """Modules under sofgan/ that a stage runs, found through all imports."""
    found, left = set(), [ROOT / f"stages/{stage}.py"]
    while left:
        new = imported(left.pop()) - found
        found |= new
        left += new
    return {file.relative_to(ROOT).as_posix() for file in found} - LEFT_OUT


STAGES = [
    "make_portraits",
    "train_shape_parser",
    "ingest_scans",
    "render_views",
    "batch_metrics",
    "import_photos",
    "train_parser",
    "parse_faces",
    "train_siw",
]
FIELD_STAGES = ["train_sof", "invert_masks", "sample_conditions", "evaluate"]


@pytest.mark.parametrize("stage", STAGES + FIELD_STAGES)
def test_a_stage_depends_on_the_code_that_it_runs(stage):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    listed = stages.get(f"{stage}_recipe", stages[stage])["deps"]
    assert f"stages/{stage}.py" in listed
    code = code_of(stage)
    assert ("sofgan/sof/model.py" in code) == (stage in FIELD_STAGES)
    missing = {
        file for file in code if not any(file == name or file.startswith(f"{name}/") for name in listed)
    }
    assert not missing, f"to be listed in dvc.yaml: {sorted(missing)}"
    needless = {name for name in listed if name.startswith("sofgan/") and name.endswith(".py")} - code
    assert not needless, f"not run by {stage}, but in dvc.yaml: {sorted(needless)}"


@pytest.mark.parametrize("stage", sorted(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]))
def test_a_stage_that_writes_figures_has_them_as_an_out(stage):
    listed = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    script = ROOT / f"stages/{listed['cmd'].split('stages.')[1].split()[0]}.py"
    paths = {
        next(iter(out)) if isinstance(out, dict) else out
        for kind in ("outs", "metrics")
        for out in listed.get(kind, [])
    }
    figures = {path for path in paths if path.startswith("metrics/all/")}
    assert bool(figures) == ("run.final(" in script.read_text()), figures
    # What `dvc metrics` shows is a part of all figures, under the same file name.
    headlines = {path for path in paths - figures if path.startswith("metrics/")}
    assert {path.replace("metrics/", "metrics/all/", 1) for path in headlines} <= figures
