import tracemalloc

import numpy as np
import pytest
import torch

from sofgan.errors import InputError
from sofgan.labels import L_NOSE, NUM_CLASSES, R_NOSE, mirror
from sofgan.siw.data import (
    ArraySource,
    Batches,
    Crops,
    LazySource,
    Sources,
    crop_labels,
    crop_photos,
    draw_crops,
    open_source,
    shares_of,
)
from tests.sofgan.siw.heads import write_heads


def whole(batch, flipped=False):
    return Crops(np.zeros(batch), np.zeros(batch), np.ones(batch), np.full(batch, flipped))


@pytest.fixture
def make(tiny_training):
    """Makes batches; changes are fields of the configuration."""

    def batches(photos, maps, seed=0, photo_labels=None, photo_shares=None, **changes):
        if isinstance(maps, np.ndarray):
            maps = {"parsed": ArraySource(maps)}
        config = tiny_training(**{"scale_max": 1.7, **changes})
        if photo_labels is not None:
            photo_labels = ArraySource(photo_labels)
        return Batches(
            config, Sources(ArraySource(photos), maps, photo_labels, photo_shares=photo_shares), seed
        )

    return batches


def test_windows_lie_inside_and_are_mirrored_half_the_time():
    crops = draw_crops(4000, 1.7, True, np.random.default_rng(0))
    assert crops.side.min() >= 1 / 1.7 and crops.side.max() <= 1
    assert min(crops.left.min(), crops.top.min()) >= 0
    assert max((crops.left + crops.side).max(), (crops.top + crops.side).max()) <= 1 + 1e-9
    assert 0.45 < crops.mirror.mean() < 0.55
    assert not draw_crops(100, 1.0, False, np.random.default_rng(0)).mirror.any()


def test_an_uncropped_photo_is_itself(photos):
    cut = crop_photos(photos, whole(6), 32)
    expected = torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 127.5 - 1
    torch.testing.assert_close(cut, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(crop_photos(photos, whole(6, True), 32), expected.flip(3), atol=1e-4, rtol=0)


def test_half_size_is_the_mean_of_two_by_two_pixels(photos):
    cut = crop_photos(photos, whole(6), 16)
    expected = torch.nn.functional.avg_pool2d(crop_photos(photos, whole(6), 32), 2)
    torch.testing.assert_close(cut, expected, atol=1e-4, rtol=0)


def test_small_pictures_are_means_of_areas():
    """A photo four times, and one three times, as large as what is cut."""
    photos = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    plain = torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 127.5 - 1
    cut = crop_photos(photos, whole(2), 32)
    torch.testing.assert_close(cut, torch.nn.functional.avg_pool2d(plain, 4), atol=1e-4, rtol=0)
    thirds = torch.nn.functional.avg_pool2d(plain[..., :96, :96], 3)
    cut = crop_photos(photos[:, :96, :96], whole(2), 32)
    torch.testing.assert_close(cut, thirds, atol=1e-4, rtol=0)
    windows = Crops(np.array([0.25]), np.array([0.5]), np.array([0.5]), np.array([True]))
    expected = torch.nn.functional.avg_pool2d(plain[:1, :, 64:, 32:96].flip(3), 4)
    assert (crop_photos(photos[:1], windows, 16) - expected).abs().mean() < 0.05  # of 0.5 without means


def test_the_host_computes_the_axes_of_windows_alone():
    photos, crops = np.zeros((4, 256, 256, 3), np.uint8), draw_crops(4, 1.7, True, np.random.default_rng(0))
    crop_photos(photos, crops, 256)
    tracemalloc.start()
    cut = crop_photos(photos, crops, 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Places in float64, made by numpy, would be 4 MB and more.
    assert cut.shape == (4, 3, 256, 256) and peak < 2e5


def test_what_goes_to_a_gpu_is_pinned_by_the_thread_that_reads(
    tiny_training, photos, maps, monkeypatch, tmp_path
):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self.shape) or self)
    sources, heads = {"parsed": ArraySource(maps)}, write_heads(tmp_path / "heads", size=32)
    config = tiny_training(consistency_rate=1.0, consistency_every=2)
    for device, counts in (("cpu", (0, 0)), ("cuda", (7, 10))):
        made = Sources(ArraySource(photos[:5]), sources, ArraySource(maps), heads)
        batches = Batches(config, made, 0, device)
        for step, count in enumerate(counts):
            found = batches._read(step)
            assert len(pinned) == count and found[0].shape == (4, 32, 32, 3) and found[3].shape == (4, 16, 16)
    assert pinned[3:7] == [(2, 2, 16, 16), (2, 2, 32, 32), (2, 2, 4, 4), (2, 2, 3, 3)]


def test_mirrored_maps_swap_the_halves_of_the_nose(maps):
    maps[0, :4, :4], maps[0, :4, 4:8] = R_NOSE, L_NOSE
    np.testing.assert_array_equal(crop_labels(maps, whole(5), 32), maps)
    flipped = crop_labels(maps, whole(5, True), 32)
    np.testing.assert_array_equal(flipped, mirror(maps))
    assert (flipped[0, :4, -4:] == L_NOSE).all() and (flipped[0, :4, -8:-4] == R_NOSE).all()


def test_photo_and_map_windows_agree_on_where_they_cut():
    """The same window of a picture and of its classes shows the same thing."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 2, (3, 8, 8), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    photos = np.repeat(maps[..., None] * 255, 3, 3).astype(np.uint8)
    crops = draw_crops(3, 1.7, True, rng)
    cut = crop_photos(photos, crops, 32)[:, 0].numpy() > 0
    assert (cut == (crop_labels(maps, crops, 32) == 1)).mean() > 0.97


def test_a_batch_depends_on_seed_and_step_only(make, photos, maps):
    batches = make(photos, maps)
    first = [batches(step) for step in range(3)]
    again = make(photos, maps)
    for step in (2, 0, 1):
        other = again(step)
        assert torch.equal(other.photos, first[step].photos) and torch.equal(other.labels, first[step].labels)
    assert not torch.equal(make(photos, maps, seed=1)(0).photos, first[0].photos)
    assert first[0].labels.shape == (1, 4, 16, 16) and first[0].labels.max() < NUM_CLASSES


def test_photos_and_maps_are_drawn_apart(make):
    """Pictures and maps of equal number must not become pairs."""
    count = 50
    photos = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None] * 5, (count, 4, 4, 3)
    ).copy()
    maps = np.broadcast_to((np.arange(count) % 17).astype(np.uint8)[:, None, None], (count, 4, 4)).copy()
    batches = make(photos, maps, batch=16)
    pairs = []
    for step in range(20):
        batch = batches(step)
        numbers = ((batch.photos[:, 0, 0, 0] + 1) * 127.5 / 5).round().long() % 17
        pairs.append((numbers == batch.labels[0, :, 0, 0]).float().mean().item())
    assert np.mean(pairs) < 0.2


def test_photos_bring_their_own_maps_cut_alike(make):
    """A photo whose red is its class times 15, and its map, through crop and mirror."""
    labels = np.random.default_rng(0).integers(0, 17, (9, 4, 4), dtype=np.uint8)
    labels[(labels == R_NOSE) | (labels == L_NOSE)] = 0  # These swap where they are mirrored.
    labels = labels.repeat(16, 1).repeat(16, 2)
    photos = np.repeat(labels[..., None] * 15, 3, 3)
    batch = make(photos, labels, photo_labels=labels, batch=20, generator={"label_size": 16})(3)
    shown = (batch.photos[:, 0] + 1) * 127.5 / 15
    assert ((shown - batch.photo_labels).abs() < 0.1).float().mean() > 0.7  # but for pixels on borders
    assert not torch.equal(batch.photo_labels, batch.labels[0])
    assert make(photos, labels)(0).photo_labels is None


def test_pictures_grow(make, photos, maps):
    batches = make(photos, maps, growth=((8, 0.375),))
    sizes = [tuple(batches(step).photos.shape[2:]) for step in range(5)]
    assert sizes == [(8, 8)] * 3 + [(16, 16)] * 2
    assert batches(0).labels.shape[2:] == (16, 16)


def test_maps_come_in_their_proportions(make, photos):
    sources = {
        name: np.full((3, 8, 8), i, np.uint8) for i, name in enumerate(("parsed", "celebamask", "sof"))
    }
    sources = {name: ArraySource(maps) for name, maps in sources.items()}
    shares = {"parsed": 1.0, "celebamask": 3.0, "sof": 0.0}
    batches = make(photos, sources, map_proportions=shares, batch=40)
    shares = (
        np.bincount(np.concatenate([batches(i).labels[0, :, 0, 0].numpy() for i in range(20)]), minlength=3)
        / 800
    )
    assert abs(shares[0] - 0.25) < 0.05 and abs(shares[1] - 0.75) < 0.05 and shares[2] == 0


def test_a_share_without_maps_and_bad_sources_are_refused(make, photos, maps):
    with pytest.raises(ValueError, match="'sof'"):
        make(photos, maps, map_proportions={"sof": 1.0})
    with pytest.raises(ValueError, match="6 photos have 5"):
        make(photos, maps, photo_labels=maps)
    with pytest.raises(ValueError, match="uint8"):
        ArraySource(photos.astype(np.float32))
    with pytest.raises(ValueError, match="no photos or label maps are left to train on"):
        open_source(0, lambda i: photos[i], 1, 1.0)


def test_large_sets_are_read_when_needed(photos):
    small = open_source(6, lambda i: photos[i], 2, 1.0)
    large = open_source(6, lambda i: photos[i], 2, 1e-9)
    assert isinstance(small, ArraySource) and isinstance(large, LazySource)
    places = np.array([3, 0, 3])
    np.testing.assert_array_equal(small.fetch(places), large.fetch(places))


def test_scales_are_drawn_evenly_and_windows_anywhere_inside():
    crops = draw_crops(8000, 1.8, True, np.random.default_rng(0))
    counts, _ = np.histogram(1 / crops.side, bins=4, range=(1.0, 1.8))
    assert counts.sum() == 8000 and counts.min() > 1850
    for edge in (crops.left, crops.top):
        counts, _ = np.histogram(edge / (1 - crops.side), bins=4, range=(0, 1))
        assert counts.min() > 1850


def test_folders_have_their_shares_of_photos(make):
    """Photos of one brightness a folder: a few of one come as often as is asked, all others alike."""
    folders = ["few"] * 2 + ["many"] * 20 + ["other"] * 10
    brightness = {"few": 250, "many": 100, "other": 10}
    photos = np.stack([np.full((16, 16, 3), brightness[name], np.uint8) for name in folders])
    shares = shares_of(folders, {"few": 0.5})
    assert shares.sum() == pytest.approx(1) and shares[:2].tolist() == [0.25, 0.25]
    batches = make(photos, photos[..., 0] % 17, photo_shares=shares, batch=100)
    seen = torch.cat([batches(step).photos[:, 0, 0, 0] for step in range(10)])
    values = (seen * 127.5 + 127.5).round().tolist()
    assert values.count(250) / 1000 == pytest.approx(0.5, abs=0.05)
    assert values.count(100) / 1000 == pytest.approx(1 / 3, abs=0.05)
    again = make(photos, photos[..., 0] % 17, photo_shares=shares, batch=100)
    assert torch.equal(again(3).photos, batches(3).photos)
    assert shares_of(folders, {}) is None
    with pytest.raises(InputError, match="gives others a share, but no photo.*few, many, other"):
        shares_of(folders, {"others": 0.5})
    with pytest.raises(InputError, match="add up to 0.9, but all photos lie in these folders"):
        shares_of(["a", "b"], {"a": 0.5, "b": 0.4})
    with pytest.raises(ValueError, match="at most"):
        make(photos, photos[..., 0] % 17, photo_proportions={"few": 0.6, "many": 0.5})
