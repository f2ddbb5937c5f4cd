"""Conditions on disk: what is written is read, as much of it as is asked for; heads are the same wherever rendered."""

import pickle
import tracemalloc

import numpy as np
import pytest
import torch

from sofgan import cameras, runtime
from sofgan.pieces import Pieces
from sofgan.progress import Progress
from sofgan.siw import condition_shards, condition_store
from sofgan.siw.condition_store import (
    EVALUATION,
    TRAINING,
    Conditions,
    ConditionsError,
    contact_sheet,
    shards,
    write_index,
    write_shard,
)
from sofgan.siw.condition_views import HeadSampling, PortraitViews, render_sof_maps
from sofgan.siw.config import FramingConfig
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.portrait_poses import Poses
from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.model import new_model
from sofgan.sof.sof import Sof, SofFile, save_sof

FRAMING = Framing(25.0, 0.05, 7.7)
ANGLES = FramingConfig(
    cameras="uniform",
    yaw_balance=0.0,
    views_per_head=1,
    yaw_degrees=25.0,
    pitch_degrees=8.0,
    reference_maps=1,
    reference_heads=1,
)
VIEWS = PortraitViews(FRAMING, ANGLES, 16)


def write(folder, count, size=8, seed=0, views=1):
    """A store of `count` random maps to train on, `views` a head, and 2 to score by; returns what it keeps."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    sets, kept = {}, {}
    for name, number in ((TRAINING, count), (EVALUATION, 2)):
        labels = rng.integers(0, 17, (number, size, size), dtype=np.uint8)
        poses, codes = rng.normal(size=(number, 4, 4)), rng.normal(size=(number, 3))
        depth = rng.uniform(6, 8, labels.shape)
        parts = [(i, slice(rows.start, rows.stop)) for i, rows in enumerate(shards(number))]
        sets[name] = [
            write_shard(
                folder,
                name,
                i,
                labels[rows],
                depth[rows],
                Poses(poses[rows], poses[rows, :3, :3], codes[rows]),
                codes[rows],
            )
            for i, rows in parts
        ]
        kept[name] = labels, depth, poses
    write_index(folder, FRAMING, size, sets, views)
    return kept


def test_maps_are_read_by_number_over_all_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(condition_store, "SHARD_VIEWS", 3)
    kept = write(tmp_path / "a", 8)
    store = Conditions(tmp_path / "a")
    assert store.framing == FRAMING and store.size == 8
    maps = pickle.loads(pickle.dumps(store.maps(TRAINING)))
    assert len(maps) == 8 and len(store.maps(EVALUATION)) == 2
    index = np.array([7, 0, 2, 3, 7])
    np.testing.assert_array_equal(maps.fetch(index), kept[TRAINING][0][index])
    np.testing.assert_array_equal(store.maps(EVALUATION).fetch(np.arange(2)), kept[EVALUATION][0])
    geometry = store.geometry(TRAINING, 2)
    np.testing.assert_allclose(geometry["depth"], kept[TRAINING][1][6:], rtol=1e-3)
    np.testing.assert_allclose(geometry["cam2world"], kept[TRAINING][2][6:], rtol=1e-6)
    assert contact_sheet(maps, 5, 3).shape == (16, 24, 3)
    with pytest.raises(IndexError):
        maps.fetch(np.array([8]))


def test_the_index_tells_stores_apart_by_what_is_in_them(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / name, 2, seed=seed)
    a, b, c = (Conditions(tmp_path / name).index_file.read_bytes() for name in "abc")
    assert a == b != c


def test_no_more_is_in_memory_than_was_asked_for(tmp_path):
    size, count = 64, 200
    write(tmp_path / "a", count, size)
    tracemalloc.start()
    maps = Conditions(tmp_path / "a").maps(TRAINING)
    for start in range(0, count - 4, 4):
        maps.fetch(np.arange(start, start + 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * size**2 + 60_000 < count * size**2 / 7


def test_damage_is_named(tmp_path):
    with pytest.raises(ConditionsError, match="sample_conditions"):
        Conditions(tmp_path)
    write(tmp_path / "a", 2)
    file = tmp_path / "a/training-00000.npy"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ConditionsError, match="training-00000.npy.*truncated"):
        Conditions(tmp_path / "a").maps(TRAINING)
    file.unlink()
    with pytest.raises(ConditionsError, match="training-00000.npy is missing"):
        Conditions(tmp_path / "a").maps(TRAINING)


@pytest.mark.parametrize("views", [2, 3])
def test_pairs_are_two_views_of_one_head_any_two_of_any_head(tmp_path, monkeypatch, views):
    """Over all shards, of which one may end within a head; views that are no whole head are left out."""
    monkeypatch.setattr(condition_store, "SHARD_VIEWS", 4)
    count = 5 * views + 1
    labels, depth, poses = write(tmp_path / "a", count, views=views)[TRAINING]
    heads = pickle.loads(pickle.dumps(Conditions(tmp_path / "a").heads()))
    assert (len(heads), heads.size) == (5, 8)
    drawn = heads.draw(900, np.random.default_rng(0))
    assert drawn.labels.shape == (900, 2, 8, 8) and drawn.depth.dtype == np.float16
    numbers = np.array(
        [[int(np.flatnonzero((labels == view).all((1, 2)))[0]) for view in pair] for pair in drawn.labels]
    )
    np.testing.assert_allclose(drawn.depth, depth[numbers], rtol=1e-3)
    np.testing.assert_allclose(drawn.cam2world, poses[numbers], rtol=1e-6)
    np.testing.assert_allclose(drawn.intrinsics, poses[numbers][..., :3, :3], rtol=1e-6)
    assert (numbers[:, 0] // views == numbers[:, 1] // views).all() and numbers.max() < 5 * views
    pairs, times = np.unique(numbers, axis=0, return_counts=True)
    assert len(pairs) == 5 * views * (views - 1) and (pairs[:, 0] != pairs[:, 1]).all()
    assert times.min() > 0.4 * 900 / len(pairs)  # in either order, as often as any other
    # Some of them are those of all.
    some = heads.draw(900, np.random.default_rng(0), slice(100, 103))
    for mine, whole in (
        (some.labels, drawn.labels),
        (some.depth, drawn.depth),
        (some.cam2world, drawn.cam2world),
    ):
        np.testing.assert_array_equal(mine, whole[100:103])


@pytest.mark.parametrize(("count", "views"), [(4, 1), (1, 2), (0, 2)])
def test_heads_with_one_view_or_none_are_no_pairs(tmp_path, count, views):
    write(tmp_path / "a", count, views=views)
    with pytest.raises(
        ConditionsError, match=f"of {views} views each.*views_per_head to 2.*consistency_every"
    ):
        Conditions(tmp_path / "a").heads()


def test_damaged_depth_is_named_and_labels_do_not_need_it(tmp_path):
    write(tmp_path / "a", 4, views=2)
    file = tmp_path / "a/training-00000.depth.npy"
    heads, whole = Conditions(tmp_path / "a").heads(), file.read_bytes()
    file.write_bytes(whole[:-8])
    with pytest.raises(ConditionsError, match="training-00000.depth.npy.*truncated"):
        Conditions(tmp_path / "a").heads()
    with pytest.raises(ConditionsError, match="training-00000.depth.npy is truncated"):
        heads.draw(20, np.random.default_rng(0))
    file.unlink()
    with pytest.raises(ConditionsError, match="training-00000.depth.npy is missing"):
        Conditions(tmp_path / "a").heads()
    assert len(Conditions(tmp_path / "a").maps(TRAINING)) == 4


def test_no_more_depth_is_in_memory_than_was_asked_for(tmp_path):
    size, count = 64, 200
    write(tmp_path / "a", count, size, views=2)
    tracemalloc.start()
    heads, draws = Conditions(tmp_path / "a").heads(), np.random.default_rng(0)
    for _ in range(20):
        heads.draw(2, draws)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Labels and depth of four views, and cameras of all while they are put together.
    assert peak < 20 * size**2 + 4 * 25 * 4 * count + 60_000 < count * 2 * size**2 / 7


def field_file(path):
    """A field that knows nothing, seen from afar, in a file."""
    field = FieldConfig(
        code_size=8, channels=2, base_size=8, basis_size=4, basis=2, local_basis=0, decoder_hidden=8,
        background_bias=0.0,
    )  # fmt: skip
    model = new_model(SofConfig(field, MarcherConfig()), 5, 1.0, 0)
    poses = torch.from_numpy(cameras.orbit(np.zeros(1), np.zeros(1), 7.7)).float()
    intrinsics = torch.from_numpy(cameras.intrinsics_from_fov(15.0)).float()
    save_sof(path, Sof(model, list("abcde"), [1] * 5, {}, poses, intrinsics))
    return SofFile(path, "digest")


def test_shards_hold_the_views_that_one_process_renders(tmp_path, monkeypatch):
    monkeypatch.setattr(condition_store, "SHARD_VIEWS", 2)
    field, told, pieces = field_file(tmp_path / "sof.pt"), [], []

    def workers(task, items):
        task = pickle.loads(pickle.dumps(task))  # As it travels to a worker.
        pieces.extend(len(views) for *_, views in items)
        return runtime.map_pieces(task, pickle.loads(pickle.dumps(items)))

    class Counts(Progress):
        def items(self, done, total, unit="items", note=""):
            told.append((done, total, unit))

    folder = tmp_path / "conditions"
    folder.mkdir()
    counts = {TRAINING: 5, EVALUATION: 3}
    condition_shards.write_conditions(
        field, HeadSampling(), VIEWS, counts, 3, Pieces(folder, workers, Counts())
    )
    store = Conditions(folder)
    assert pieces == [2, 2, 1, 2, 1] and told[-1] == (8, 8, "views")
    for name, count in counts.items():
        alone = render_sof_maps(field.load(), HeadSampling(), VIEWS, count, 3, purpose=name)
        np.testing.assert_array_equal(store.maps(name).fetch(np.arange(count)), alone)
    assert len(np.unique(alone)) > 2
    geometry = store.geometry(TRAINING, 1)
    assert geometry["depth"].shape == (2, 16, 16) and geometry["codes"].shape == (2, 8)


def test_no_maps_to_train_on_are_no_fault(tmp_path):
    field, folder = field_file(tmp_path / "sof.pt"), tmp_path / "conditions"
    folder.mkdir()
    counts = {TRAINING: 0, EVALUATION: 1}
    condition_shards.write_conditions(field, HeadSampling(), VIEWS, counts, 3, Pieces(folder))
    assert [len(Conditions(folder).maps(name)) for name in counts] == [0, 1]


def test_many_heads_are_judged_in_pieces_by_the_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(condition_shards, "FEWEST_SPREAD", 6)
    monkeypatch.setattr(condition_shards, "JUDGED_TOGETHER", 4)
    monkeypatch.setattr(
        condition_shards, "judge_codes",
        lambda sof, reference, codes, views: (codes[:, 0].numpy(), np.ones(len(codes))),
    )  # fmt: skip
    field, folder, sizes = field_file(tmp_path / "sof.pt"), tmp_path / "conditions", []
    folder.mkdir()

    def workers(task, items):
        sizes.append([len(item) if isinstance(item, np.ndarray) else len(item[2]) for item in items])
        return map(task, items)

    counts = {TRAINING: 7, EVALUATION: 3}
    condition_shards.write_conditions(
        field, HeadSampling(reference="a reference"), VIEWS, counts, 3, Pieces(folder, workers)
    )
    assert sizes == [[4, 4, 2], [7, 3]]
