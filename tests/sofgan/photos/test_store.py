import multiprocessing
import pickle

import numpy as np
import pytest

from sofgan.photos.decoding import decode_labels
from sofgan.photos.store import (
    HELD_OUT,
    TRAIN,
    PhotoStore,
    PhotoStoreWriter,
    StoreError,
    held_out,
)


def _records(count=11):
    generator = np.random.default_rng(0)
    for i in range(count):
        labels = generator.integers(0, 17, (6, 8), dtype=np.uint8) if i % 3 else None
        yield f"a/{i}", generator.bytes(50 + 7 * i), labels, i % 2


def _write(path, shard_photos=4):
    with PhotoStoreWriter(path, shard_photos) as writer:
        for record in _records():
            writer.add(*record)
    return path


def test_round_trip_in_any_order(tmp_path):
    store = PhotoStore(_write(tmp_path / "store"))
    records = list(_records())
    assert len(store) == len(records) == 11
    assert len(list((tmp_path / "store").glob("*.arrow"))) == 3
    for i in [10, 0, 3, 4, 7, 8, 1, -1, -11]:
        key, photo, labels, split = records[i]
        found = store[i]
        assert (found.key, found.bytes, found.split) == (key, photo, split) and store.key(i) == key
        if labels is None:
            assert found.labels is None
            with pytest.raises(StoreError, match="no label map"):
                store.labels(i)
        else:
            assert (store.labels(i) == labels).all() and (decode_labels(found.labels) == labels).all()
    assert store.keys() == [record[0] for record in records]
    assert store.splits().tolist() == [record[3] for record in records]
    assert not store.has_labels()
    with pytest.raises(IndexError):
        store[11]


def test_equal_records_are_equal_bytes(tmp_path):
    one, two = _write(tmp_path / "one"), _write(tmp_path / "two")
    files = sorted(file.name for file in one.iterdir())
    assert files == sorted(file.name for file in two.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)


def test_large_records_share_a_shard_in_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("sofgan.photos.store._BATCH_BYTES", 120)
    store = PhotoStore(_write(tmp_path / "store", 100))
    assert len(list((tmp_path / "store").glob("*.arrow"))) == 1
    assert [store[i].bytes for i in range(11)] == [record[1] for record in _records()]
    assert store.keys() == [record[0] for record in _records()]


def _read_share(store, start, queue):
    queue.put((start, [store[i].bytes for i in range(start, len(store), 3)]))


def test_several_processes_read(tmp_path):
    store = PhotoStore(_write(tmp_path / "store"))
    store[0]  # The open memory map must not travel.
    assert pickle.loads(pickle.dumps(store))[5].key == "a/5"
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    readers = [context.Process(target=_read_share, args=(store, i, queue)) for i in range(3)]
    for reader in readers:
        reader.start()
    found = dict(queue.get(timeout=30) for _ in readers)
    for reader in readers:
        reader.join()
    records = [record[1] for record in _records()]
    assert all(found[i] == records[i::3] for i in range(3))


def test_damage_is_named(tmp_path):
    path = _write(tmp_path / "store")
    shard = path / "photos-00001.arrow"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-40])
    with pytest.raises(StoreError, match="photos-00001.arrow has .* truncated"):
        PhotoStore(path)
    shard.write_bytes(whole[:-40] + b"\0" * 40)
    with pytest.raises(StoreError, match="photos-00001.arrow is damaged"):
        PhotoStore(path)[5]
    shard.unlink()
    with pytest.raises(StoreError, match="photos-00001.arrow is missing"):
        PhotoStore(path)
    with pytest.raises(StoreError, match="no photo store"):
        PhotoStore(tmp_path)


def test_a_failed_write_leaves_the_old_store(tmp_path):
    path = _write(tmp_path / "store")
    with pytest.raises(StoreError, match="two records"), PhotoStoreWriter(path) as writer:
        writer.add("x", b"1")
        writer.add("x", b"2")
    assert len(PhotoStore(path)) == 11
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


def test_an_empty_store_and_labels_alone(tmp_path):
    with PhotoStoreWriter(tmp_path / "empty"):
        pass
    assert len(PhotoStore(tmp_path / "empty")) == 0 and PhotoStore(tmp_path / "empty").keys() == []
    with PhotoStoreWriter(tmp_path / "labels") as writer:
        writer.add("k", labels=np.full((4, 4), 16, np.uint8))
    store = PhotoStore(tmp_path / "labels")
    assert store.has_labels() and (store.labels(0, 2) == 16).all()
    with pytest.raises(StoreError, match="no photo"):
        store.image(0)


def test_held_out_share_is_by_key_and_about_right():
    splits = [held_out(f"{i:05d}", 0.1) for i in range(4000)]
    assert splits == [held_out(f"{i:05d}", 0.1) for i in range(4000)]
    assert 330 < sum(splits) < 470 and set(splits) == {TRAIN, HELD_OUT}
    # A larger share holds out the same ones and more.
    assert all(held_out(f"{i:05d}", 0.3) >= split for i, split in enumerate(splits))
