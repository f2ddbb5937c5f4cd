"""Fetching weights: whole and right, or not at all."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
import yaml

from pipelines import weights
from sofgan.photos.config import ImportPhotos


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
    assert "put the file at data/weights/parsing_bisenet.pth by hand" in capsys.readouterr().err


def test_the_face_detector_is_fetched_where_the_import_looks_for_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "FILES", {})
    for name, content in [
        ("bisenet", b"parser"),
        ("detector", b"faces"),
        ("landmarks", b"points"),
        ("inception", b"fid"),
    ]:
        (tmp_path / f"{name}.pth").write_bytes(content)
        address = ((tmp_path / f"{name}.pth").as_uri(), hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(weights.FILES, name, address)
    assert weights.run(*weights.DEFAULT) == 0
    found = sorted(path.name for path in (tmp_path / ImportPhotos.weights).iterdir())
    assert found == ["bisenet.pth", "detector.pth", "inception.pth", "landmarks.pth"]
    said = capsys.readouterr().out
    assert "under import_photos: weights: data/weights" in said
    assert "In params.yaml, under evaluate: inception_weights: data/weights/inception.pth" in said
    # What can't be had doesn't keep the rest back.
    monkeypatch.setitem(weights.FILES, "detector", ("file:///nowhere/x.pth", "0" * 64))
    (tmp_path / ImportPhotos.weights / "landmarks.pth").unlink()
    assert weights.run(*weights.DEFAULT) == 1
    assert (tmp_path / ImportPhotos.weights / "landmarks.pth").is_file()


def test_the_network_of_fid_is_the_one_that_the_papers_profile_names():
    url, sha256 = weights.FILES["inception"]
    name = Path(url).name
    # The published name ends with the digest's first digits, by which torch's own downloads are checked too.
    assert name == f"weights-inception-2015-12-05-{sha256[:8]}.pth" and len(sha256) == 64
    profile = yaml.safe_load((Path(__file__).parents[2] / "profiles/paper.yaml").read_text())
    assert profile["evaluate"]["inception_weights"] == str(weights.WEIGHTS / name)
    package = Path(importlib.util.find_spec("torch_fidelity").submodule_search_locations[0])
    assert f'"{url}"' in (package / "feature_extractor_inceptionv3.py").read_text()


def test_addresses_are_those_of_the_installed_facexlib():
    # Read, not imported: pipelines and their tests go without torch.
    package = Path(importlib.util.find_spec("facexlib").submodule_search_locations[0])
    for name, module in [("detector", "detection"), ("landmarks", "alignment"), ("bisenet", "parsing")]:
        assert weights.FILES[name][0] in (package / module / "__init__.py").read_text()
