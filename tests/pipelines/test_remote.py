"""A folder as DVC remote: what one machine made another gets without making it again."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import batches

CODE = Path(__file__).parents[2]
DVC = {
    "stages": {
        "recipe": {
            "cmd": "python count.py",
            "deps": ["count.py"],
            "outs": ["data/recipes/render_views.json"],
        },
        "render_views": {
            "matrix": {"batch": "${batches}"},
            "cmd": "python count.py ${item.batch}",
            "deps": ["data/raw/scans/${item.batch}"],
            "params": [{"data/recipes/render_views.json": ["digest"]}],
            "outs": ["data/views/${item.batch}"],
        },
        "batch_metrics": {
            "cmd": "python count.py metrics",
            "deps": ["data/views"],
            "outs": [{"metrics/all/render_views.json": {"cache": False}}],
        },
    }
}
COUNT = """
import hashlib, json, pathlib, sys

def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

match sys.argv[1:]:
    case []:
        digest = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
        write(pathlib.Path("data/recipes/render_views.json"), {"digest": digest})
    case ["metrics"]:
        counted = sum(len(list(path.iterdir())) for path in pathlib.Path("data/views").glob("*/"))
        write(pathlib.Path("metrics/all/render_views.json"), {"scans": counted})
    case [name]:
        for scan in sorted(pathlib.Path("data/raw/scans", name).iterdir()):
            write(pathlib.Path("data/views", name, f"{scan.stem}.npz"), scan.read_text() * 2)
"""


def run(folder: Path, *command: str) -> str:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    start = git if command[0] == "git" else [sys.executable, "-m", "dvc"]
    done = subprocess.run([*start, *command[1:]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def laptop(tmp_path) -> Path:
    """A project whose batch was added, rendered, committed and pushed to a folder."""
    root = tmp_path / "laptop"
    root.mkdir()
    run(root, "git", "init", "-q")
    run(root, "dvc", "init", "-q")
    params = yaml.safe_load((CODE / "params.yaml").read_text())
    (root / "params.yaml").write_text(yaml.safe_dump(params | {"batches": ["april"]}))
    (root / "dvc.yaml").write_text(yaml.safe_dump(DVC))
    (root / "count.py").write_text(COUNT)
    (root / ".gitignore").write_text("/.work/\n")
    source = tmp_path / "may"
    source.mkdir()
    for name in ("a", "b"):
        (source / f"{name}.obj").write_text(f"o {name}\n")
    batches.add(root, str(source))
    (root / "params.yaml").write_text(yaml.safe_dump(params | {"batches": ["may"]}))
    run(root, "dvc", "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    run(root, "dvc", "repro", "-q")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "-qm", "may")
    run(root, "dvc", "push", "-q")
    return root


def test_a_second_clone_pulls_everything_and_makes_nothing(laptop, tmp_path):
    run(tmp_path, "git", "clone", "-q", str(laptop), "worker")
    worker = tmp_path / "worker"
    assert not (worker / "data/views/may").exists()
    run(worker, "dvc", "pull", "-q")
    for path in sorted((laptop / "data").rglob("*")):
        if path.is_file() and path.suffix != ".dvc" and path.name != ".gitignore":
            assert (worker / path.relative_to(laptop)).read_bytes() == path.read_bytes()
    assert (worker / "data/raw/scans/may/a.obj").is_file()  # The scans too, as add-batch had DVC hold them.
    assert "up to date" in run(worker, "dvc", "status")
    said = run(worker, "dvc", "repro")
    assert "Running stage" not in said and "didn't change, skipping" in said
