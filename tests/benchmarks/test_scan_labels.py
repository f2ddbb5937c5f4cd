"""The benchmark of labels found says so where no face is found at all, or where there is no scan."""

import pytest

from benchmarks import harness, scan_labels
from sofgan.scans.reading import ScanError


@pytest.fixture
def missing(tmp_path, monkeypatch):
    """What runs the benchmark on a folder of scans of which each is missed."""

    def refuse(*_):
        raise ScanError("no face found from any side")

    for name in ("ScanParser", "hide_labels"):
        monkeypatch.setattr(scan_labels, name, lambda *_, **__: None)
    monkeypatch.setattr(scan_labels, "ingest_scan", refuse)

    def run(*argv: str) -> int:
        arguments = ["--batch", str(tmp_path), *argv]
        return harness.run(scan_labels.parser(), scan_labels.main, arguments)

    return run


def test_where_every_scan_is_missed_the_count_of_these_is_the_verdict(missing, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}.glb").write_bytes(b"")
    assert missing("--check") == 1
    assert "faces missed: 2, at most 0: NOT KEPT" in capsys.readouterr().out


def test_a_folder_without_scans_is_named(missing, tmp_path, capsys):
    assert missing() == 1
    assert f"no avatars in {tmp_path}" in capsys.readouterr().err
