"""Fetching weights: whole and right, or not at all."""

import hashlib

import pytest

from pipelines import weights


def test_a_right_file_is_kept_and_a_wrong_one_refused(tmp_path):
    source = tmp_path / "source.bin"
    source.write_bytes(b"weights")
    target = tmp_path / "models" / "parser.pth"
    digest = hashlib.sha256(b"weights").hexdigest()
    weights.fetch(source.as_uri(), target, digest)
    assert target.read_bytes() == b"weights"
    with pytest.raises(ValueError, match="its sha256 is"):
        weights.fetch(source.as_uri(), tmp_path / "models" / "other.pth", "0" * 64)
    assert [path.name for path in target.parent.iterdir()] == ["parser.pth"]


def test_without_a_network_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(weights.FILES, "bisenet", ("file:///nowhere/parsing_bisenet.pth", "0" * 64))
    assert weights.run("bisenet") == 1
    assert "put the file at models/pretrained/parsing_bisenet.pth by hand" in capsys.readouterr().err
