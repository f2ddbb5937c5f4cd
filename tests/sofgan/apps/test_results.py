"""The commit that the record of a result names."""

import subprocess
from pathlib import Path

import pytest

from sofgan.apps import results


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Has this package lie at a path below a project of its user's, which is in git."""

    def lie_at(*folders: str) -> Path:
        module = tmp_path.joinpath(*folders, "sofgan/apps/results.py")
        module.parent.mkdir(parents=True)
        module.write_text("")
        monkeypatch.setattr(results, "__file__", str(module))
        return module

    yield lie_at


def commit_all(folder: Path) -> str:
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*run, *words], check=True)
    told = subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def test_a_checkout_has_its_commit(package, tmp_path):
    module = package()
    commit = commit_all(tmp_path)
    assert results.version()["commit"] == commit[:12]
    module.write_text("changed\n")
    assert results.version()["commit"] == f"{commit[:12]}-dirty"


def test_a_package_within_a_project_does_not_have_the_commit_of_that(package, tmp_path):
    package(".venv", "lib", "site-packages")
    commit_all(tmp_path)
    assert results.version()["commit"] == "unknown"
