"""Views that don't fit into memory: in files, read as steps need them, and trained on all the same."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
import torch

from sofgan.files import write_npz
from sofgan.sof import mapped_views
from sofgan.sof.config import RaySampling
from sofgan.sof.data import RayBatches, RaySampler
from sofgan.sof.mapped_views import forget_views, open_views
from sofgan.sof.pixel_density import border_mask
from sofgan.sof.train import train_sof
from sofgan.sof.view_set import ViewsError, ViewSet, count_views, read_views, view_files


@pytest.fixture
def files(views_folder):
    return view_files(views_folder, ["synthetic"])


@pytest.fixture
def mapped(files, tmp_path):
    return open_views(files, ["a"], 0.0, tmp_path / "views")


def test_what_fits_into_the_limit_is_in_memory_and_the_rest_in_files(files, tmp_path):
    need = 32 * 32**2 * 4  # views, pixels, bytes
    assert not open_views(files, ["a"], need / 1e9, tmp_path / "views").mapped
    assert not (tmp_path / "views").exists()
    assert open_views(files, ["a"], (need - 1) / 1e9, tmp_path / "views").mapped
    assert count_views(files[0]) == (8, 32)


def test_mapped_views_are_the_same(mapped, files):
    plain = read_views(files)
    assert mapped.names == plain.names and mapped.mapped
    for name in ("labels", "depth", "cam2world", "intrinsics", "instance", "held_out"):
        assert torch.equal(getattr(mapped, name), getattr(plain, name)), name


def test_files_are_made_once_and_of_other_views_anew(files, tmp_path, monkeypatch):
    folder, made = tmp_path / "views", []
    write = mapped_views._write
    monkeypatch.setattr(mapped_views, "_write", lambda *a: (made.append(1), write(*a)))
    for _ in range(2):
        open_views(files, ["a"], 0.0, folder)
    assert len(made) == 1
    open_views(files, ["b"], 0.0, folder)  # Another content under the same names.
    assert len(made) == 2 and len(list(folder.iterdir())) == 1
    forget_views(folder)
    assert not folder.exists()
    with pytest.raises(ViewsError, match="no view files"):
        open_views([], [], 0.0, folder)


def test_rays_of_mapped_views_are_those_of_views_in_memory(mapped, files):
    plain = RaySampler(read_views(files), RaySampling())
    lazy = RaySampler(mapped, RaySampling())
    assert lazy.density is None and plain.density is not None
    batches = [
        sampler.draw(torch.tensor([2, 0]), 3, 40, torch.Generator().manual_seed(5))
        for sampler in (plain, lazy)
    ]
    for name in ("labels", "depth", "weights", "instances"):
        assert torch.equal(*(getattr(batch, name) for batch in batches)), name
    assert torch.equal(batches[0].rays.directions, batches[1].rays.directions)
    # Of a set that has void somewhere, views that have none are judged as ever.
    assert torch.equal(border_mask(mapped.labels, True), border_mask(mapped.labels))


def test_steps_read_ahead_are_those_drawn_in_turn(mapped):
    sampler = RaySampler(mapped, RaySampling())
    ahead = RayBatches(sampler, lambda step: torch.tensor([step % 4]), 2, 8, 7, 4)
    seen = [ahead(step) for step in (0, 1, 3)]  # With a leap, as after a resume.
    assert ahead.next is None
    for step, (batch, generator) in zip((0, 1, 3), seen):
        one = RayBatches(sampler, lambda step: torch.tensor([step % 4]), 2, 8, 7, 4)
        again, same = one(step)
        assert torch.equal(batch.labels, again.labels) and torch.equal(batch.depth, again.depth)
        assert torch.equal(generator.get_state(), same.get_state())
    assert not torch.equal(seen[0][0].depth, seen[1][0].depth)


def test_a_training_reads_views_by_the_step_and_ends_in_the_same_bytes(
    mapped, files, tiny_training, monkeypatch
):
    """Views are neither copied as a whole nor brought to the device."""

    def whole(self, device):
        raise AssertionError("all views at once")

    monkeypatch.setattr(ViewSet, "to", whole)
    config = dataclasses.replace(tiny_training, steps=4, validate_every_steps=4, points_only_share=0.5)
    models = [train_sof(views, config, 0, "cpu")[0].state_dict() for views in (read_views(files), mapped)]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_reading_takes_the_memory_of_one_file_where_views_are_mapped(tmp_path):
    count, size, files = 24, 64, []
    rng = np.random.default_rng(0)
    for index in range(8):
        files.append(tmp_path / f"b/{index}.npz")
        write_npz(
            files[-1],
            labels=rng.integers(0, 17, (count, size, size), dtype=np.uint8),
            depth=np.zeros((count, size, size), np.float16),
            cam2world=np.zeros((count, 4, 4), np.float32),
            intrinsics=np.eye(3, dtype=np.float32),
            split=np.zeros(count, np.uint8),
        )
    one = count * size**2 * 3

    def peak(limit: float) -> int:
        tracemalloc.start()
        views = open_views(files, [str(limit)], limit, tmp_path / "mapped")
        assert len(views.labels) == 8 * count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(0.0) < 4 * one
    # In memory all are there once, not twice as where parts are joined.
    assert 8 * one < peak(1.0) < 12 * one
