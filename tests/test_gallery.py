"""docs/gallery.md: each picture was made by the command under it, and the script makes it again."""

import argparse
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import harness
from docs.pictures import gallery
from sofgan.apps.results import read_record
from sofgan.commands import VERBS
from sofgan.commands.common import ELSEWHERE

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / gallery.PAGE).read_text(encoding="utf-8")
COMMANDS = gallery.commands(TEXT)


def asked(words: list[str]) -> dict:
    """What a command asks for, but where the result goes."""
    parser = argparse.ArgumentParser()
    importlib.import_module(VERBS[words[0]][0]).add_arguments(parser)
    found = vars(parser.parse_args(words[1:]))
    return {name: value for name, value in found.items() if name not in ELSEWHERE}


def test_each_picture_has_its_command():
    shown = re.findall(r'<img src="([^"]+)"', TEXT)
    assert [Path("docs", name) for name in shown] == list(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_picture_was_made_by_the_command_under_it(path):
    record = read_record(ROOT / path)
    assert record["verb"] == COMMANDS[path][0] and record["arguments"] == asked(COMMANDS[path])
    assert (ROOT / path).stat().st_size < 300_000


def test_the_script_makes_what_a_page_says(workdir, capsys):
    page = workdir / "page.md"
    command = "sofgan generate --models starter --heads 1 --looks 2 --size 16 --threads 1 --out made/{}.png"
    page.write_text(f"```\n{command.format('one')}\n{command.format('two')}\n```\n")
    assert harness.run(gallery.parser(), gallery.main, ["--page", "page.md", "--only", "one"]) == 0
    assert np.asarray(Image.open("made/one.png")).shape == (64, 128, 3)
    assert not Path("made/two.png").exists()
    assert harness.run(gallery.parser(), gallery.main, ["--page", "page.md", "--only", "three"]) == 1
    assert "has no picture three" in capsys.readouterr().err
