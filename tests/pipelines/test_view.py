"""The door to the viewer."""

import os
import sys

import pytest

from pipelines.__main__ import main


class Became(Exception):
    pass


@pytest.mark.parametrize("words", [[], ["--port", "8123"], ["--models", "starter", "--host", "127.0.0.1"]])
def test_view_becomes_the_verb_with_all_its_arguments(monkeypatch, words):
    became = []

    def become(program, line):
        became.append((program, line))
        raise Became

    monkeypatch.setattr(os, "execv", become)
    with pytest.raises(Became):
        main(["view", *words])
    assert became == [(sys.executable, [sys.executable, "-m", "sofgan", "view", *words])]
