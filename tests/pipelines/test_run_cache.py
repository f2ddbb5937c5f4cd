"""What was made once is not made again: DVC's run cache, on this project's own graph."""

import re
import subprocess
import sys
from pathlib import Path


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
