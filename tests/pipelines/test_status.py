"""`python -m pipelines status` names the stages that would run, and the file or parameter that made each stale."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from pipelines import status
from pipelines.__main__ import main

BATCH = "avatars-000"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def test_stale_stages_are_named_with_what_made_them_so(up_to_date, monkeypatch, capfd):
    monkeypatch.chdir(up_to_date)
    assert status.run() == 0
    assert capfd.readouterr().out == "Everything is up to date.\n"

    change(
        up_to_date / "stages/stand_in.py", "import hashlib", "import hashlib, math"
    )  # which all stages but code run
    change(up_to_date / "params.yaml", "held_out_views: 4", "held_out_views: 3")
    change(up_to_date / "params.yaml", "\n  kimg: 20", "\n  kimg: 21")
    locked = (up_to_date / "dvc.lock").read_bytes()
    assert status.run() == 0
    assert (up_to_date / "dvc.lock").read_bytes() == locked
    capfd.readouterr()
    found = status.stale(up_to_date)
    assert list(found)[:1] == [f"make_avatars@{BATCH}"] and "code" not in found
    assert found["train_siw"] == ["stages/stand_in.py changed", "train_siw.kimg is 21, was 20"]
    assert found[f"render_views@{BATCH}"] == [
        "stages/stand_in.py changed",
        "params.yaml: render_views changed",
    ]
    change(up_to_date / "stages/stand_in.py", "import hashlib, math", "import hashlib")
    change(up_to_date / "params.yaml", "held_out_views: 3", "held_out_views: 4")
    assert status.run() == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1) == ["train_siw", "train_siw.kimg is 21, was 20"]
    assert ["evaluate", "after train_siw"] in [line.split(maxsplit=1) for line in lines]
    assert not any("train_sof" in line for line in lines)


def test_parameters_that_came_or_went_are_named():
    before, now = (
        {"kimg": 20, "growth": [[32, 0.1]], "old": {"a": 1}},
        {"kimg": 20, "growth": [], "by": "spread"},
    )
    assert list(status._parameter_reasons("train_siw", before, now)) == [
        "train_siw.by is new: spread",
        "train_siw.growth is [], was [[32, 0.1]]",
        "train_siw.old.a is not used any more",
    ]


def test_a_clone_takes_lists_of_code_from_git(tmp_path):
    """Where dvc.lock names a list by its bytes, or by the digest in it, though this machine never had it."""
    name, git = (
        "data/code/report.json",
        ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"],
    )
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / name).parent.mkdir(parents=True)
    texts = [json.dumps({"digest": str(number), "files": {"a.py": number}}) for number in range(3)]
    for text in texts:
        (tmp_path / name).write_text(text)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "x"], check=True)
    digest = hashlib.md5(texts[1].encode(), usedforsecurity=False).hexdigest()
    by_bytes = {"deps": [{"path": "b"}, {"path": name, "md5": digest}]}
    assert status._version(by_bytes, name, tmp_path) == json.loads(texts[1])
    assert status._version({"params": {name: {"digest": "0"}}}, name, tmp_path) == json.loads(texts[0])
    assert list(status._code_reasons(tmp_path / name, by_bytes, name, tmp_path)) == ["a.py changed"]
    assert status._version({"params": {name: {"digest": "7"}}}, name, tmp_path) is None


def test_lists_of_code_stay_while_dvc_is_at_work(up_to_date, at_work, monkeypatch, capfd):
    """DVC records what a stage depends on when it ends: it would take the new lists for those that the stage ran."""
    monkeypatch.chdir(up_to_date)
    lists = {path: path.read_bytes() for path in (up_to_date / "data/code").iterdir()}
    text = (up_to_date / "stages/stand_in.py").read_text()
    (up_to_date / "stages/stand_in.py").write_text(text + "\nASKED = True\n")
    at_work(up_to_date)
    assert main(["status"]) == 1
    assert capfd.readouterr() == ("", "dvc is at work (dvc repro); try again when it has ended\n")
    assert {path: path.read_bytes() for path in (up_to_date / "data/code").iterdir()} == lists
    at_work(up_to_date, False)
    (up_to_date / "stages/stand_in.py").write_text(text)


def test_a_mistake_in_the_parameters_is_told(up_to_date, monkeypatch, capfd):
    monkeypatch.chdir(up_to_date)
    change(up_to_date / "params.yaml", "\n  kimg: ", "\n  kimgs: ")
    assert status.run() != 0
    assert "unknown key 'kimgs'" in capfd.readouterr().err


def test_what_a_clone_lacks_is_told_once(up_to_date, tmp_path, monkeypatch, capfd):
    root = Path(shutil.copytree(up_to_date, tmp_path / "clone"))
    for folder in ("data/sof", "models"):
        shutil.rmtree(root / folder)
    shutil.rmtree(root / ".dvc/cache")
    monkeypatch.chdir(root)
    text = (
        (root / "params.yaml")
        .read_text()
        .replace("\n  kimgs: ", "\n  kimg: ")
        .replace("kimg: 21", "kimg: 20")
    )
    (root / "params.yaml").write_text(text)
    assert status.run() == 0
    assert "What is not here: `dvc pull` fetches it" in capfd.readouterr().out
    found = status.stale(root)
    gone = status.ABSENT
    assert found["train_sof"] == [f"models/sof.pt {gone}", f"data/sof {gone}"]
    # It waits for the field, which is gone too: that is no second reason.
    assert found["invert_masks"] == [
        f"models/sof_inverted.pt {gone}",
        "data/inverted is not in DVC's cache any more",
    ]
