"""Painters are scored by held-out maps, against photos that were trained on, and the floor is that of real photos."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.evaluation import shards
from sofgan.evaluation.painters import HeldOutScores
from sofgan.evaluation.shards import Judges
from sofgan.images import to_network_range
from sofgan.labels import HAIR, SKIN
from sofgan.photos.store import PhotoStore, PhotoStoreWriter
from sofgan.scores.features import NetworkFeatures

SIDES = {"held-out": np.arange(2, 8), "training": np.arange(10, 16)}


class Parser:
    """Sees hair where it is bright and skin elsewhere."""

    def parse(self, images):
        return torch.where(images.mean(1) > 0, HAIR, SKIN).numpy().astype(np.uint8)


class Painter:
    """Paints pictures in turn, and keeps the styles that it was asked for."""

    def __init__(self, pictures: np.ndarray):
        self.pictures, self.resolution, self.styles = to_network_range(pictures), pictures.shape[1], []
        self.generator = SimpleNamespace(config=SimpleNamespace(label_size=2 * self.resolution))

    def sample_z(self, count, generator):
        return torch.randn((count, 4), generator=generator)

    def map_styles(self, z):
        return z

    def paint(self, labels, w, noise_seed):
        assert labels.shape[1:] == (2 * self.resolution, 2 * self.resolution)
        done = len(self.styles)
        self.styles += w[:, 0].tolist()
        return self.pictures[done : done + len(labels)]


@pytest.fixture
def store(tmp_path):
    """Photos of 8 pixels, dark above, and their maps: skin above, hair below."""
    rng = np.random.default_rng(0)
    labels = np.full((8, 8), SKIN, np.uint8)
    labels[4:] = HAIR
    with PhotoStoreWriter(tmp_path / "store") as writer:
        for index in range(16):
            picture = rng.integers(0, 120, (8, 8, 3), dtype=np.uint8)
            picture[4:] += 136
            content = io.BytesIO()
            Image.fromarray(picture).save(content, "PNG")
            writer.add(str(index), content.getvalue(), labels)
    return PhotoStore(tmp_path / "store")


@pytest.fixture
def scored(store, monkeypatch):
    """Figures of a painter."""
    scores = HeldOutScores("ffhq", store, store, SIDES, 3, 0.01, 0, {})
    judges = Judges("painter", "parser", (), (), "", 4, "cpu")
    reads = []
    features = NetworkFeatures("fd_mean", lambda images: images.mean((2, 3)), 8)
    monkeypatch.setattr(
        PhotoStore, "image", lambda *args, read=PhotoStore.image: reads.append(args[1]) or read(*args)
    )

    def score(painter: Painter) -> tuple[dict[str, float], list[int]]:
        monkeypatch.setattr(shards, "_loaded", lambda judges: (painter, Parser(), [features]))
        reads.clear()
        return scores.score(replace(judges)), list(reads)

    return score


def test_who_paints_the_held_out_photos_is_at_the_floor_and_others_are_not(store, scored):
    own = np.stack([store.image(int(index), 8) for index in SIDES["held-out"]])
    figures, reads = scored(Painter(own))
    assert set(reads) == {*SIDES["held-out"], *SIDES["training"]}
    assert figures["n_a_side"] == 6 and figures["control_pictures"] == 6
    assert figures["fd_mean"] == figures["fd_mean_floor"] > 0
    assert figures["control_miou"] == figures["control_miou_frequent"] == 1
    painter = Painter(np.stack([store.image(int(index), 8) for index in SIDES["training"]]))
    trained_on, _ = scored(painter)
    assert trained_on["fd_mean"] == pytest.approx(0, abs=1e-6) and len(set(painter.styles)) == 6
    dark, reads = scored(Painter(own // 4))
    assert dark["fd_mean"] > figures["fd_mean"] and dark["control_miou"] < 0.5
    assert reads == []  # Features of photos are those of the first time.
    assert dark["fd_mean_floor"] == figures["fd_mean_floor"]
