"""Features of a set don't depend on threads, and are kept by what they are of."""

import numpy as np
import pytest
import torch

from sofgan import runtime
from sofgan.errors import InputError
from sofgan.evaluation.picture_sets import BATCH
from sofgan.evaluation.set_features import take_features


class Pictures:
    """Squares of one gray each, of several sizes, all but the seventh; how often they were read is counted."""

    def __init__(self, count: int, digest: str = "a"):
        self.name, self.digest, self.count, self.reads = "pictures", digest, count, 0

    def __len__(self):
        return self.count

    def read(self, rows, prepare):
        self.reads += 1
        return (
            [prepare(np.full((4 + row % 3,) * 2 + (3,), row, np.uint8)) for row in rows if row != 7],
            ["7: damaged"] * (7 in rows),
        )


class Means(torch.nn.Module):
    def __init__(self, name: str, size: int):
        super().__init__()
        self.name, self.size, self.dim = name, size, 3

    def forward(self, images):
        assert images.shape[-1] == self.size
        return images.mean((2, 3))


EXTRACTORS = [Means("fd_one", 4), Means("fd_two", 8)]


def test_features_are_of_each_picture_in_order_on_any_number_of_threads(workdir):
    found = {}
    for threads in (1, 2):
        runtime.use_cpu(threads)
        found[threads] = take_features(Pictures(3 * BATCH + 2), EXTRACTORS, None)
    grays = [row for row in range(3 * BATCH + 2) if row != 7]
    for one in found.values():
        assert one.damaged == ["7: damaged"] and set(one.features) == {"fd_one", "fd_two"}
        np.testing.assert_allclose((one.features["fd_one"][:, 0] + 1) * 127.5, grays, atol=1e-4)


def test_features_are_read_from_the_cache_where_all_that_decides_is_the_same(tmp_path):
    pictures = Pictures(20)
    first = take_features(pictures, EXTRACTORS, 6, cache=tmp_path)
    reads = pictures.reads
    again = take_features(pictures, EXTRACTORS, 6, cache=tmp_path)
    assert pictures.reads == reads and again.damaged == first.damaged
    for name, features in first.features.items():
        np.testing.assert_array_equal(again.features[name], features)
    assert len(list(tmp_path.iterdir())) == 2
    for other, size in ((Pictures(20), None), (Pictures(19), 6), (Pictures(20, "b"), 6)):
        take_features(other, EXTRACTORS, size, cache=tmp_path)
        assert other.reads
    assert len(list(tmp_path.iterdir())) == 8
    pictures.reads = 0
    take_features(pictures, [*EXTRACTORS, Means("fd_three", 4)], 6, cache=tmp_path)
    assert pictures.reads and len(list(tmp_path.iterdir())) == 9


def test_a_damaged_file_of_the_cache_is_told(tmp_path):
    pictures = Pictures(20)
    take_features(pictures, EXTRACTORS, None, cache=tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(InputError, match="is damaged: remove it"):
        take_features(pictures, EXTRACTORS, None, cache=tmp_path)


class Damaged(Pictures):
    def read(self, rows, prepare):
        return [], ["damaged"] * len(rows)


def test_pictures_none_of_which_can_be_read_have_no_features():
    found = take_features(Damaged(3), EXTRACTORS, None)
    assert found.features["fd_one"].shape == (0, 3) and len(found.damaged) == 3
