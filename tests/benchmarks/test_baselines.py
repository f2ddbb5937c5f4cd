"""The benchmark of the baselines goes on where it was stopped, and says what it found."""

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import baselines, harness
from sofgan.baselines.config import TrainBaseline
from tests.sofgan.siw.conftest import tiny_training

__all__ = ["tiny_training"]
SIZES = TrainBaseline(
    z_dim=8, spade_hidden=8, style_dim=8, reference_photos=2, residual_blocks=1, patch_scales=1, patch_layers=3,
    patch_channels=8, patch_channel_max=16, perceptual_size=32, rates=1.0,
)  # fmt: skip


class Exam:
    """Scores that tell painters apart; the look after so many ends in an interrupt."""

    count = 2

    def __init__(self, most: int):
        self.most = most

    def score(self, painter, file: Path) -> dict[str, float]:
        if self.most == 0:
            raise KeyboardInterrupt
        self.most -= 1
        total = sum(float(p.abs().sum()) for p in painter.generator.parameters())
        return dict.fromkeys(baselines.SCORES, total)


@pytest.mark.parametrize("method", ["ours", "stylegan2", "spade"])
def test_a_stopped_training_goes_on_with_the_scores_of_its_looks(
    method, tiny_training, tmp_path, monkeypatch
):
    block = harness.block
    monkeypatch.setattr(
        harness, "block", lambda name, *rest: SIZES if name == "train_baseline" else block(name, *rest)
    )
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 17, (6, 32, 32), dtype=np.uint8)
    project = baselines.Project(Path(), photos, labels, np.arange(6) < 2, "these")
    config = tiny_training(kimg=0.012, report_every_kimg=0.004)

    def trained(out: Path, most: int) -> list[dict]:
        arguments = Namespace(out=out, device="cpu", rates=1.0)
        rows, _ = baselines.train(method, 0, config, project, Exam(most), arguments)
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    whole = trained(tmp_path / "whole", 3)
    assert [row["kimg"] for row in whole] == [0.004, 0.008, 0.012]
    assert len({row["fd_lite0"] for row in whole}) == 3
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", 1)
    assert trained(tmp_path / "cut", 2) == whole
    assert trained(tmp_path / "cut", 0) == whole  # It is done: nothing is trained or scored again.


def test_the_papers_recipe_sees_the_same_photos_in_its_own_way():
    config = baselines.configuration(0.2, 2)
    paper = baselines.papers(config)
    for name in ("kimg", "batch", "report_every_kimg", "map_proportions"):
        assert getattr(paper, name) == getattr(config, name)
    assert paper.generator.resolution == 64 and paper.generator.mixing == "output" != config.generator.mixing
    assert paper.discriminator.kind == "residual" and not paper.compares_views and paper.path_length_every


def test_looks_are_as_many_as_are_asked_for_and_the_last_is_at_the_end():
    config = baselines.configuration(0.2, 2)
    steps, every = round(1000 * config.kimg / config.batch), 1000 * config.report_every_kimg / config.batch
    assert steps == 25 and round(every) == 13
    assert config.generator.resolution == 64 and not config.needs_heads


def test_the_tables_have_means_and_intervals_over_seeds():
    def rows(seed: int, score: float, seconds: float) -> list[dict]:
        scores = dict.fromkeys(baselines.SCORES, score) | dict.fromkeys(baselines.FLOORS, 0.5)
        return [
            {"method": "ours", "seed": seed, "kimg": 1.0, "seconds": seconds, **dict.fromkeys(scores, 9.0)},
            {"method": "ours", "seed": seed, "kimg": 2.0, "seconds": seconds, **scores},
        ]

    exam = SimpleNamespace(count=7)
    text = baselines.tables({"ours": [rows(0, 2.0, 100.0), rows(1, 3.0, 50.0)]}, exam)
    # Student's of two values half apart: 12.7 times 0.5, below 0 cut off.
    assert "| ours | 9 (9 to 9) | 2.5 (0 to 8.85) |" in text
    assert "after 2 kimg, 7 pictures a side, 2 seed(s):" in text
    assert "| ours | 2.5 (0 to 8.85) | 2.5 (0 to 8.85) | 2.5 (0 to 8.85) | 10 to 20 |" in text
    assert "| held-out photos | 0.5 | 0.5 |  |  |" in text
