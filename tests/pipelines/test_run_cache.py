"""What was made once is not made again: DVC's run cache, on this project's own graph."""

import re
import subprocess
import sys
from pathlib import Path

from pipelines.__main__ import main


def repro(root: Path) -> list[str]:
    """Stages that ran."""
    command = [sys.executable, "-m", "dvc", "repro"]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return re.findall(r"^Running stage '(.*)':$", done.stdout, re.M)


def test_parameters_that_come_back_bring_back_what_was_made_by_them(up_to_date):
    params, lock = up_to_date / "params.yaml", up_to_date / "dvc.lock"
    text, locked = params.read_text(), lock.read_text()
    params.write_text(text.replace("seed: 0", "seed: 1", 1))
    ran = repro(up_to_date)
    assert {"train_parser", "train_sof", "train_siw", "evaluate", "report"} <= set(ran)
    params.write_text(text)  # dvc.lock stays as the other parameters left it.
    assert repro(up_to_date) == ["code"]  # Which always runs, and takes a second.
    assert lock.read_text() == locked


def test_a_profile_that_comes_back_brings_back_what_was_made_by_it(up_to_date, monkeypatch):
    """Whatever other batches the other one had."""
    monkeypatch.chdir(up_to_date)
    text = (up_to_date / "params.yaml").read_text()
    (up_to_date / "profiles").mkdir()
    two = "batches: [avatars-000, avatars-001]\navatars: {batches: [avatars-000, avatars-001]}\n"
    (up_to_date / "profiles/two.yaml").write_text(two)
    assert main(["profile", "two"]) == 0
    assert {"render_views@avatars-001", "train_sof", "report"} <= set(repro(up_to_date))
    assert main(["profile", "demo"]) == 0
    assert (up_to_date / "params.yaml").read_text() == text
    assert repro(up_to_date) == ["code"]
