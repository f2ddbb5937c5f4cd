"""The script that breaks the code: its table fits the code as it is, and it tells what tests notice."""

import subprocess

import pytest

from tests import mutants
from tests.mutants import Mutant, fault, judge


def test_every_mutation_can_be_made():
    table = mutants.mutants()
    assert len(table) == len({mutant.name for mutant in table}) >= 45
    assert not {mutant.name: found for mutant in table if (found := fault(mutant))}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A module with a test that doesn't look at one of its lines."""
    for name, text in {
        "sofgan/__init__.py": "",
        "sofgan/sums.py": "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return a + a\n",
        "tests/test_sums.py": "from sofgan.sums import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
        "tests/test_broken.py": "def test_what_fails_anyhow():\n    assert False\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    return tmp_path


def test_what_tests_notice_is_killed_and_the_tree_stays_as_it_is(repository):
    changes = [
        ("sign", "return a + b", "return a - b", "tests/test_sums.py"),
        ("unseen", "return a + a", "return a * 3", "tests/test_sums.py"),
        ("import", "def add", "import nothing\n\n\ndef add", "tests/test_sums.py"),
        ("broken", "return a + b", "return a - b", "tests/test_broken.py"),
    ]
    chosen = [Mutant(name, "sofgan/sums.py", old, new, (tests,)) for name, old, new, tests in changes]
    before = (repository / "sofgan/sums.py").read_text()
    found = {outcome.mutant.name: outcome.what for outcome in judge(chosen, 1)}
    assert found == {
        "sign": "killed", "unseen": "survived", "import": "pytest ended with 2", "broken": "its tests fail without it"
    }  # fmt: skip
    assert (repository / "sofgan/sums.py").read_text() == before


@pytest.mark.parametrize(
    ("old", "new", "tests", "words"),
    [
        ("return a", "return b", "tests/test_sums.py", "its text occurs 2 times"),
        ("return c", "return b", "tests/test_sums.py", "its text occurs 0 times"),
        ("return a + b", "return a +", "tests/test_sums.py", "no Python"),
        ("return a + b", "return b", "tests/test_gone.py", "tests/test_gone.py is not there"),
    ],
)
def test_entries_that_no_longer_fit_are_told(repository, old, new, tests, words):
    assert words in fault(Mutant("x", "sofgan/sums.py", old, new, (tests,)), repository)
