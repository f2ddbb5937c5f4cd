"""Features of many pictures: the same whoever works them off, in memory that does not grow with their number."""

import io
import tracemalloc
from functools import lru_cache, partial

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.evaluation import shards
from sofgan.evaluation.restyling import region_colors
from sofgan.evaluation.shards import Judges, SourceMaps, StoreMaps, painted_features, photo_features
from sofgan.photos.store import PhotoStore, PhotoStoreWriter
from sofgan.scores.features import NetworkFeatures
from sofgan.siw.data import ArraySource
from sofgan.siw.sheets import REGIONS

SIZE, COUNT = 96, 64


class Painter:
    """A generator that paints ids of classes as grey, brighter by its style."""

    device = torch.device("cpu")

    def sample_z(self, count, generator):
        return torch.rand((count, 1), generator=generator)

    def map_styles(self, z):
        return z

    def paint(self, labels, w, noise_seed):
        grey = torch.from_numpy(labels).float()[:, None] / 17 * w[:, :, None, None]
        return grey.expand(-1, 3, -1, -1) * 2 - 1


class Parser:
    def parse(self, images):
        return np.zeros((len(images), *images.shape[2:]), np.uint8)


@lru_cache
def loaded(judges):
    return Painter(), Parser(), [NetworkFeatures("fd_mean", lambda images: images.mean((2, 3)), 8)]


@pytest.fixture
def judges(monkeypatch):
    monkeypatch.setattr(shards, "_loaded", loaded)
    return Judges("siw", "parser", (), (), "", 4, "cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "store"
    rng = np.random.default_rng(0)
    with PhotoStoreWriter(path) as writer:
        for index in range(COUNT):
            content = io.BytesIO()
            Image.fromarray(np.full((SIZE, SIZE, 3), rng.integers(0, 256, 3), np.uint8)).save(content, "PNG")
            writer.add(str(index), content.getvalue(), np.full((SIZE, SIZE), index % 17, np.uint8))
    return PhotoStore(path)


def test_features_and_colors_are_those_of_the_photos(store, judges):
    indices = np.arange(3, 17)
    features, colors = photo_features(store, indices, 16, judges, maps=StoreMaps(store, indices, 16))
    pixels = np.stack([store.image(i, 16)[0, 0] for i in indices])  # of one colour each
    np.testing.assert_allclose(features["fd_mean"], pixels / 127.5 - 1, rtol=1e-5, atol=1e-6)
    for name, classes in REGIONS.items():
        shown = [row for row, index in enumerate(indices) if index % 17 in classes]
        np.testing.assert_allclose(colors[name], features["fd_mean"][shown], atol=1e-6)
    assert photo_features(store, indices, 16, judges)[1] == {}


def test_maps_are_painted_in_turn_each_time_in_a_style_of_its_own(store, judges):
    maps = StoreMaps(store, np.arange(5, 10), 16)
    features, seen = painted_features(maps, 13, 0, "a", judges)
    styles = (features["fd_mean"][:, 0] + 1) / 2 * 17 / np.array([5 + i % 5 for i in range(13)])
    assert len(set(styles.round(6))) == 13 and (styles > 0).all() and (styles < 1).all()
    assert seen.counts.sum() == 13 * 16 * 16
    source = ArraySource(np.stack([store.labels(i) for i in range(5, 10)]))
    stacked = SourceMaps(source, np.arange(5), 16)
    assert (painted_features(stacked, 13, 0, "a", judges)[0]["fd_mean"] == features["fd_mean"]).all()


def test_shards_of_several_batches_and_readers_ahead_change_no_bit(store, judges, monkeypatch):
    """As on GPUs, where a shard is some batches that threads read."""
    maps = StoreMaps(store, np.arange(20), 16)
    painted, _ = painted_features(maps, 37, 0, "a", judges)
    photos, _ = photo_features(store, np.arange(37), 16, judges)
    monkeypatch.setattr(Judges, "shards", lambda self, count: [range(12), range(12, 24), range(24, 37)])
    monkeypatch.setattr(Judges, "read", partial(_read_ahead, Judges.read))
    assert (painted_features(maps, 37, 0, "a", judges)[0]["fd_mean"] == painted["fd_mean"]).all()
    assert (photo_features(store, np.arange(37), 16, judges)[0]["fd_mean"] == photos["fd_mean"]).all()


def _read_ahead(original, function, items):
    from sofgan.parallel import ordered_map

    batch = []
    for result in ordered_map(function, items, 3):
        batch.append(result)
        if len(batch) == 4:
            yield batch
            batch = []
    if batch:
        yield batch


@pytest.mark.parametrize("kind", ["photos", "painted"])
def test_memory_does_not_grow_with_the_pictures(store, judges, kind):
    """Of four times as many pictures no more is kept than their features: 12 bytes each, of 28 thousand of a photo."""

    def peak(count: int) -> int:
        indices = np.arange(count)
        maps = StoreMaps(store, indices, SIZE)
        tracemalloc.start()
        if kind == "photos":
            photo_features(store, indices, SIZE, judges, maps=maps)
        else:
            painted_features(maps, count, 0, "a", judges)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(8)  # What is loaded once is loaded now.
    one_picture = SIZE * SIZE * (3 if kind == "photos" else 1)
    assert peak(COUNT) - peak(COUNT // 4) < 8 * one_picture


def test_a_shard_is_sent_its_own_part(store, judges):
    sent = []

    def elsewhere(task, items):
        sent.extend(items)
        return map(task, items)

    painted_features(
        SourceMaps(ArraySource(np.zeros((10, 8, 8), np.uint8)), np.arange(10), 8),
        10,
        0,
        "a",
        judges,
        elsewhere,
    )
    assert [len(maps) for _, maps in sent] == [4, 4, 2]
    sent.clear()
    photo_features(store, np.arange(10), 8, judges, elsewhere, maps=StoreMaps(store, np.arange(10), 8))
    assert [(indices.tolist(), maps.indices.tolist()) for indices, maps in sent] == [
        (list(range(i, min(i + 4, 10))),) * 2 for i in (0, 4, 8)
    ]


def test_colors_of_a_batch_without_a_region_are_none():
    colors = region_colors(torch.zeros(2, 3, 8, 8), np.zeros((2, 8, 8), np.uint8), REGIONS["hair"])
    assert colors.shape == (0, 3)
