"""The verb `score` on small pictures: what it prints, writes and refuses."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.__main__ import main
from sofgan.photos.store import PhotoStoreWriter
from sofgan.scores.figures import Figure
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.generator import Generator
from sofgan.siw.model import Siw, save_siw
from sofgan.training import save_model


def picture(number: int, name: str, **how) -> bytes:
    pixels = np.random.default_rng(number).integers(256, size=(6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((32, 32)).save(out, name, **how)
    return out.getvalue()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Folders of 24 JPEGs and of 48 PNGs, one picture alone, a store of maps, and a painter."""
    root = tmp_path_factory.mktemp("inputs")
    for name in ("a", "b", "bare", "alone"):
        (root / name).mkdir()
    for number in range(48):
        (root / "b" / f"{number}.png").write_bytes(picture(number, "PNG"))
        if number < 24:
            (root / "a" / f"{number}.jpg").write_bytes(picture(100 + number, "JPEG", quality=60))
    (root / "alone" / "0.png").write_bytes(picture(0, "PNG"))
    (root / "a" / "torn.jpg").write_bytes(picture(0, "JPEG")[:-200])
    with PhotoStoreWriter(root / "maps") as writer:
        for number in range(20):
            writer.add(str(number), None, np.full((32, 32), number % 17, np.uint8))
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution=16, label_size=16, start_size=4, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128,
        channel_max=8, encoder_channels=(6, 8), spade_sizes=(8, 16), spade_hidden=4, spade_max_size=8,
    )  # fmt: skip
    save_model(root / "other.pt", {}, {"parser": {}})
    save_siw(root / "siw.pt", Siw(Generator(config).requires_grad_(False), "cpu"))
    return root


def run(*words) -> int:
    return main(["score", *map(str, words), "--threads", "1", "--extractors", "lite2"])


def test_folders_are_scored_with_a_warning_and_the_figures_written(inputs, workdir, capsys):
    assert run(inputs / "a", inputs / "b", "--json", "scores.json", "--cache", "kept") == 0
    told = capsys.readouterr().out
    assert "A and B differ in format" in told and "A: left out 1: torn.jpg: truncated" in told
    assert "24 against 48 [95 %]" in told and "24 against 24 [95 %]" in told and "floor" in told
    written = json.loads(Path("scores.json").read_text())
    figure = Figure.from_mapping(written["scores"]["lite2"]["all"]["fd"])
    assert (figure.n_painted, figure.n_real, figure.painted_quality) == (
        24,
        48,
        "JPEG of quality 60 to 75, median 60",
    )
    assert written["differ_in"] == ["format"] and len(written["left_out"]["A"]) == 1
    assert run(inputs / "a", inputs / "b", "--cache", "kept") == 0
    assert capsys.readouterr().out == told.replace("\nscores.json\n", "")
    assert len(list(Path("kept").iterdir())) == 1


def test_pictures_that_both_sides_have_are_warned_of(inputs, workdir, capsys):
    assert run(inputs / "b", inputs / "b", "--count", 20) == 0
    told = capsys.readouterr().out
    assert "20 of A's 20 pictures are among B's, byte by byte" in told and "differ in" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a", "b", "--size", "4097"], "4097 is more than 4096"),
        (["a", "b", "--extractors", "lite3"], "usage: sofgan score A B [options]"),
    ],
)
def test_options_that_are_wrong_are_told_with_the_usage(capsys, words, told):
    with pytest.raises(SystemExit):
        main(["score", *words])
    assert told in capsys.readouterr().err


def test_pictures_that_a_painter_makes_are_scored(inputs, workdir, capsys):
    words = (inputs / "siw.pt", inputs / "b", "--maps", inputs / "maps", "--count", 30, "--size", 16)
    assert run(*words) == 0
    told = capsys.readouterr().out
    assert "30 against 30" in told and "No floor: half of B is fewer than 20" in told
    assert "centred square to 16 px (PIL, bilinear), antialiased bilinear to 64 px" in told
    assert run(*words) == 0 and capsys.readouterr().out == told
    assert run(*words, "--seed", 1) == 0 and capsys.readouterr().out != told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bare", "b"], "bare holds no picture that can be read"),
        (["alone", "b"], "alone: one picture that can be read; scores need 20 a side"),
        (["a", "nowhere"], "there is no folder"),
        (["a", "a/0.jpg"], "0.jpg is a file: name a folder"),
        (["a", "b", "--cache", "a/0.jpg"], "--cache a/0.jpg is no folder"),
        (["a", "b", "--json", "a"], "--json a is a folder: name a file"),
        (["a", "b", "--json", "a/0.jpg/b.json"], "--json a/0.jpg is no folder"),
        (["a", "b", "--cache", "a/0.jpg/b"], "--cache a/0.jpg is no folder"),
        (["other.pt", "b", "--maps", "maps"], "other.pt holds no painter, as siw.pt does"),
        (["siw.pt", "b"], "name a photo store that has some by --maps"),
        (["a", "b", "--maps", "maps"], "--maps is for a generator"),
        (["siw.pt", "b", "--maps", "b"], "b is no photo store"),
        (["none.pt", "b", "--maps", "maps"], "no model at none.pt"),
        (["maps", "b"], "maps holds no picture that can be read: 0: a label map without a photo"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(inputs, monkeypatch, capsys, words, told):
    monkeypatch.chdir(inputs)
    threads = torch.get_num_threads()
    assert run(*words) == 1
    torch.set_num_threads(threads)
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error and len(error.strip().splitlines()) == 1
