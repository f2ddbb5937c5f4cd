"""Files of results: how fast a film of a format runs, and the commit that a record names."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sofgan.apps import results
from sofgan.apps.results import Film, encode
from sofgan.errors import InputError


def film(frames_per_second: int, count: int = 60) -> Film:
    """A film whose frames all differ: equal ones are joined to one that is shown for longer."""
    frames = np.zeros((count, 4, 4, 3), np.uint8)
    frames[np.arange(count), 0, 0] = np.arange(count)[:, None] * 4
    return Film(frames, frames_per_second)


@pytest.mark.parametrize("fps", [1, 7, 10, 24, 25, 30, 40, 48, 50])
def test_a_gif_is_as_long_as_its_frames_say(fps):
    with Image.open(io.BytesIO(encode(film(fps), ".gif", {}))) as image:
        shown = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert len(shown) == 60 and abs(sum(shown) - 60_000 / fps) <= 5
    assert max(shown) - min(shown) <= 10 and min(shown) >= 20  # Browsers show 10 ms as 100.


def test_a_gif_that_no_browser_shows_as_fast_is_refused():
    with pytest.raises(InputError, match="60 frames a second are too many for .gif, which holds 50"):
        encode(film(60), ".gif", {})
    assert encode(film(60), ".webp", {})


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
    module, picture = package(), tmp_path / "docs/picture.png"
    picture.parent.mkdir()
    picture.write_text("")
    commit = commit_all(tmp_path)
    assert results.version()["commit"] == commit[:12]
    picture.write_text("another")
    assert results.version()["commit"] == commit[:12]
    module.write_text("changed\n")
    assert results.version()["commit"] == f"{commit[:12]}-dirty"


def test_a_package_within_a_project_does_not_have_the_commit_of_that(package, tmp_path):
    package(".venv", "lib", "site-packages")
    commit_all(tmp_path)
    assert results.version()["commit"] == "unknown"
