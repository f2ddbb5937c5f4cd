"""Recipes of the Makefile that no other test runs."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_clean_keeps_what_is_not_made_again(tmp_path):
    kept = ["tracking/entry", "services/up.pid", "params-demo.yaml", "params.lock"]
    gone = ["train_siw/state.pt", "features/photos.npz"]
    for name in kept + gone:
        path = tmp_path / ".work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "report").mkdir()
    for _ in range(2):
        subprocess.run(
            ["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path, check=True, capture_output=True
        )
        assert sorted(
            str(path.relative_to(tmp_path / ".work"))
            for path in (tmp_path / ".work").rglob("*")
            if path.is_file()
        ) == sorted(kept)
        assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(("line", "refused"), [("", False), ("profile: paper", True)])
def test_the_starter_is_made_of_the_demos_parameters(tmp_path, line, refused):
    (condition,) = re.findall(r"^starter:.*\n\t@\{ (.*?); \} \|\|", (ROOT / "Makefile").read_text(), re.M)
    own = subprocess.run(
        ["git", "show", "HEAD:params.yaml"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    (tmp_path / "params.yaml").write_bytes(own + f"{line}\n".encode() * bool(line))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    assert bool(subprocess.run(condition, shell=True, cwd=tmp_path).returncode) == refused
