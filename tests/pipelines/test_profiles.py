"""Profiles: differences on the demo file, comments and the user's own changes kept, the way back exact."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines import profiles
from pipelines.__main__ import main
from stages import params

DEMO = """# The only configuration.
seed: 0
batches: [avatars-000]  # in use

train:
  steps: 800     # of the field
  rates: [1.0e-3, 2.0e-3]
  deep: {size: 64, kind: fast}
  rules:
    - ['nose|nostril', nose]
"""
PAPER = "train:\n  steps: 90000\n  rates: [1.0e-4]\n  deep: {kind: paper, extra: 2}\n"


@dataclass(frozen=True)
class Deep:
    """A nested block; the demo leaves one key at its default."""

    size: int
    kind: str
    extra: int = 0


@dataclass(frozen=True)
class Train:
    """A block of a stage."""

    steps: int
    rates: tuple[float, ...]
    deep: Deep
    rules: tuple[tuple[str, str], ...]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two profiles, in git."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(params.BLOCKS, "train", "test_profiles_blocks:Train")
    monkeypatch.setitem(sys.modules, "test_profiles_blocks", SimpleNamespace(Train=Train))
    (tmp_path / "params.yaml").write_text(DEMO)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/paper.yaml").write_text(PAPER)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def test_there_and_back_is_exact(project, capsys):
    assert main(["profile", "paper"]) == 0
    text = (project / "params.yaml").read_text()
    values = profiles.parse(text, "params.yaml")
    assert values["train"]["steps"] == 90000 and values["train"]["rates"] == [1e-4]
    assert (
        values["train"]["deep"] == {"size": 64, "kind": "paper", "extra": 2} and values["profile"] == "paper"
    )
    assert (
        "# The only configuration." in text and "# of the field" in text and "['nose|nostril', nose]" in text
    )
    assert main(["profile"]) == 0 and "* paper" in capsys.readouterr().out
    assert main(["profile", "demo"]) == 0
    assert (project / "params.yaml").read_text() == DEMO


def test_a_profile_may_change_another(project, capsys):
    (project / "profiles/large.yaml").write_text("base: paper\ntrain:\n  steps: 7\n  deep: {extra: 3}\n")
    assert main(["profile", "large"]) == 0
    train = profiles.parse((project / "params.yaml").read_text(), "params.yaml")["train"]
    assert train["steps"] == 7 and train["rates"] == [1e-4]
    assert train["deep"] == {"size": 64, "kind": "paper", "extra": 3}
    assert main(["profile", "demo"]) == 0 and (project / "params.yaml").read_text() == DEMO
    for base in ("nothing", "large"):
        (project / "profiles/large.yaml").write_text(f"base: {base}\n")
        assert main(["profile", "large"]) == 1
        assert f"there is no profile '{base}' for it to change" in capsys.readouterr().err


def test_own_changes_are_kept_and_named(project, capsys):
    own = DEMO.replace("[avatars-000]", "[mine-000, avatars-000]").replace(
        "kind: fast", "kind: fast, extra: 1"
    )
    (project / "params.yaml").write_text(own)
    main(["profile", "paper"])
    assert "your own changes, kept: batches, train.deep.extra" in capsys.readouterr().out
    values = profiles.parse((project / "params.yaml").read_text(), "params.yaml")
    assert values["batches"] == ["mine-000", "avatars-000"] and values["train"]["deep"]["extra"] == 1
    main(["profile", "demo"])
    assert profiles.parse((project / "params.yaml").read_text(), "x") == profiles.parse(own, "x")
    main(["profile", "demo", "--fresh"])
    assert (project / "params.yaml").read_text() == DEMO


def test_the_demo_is_found_behind_a_committed_profile_and_without_git(project):
    main(["profile", "paper"])
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t", "commit", "-qam", "paper"], check=True)
    main(["profile", "demo"])
    assert (project / "params.yaml").read_text() == DEMO
    main(["profile", "paper"])
    (project / ".git").rename(project / "elsewhere")
    main(["profile", "demo"])
    assert (project / "params.yaml").read_text() == DEMO


def test_a_switch_waits_for_whoever_changes_params(project):
    path = project / "params.yaml"
    with ThreadPoolExecutor(1) as pool:
        with profiles.locked(project):
            switched = pool.submit(main, ["profile", "paper"])
            time.sleep(0.3)
            assert path.read_text() == DEMO and not switched.done()
            path.write_text(DEMO.replace("[avatars-000]", "[avatars-000, may]"))
        assert switched.result(timeout=60) == 0
    values = profiles.parse(path.read_text(), "params.yaml")
    assert values["batches"] == ["avatars-000", "may"] and values["profile"] == "paper"


def test_what_was_made_of_dropped_batches_goes_to_dvcs_cache_alone(project, capsys):
    """Stages depend on the folders whole: on the way back they would find nothing that was made of these."""
    (project / "profiles/two.yaml").write_text("batches: [avatars-000, heads]\n")
    assert main(["profile", "two"]) == 0
    made = [
        project / f"data/{kind}/{name}" for kind in ("scans", "views") for name in ("avatars-000", "heads")
    ]
    raw, other = project / "data/raw/scans/heads", project / "data/views/by-hand"
    for folder in (*made, raw, other):
        folder.mkdir(parents=True)
    capsys.readouterr()
    (project / "profiles/wrong.yaml").write_text("train: {stepz: 3}\n")
    assert main(["profile", "wrong"]) == 1 and made[1].is_dir()
    assert main(["profile", "demo"]) == 0
    assert [folder.is_dir() for folder in made] == [True, False, True, False]
    assert raw.is_dir() and other.is_dir()
    assert "of batches no longer in use, in DVC's cache until `dvc gc`: heads\n" in capsys.readouterr().out


def test_none_is_written_while_dvc_is_at_work(project, at_work, capsys):
    at_work(project)
    assert main(["profile", "paper"]) == 1
    assert "dvc is at work (dvc repro); try again when it has ended" in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == DEMO
    assert main(["profile"]) == 0  # What there is can be asked.
    at_work(project, False)
    assert main(["profile", "paper"]) == 0


def test_wrong_names_are_said(project, capsys):
    assert main(["profile", "papr"]) == 1
    assert "did you mean 'paper'" in capsys.readouterr().err
    (project / "profiles/paper.yaml").write_text("train: {stepz: 3}\n")
    assert main(["profile", "paper"]) == 1
    assert "params.yaml: train: unknown key 'stepz'; did you mean 'steps'" in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == DEMO


def test_differences_undo_what_merge_does():
    known, present = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}, {"b": {"c": 2, "d": 4}, "e": [1, 2], "f": {}}
    changes = profiles.differences(known, present)
    assert changes == {"a": profiles.MISSING, "b": {"d": 4}, "e": [1, 2], "f": {}}
    assert profiles.merge(known, changes) == present


def test_every_profile_of_the_project_is_valid(monkeypatch):
    root = Path(__file__).parents[2]
    base = (root / "params.yaml").read_text()
    if profiles.parse(base, "params.yaml").get("profile", "demo") != "demo":
        pytest.skip("params.yaml is not the demo's")
    monkeypatch.chdir(root)
    names = sorted(path.stem for path in (root / "profiles").glob("*.yaml"))
    for name in names:
        text, own = profiles.switch(base, base, {}, profiles.changes_of(name, names), name, False)
        profiles.check(text)
        assert not own and f"profile: {name}" in text


def test_what_is_no_yaml_is_told_in_one_line():
    with pytest.raises(profiles.ProfileError) as error:
        profiles.parse("seed: 0\nbatches: [\n", Path("params.yaml"))
    assert str(error.value).startswith("params.yaml is no YAML in line 3, column 1: ")
    assert "\n" not in str(error.value)
