"""The stage of the paper's competitors: what it makes, and that it is none where none is listed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from sofgan.baselines.painter import load_painter
from sofgan.config import ConfigError
from sofgan.parsing.config import ParserConfig
from sofgan.parsing.parser import FaceParser, save_parser
from stages import params as stage_params
from stages import paths, train_baseline
from tests.parameters import write_params
from tests.stages.test_train_siw import BLOCK, write_store

ROOT = Path(__file__).parents[2]
SIZES = {
    "z_dim": 4, "spade_hidden": 4, "style_dim": 4, "reference_photos": 3, "residual_blocks": 1, "patch_scales": 1,
    "patch_layers": 3, "patch_channels": 4, "patch_channel_max": 8, "perceptual_size": 32, "rates": 1.0,
}  # fmt: skip
EVALUATE = {
    "images": 4, "sof_images": 2, "grid": [2, 2], "extractors": ["lite0", "parser"], "inception_weights": "",
    "batch": 2, "kid_subset": 2,
    "frequent_share": 0.01,
}  # fmt: skip


@pytest.fixture
def project(workdir):
    runtime = {"device": "cpu", "workers": 1, "threads": 1}
    evaluate = yaml.safe_load((ROOT / "params.yaml").read_text())["evaluate"] | EVALUATE
    siw = BLOCK | {"photo_sets": ["ffhq"], "kimg": 0.008, "report_every_kimg": 0.004}
    write_params(
        {"seed": 0, "runtime": runtime, "train_siw": siw, "train_baseline": SIZES, "evaluate": evaluate}
    )
    write_store(workdir / "data/photos/ffhq", 6, photos=True, labels=False, held_out=2)
    write_store(workdir / "data/labels/ffhq", 6, photos=False, labels=True, held_out=2)
    torch.manual_seed(0)
    config = ParserConfig(arch="unet", size=16, width=4)
    save_parser(paths.PHOTO_PARSER, FaceParser(config))
    return workdir


def run(method: str, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train_baseline", "--method", method])
    train_baseline.main()


@pytest.mark.parametrize("method", ["stylegan2", "sean"])
def test_a_method_is_trained_and_scored(project, monkeypatch, method):
    other = project / ".work/train_baseline/other"
    other.mkdir(parents=True)
    run(method, monkeypatch)
    painter = load_painter(project / f"models/baselines/{method}.pt")
    w = painter.map_styles(painter.sample_z(1, torch.Generator().manual_seed(0)))
    assert painter.paint(np.ones((1, 16, 16), np.uint8), w).shape == (1, 3, 16, 16)
    pictures = np.asarray(Image.open(project / f"data/baselines/{method}/samples.png"))
    assert pictures.shape == (3 * 16, 3 * 16, 3)
    lines = (project / f"plots/train_baseline_{method}.csv").read_text().splitlines()
    assert lines[0].startswith("kimg,") and len(lines) == 3
    scores = (project / f"plots/train_baseline_{method}_scores.csv").read_text().splitlines()
    assert scores[0] == "kimg,running_fd_lite0,running_fd_lite0_floor" and len(scores) == 2
    figures = json.loads((project / f"metrics/all/train_baseline/{method}.json").read_text())
    assert figures["kimg"] == pytest.approx(0.008) and figures["n_a_side"] == 2
    assert {"fd_lite0", "fd_lite0_floor", "fd_parser", "kd_lite0", "control_miou"} <= figures.keys()
    few = json.loads((project / f"metrics/train_baseline/{method}.json").read_text())
    assert few == {f"{method}_control": figures["control_miou"], f"{method}_fd_lite0": figures["fd_lite0"]}
    # Its own states are of no use any more; those of others are.
    assert not (project / f".work/train_baseline/{method}").exists() and other.exists()


def test_only_methods_that_there_are_can_be_listed():
    path = ROOT / "params.yaml"
    document = yaml.safe_load(path.read_text())
    assert stage_params.baselines_of(document, path) == []
    assert stage_params.baselines_of({"baselines": ["sean", "spade"]}, path) == ["sean", "spade"]
    for wrong in (["spode"], ["spade", "spade"], "spade", None):
        with pytest.raises(ConfigError, match="baselines"):
            stage_params.baselines_of({"baselines": wrong}, path)
