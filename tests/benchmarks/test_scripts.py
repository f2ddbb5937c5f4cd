"""Every benchmark and every script of the documentation's pictures can be imported, and says what it takes."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401  Before OpenGL: triton, which it loads, crashes if Mesa's LLVM was there first.

from benchmarks import harness

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    f"{folder.replace('/', '.')}.{path.stem}"
    for folder in ("benchmarks", "docs/pictures")
    for path in (ROOT / folder).glob("*.py")
    if path.stem != "harness"
)
INDEX = ROOT / "benchmarks/README.md"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), INDEX)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_imported_and_its_help_parses(name, capsys):
    module = importlib.import_module(name)
    parser = module.parser()
    with pytest.raises(SystemExit) as ended:
        harness.run(parser, module.main, ["--help"])
    assert ended.value.code == 0
    assert f"python -m {name}" in capsys.readouterr().out


def commands() -> list[tuple[str, str, str]]:
    """Page, script and arguments of each command that a page has in a block of code, or the index in its table."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.M | re.S)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            match = re.match(r"python -m ((?:benchmarks|docs\.pictures)\.\w+)(.*)", line.split(" #")[0])
            if match:
                found.append((page.name, match[1], match[2]))
    rows = re.findall(r"^\| [^|]* \| `(\w+)([^`]*)` \|", INDEX.read_text(), re.M)
    return found + [(INDEX.name, f"benchmarks.{name}", arguments) for name, arguments in rows]


def test_every_benchmark_is_in_the_index():
    listed = {name for page, name, _ in commands() if page == INDEX.name}
    assert listed == {name for name in SCRIPTS if name.startswith("benchmarks.")}


@pytest.mark.parametrize(("page", "name", "arguments"), commands())
def test_a_page_has_no_argument_that_its_script_does_not_know(page, name, arguments):
    filled = shlex.split(arguments.replace(" [FOLDER ...]", ""))
    parsed = importlib.import_module(name).parser().parse_args(filled)
    assert isinstance(parsed, argparse.Namespace)


def test_scripts_named_in_pages_are_there():
    for page in PAGES:
        named = re.findall(r"(?:python -m\s+|`)((?:benchmarks|docs\.pictures)\.\w+)", page.read_text())
        assert set(named) <= {*SCRIPTS, "benchmarks.harness"}, page.name
