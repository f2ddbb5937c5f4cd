"""Views in memory: poses stay with their images; rays are drawn as asked and corrected for."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sofgan import cameras, labels
from sofgan.files import write_npz
from sofgan.sof.config import RaySampling
from sofgan.sof.data import RaySampler, instance_schedule, known_points
from sofgan.sof.pixel_density import border_mask, pixel_density
from sofgan.sof.rays import ball_interval
from sofgan.sof.view_set import ViewsError, instance_name, read_views, split_instances, view_files
from tests import scenes


@pytest.fixture(scope="module")
def views(views_folder):
    return read_views(view_files(views_folder, ["synthetic"]))


def test_files_are_read_in_order_with_all_that_they_hold(views, views_folder):
    assert views.names == [f"synthetic/head-{i:03d}" for i in range(4)]
    assert views.labels.shape == (32, 32, 32)
    assert views.held_out.sum() == 8
    second = np.load(views_folder / "synthetic/head-001.npz")
    mine = views.instance == 1
    assert torch.equal(views.labels[mine], torch.from_numpy(second["labels"]))
    assert torch.equal(views.cam2world[mine], torch.from_numpy(second["cam2world"]))


def test_held_out_instances_are_chosen_by_name():
    first = [Path(f"views/a/{i:03d}.npz") for i in range(40)]
    known, new = split_instances(first, 8, 0)
    assert len(new) == 8
    assert sorted([*known, *new]) == first
    assert known == sorted(known)
    assert split_instances(first[::-1], 8, 0)[1] == new[::-1]
    assert split_instances(first, 8, 1)[1] != new
    assert [instance_name(path) for path in first[:2]] == ["a/000", "a/001"]

    # Of another batch some may take places, but nobody who was trained on loses theirs.
    both = [*first, *(Path(f"views/b/{i:03d}.npz") for i in range(60))]
    later, held_out = split_instances(both, 8, 0)
    assert len(held_out) == 8
    assert set(known) < set(later)
    assert set(split_instances(both, 12, 0)[1]) > set(held_out)


def test_who_has_few_scans_trains_on_most_of_them():
    files = [Path(f"views/a/{i}.npz") for i in range(9)]
    assert len(split_instances(files, 8, 0)[1]) == 1
    assert split_instances(files[:4], 8, 0) == (files[:4], [])
    assert split_instances(files, 0, 0) == (files, [])


def test_drawn_rays_see_what_the_scene_holds_along_them(views):
    """Each drawn ray, cast anew through the known scene, shows the drawn label: image, pose, intrinsics and
    instance stay together through shuffling and subsetting."""
    order = torch.randperm(len(views.instance), generator=torch.Generator().manual_seed(3))
    shuffled = views.subset(order[torch.isin(views.instance[order], torch.tensor([0, 2, 3]))][:20])
    kept = dataclasses.replace(shuffled, held_out=torch.zeros_like(shuffled.held_out))
    counts = torch.bincount(kept.instance, minlength=4)
    assert counts[1] == 0
    kept = dataclasses.replace(
        kept,
        names=[views.names[i] for i in (0, 2, 3)],
        intrinsics=views.intrinsics[[0, 2, 3]],
        instance=torch.tensor([0, -1, 1, 2])[kept.instance],
    )
    sampler = RaySampler(kept, RaySampling(border_share=0, rare_share=0))
    batch = sampler.draw(torch.tensor([2, 0, 1]), 3, 40, torch.Generator().manual_seed(0))
    for row, head in enumerate((3, 0, 2)):
        parts = scenes.head_parts(head)
        origins, directions = batch.rays.origins[row].double(), batch.rays.directions[row].double()
        label = torch.tensor(
            [scenes.cast_ray(parts, o, d) for o, d in zip(origins.numpy(), directions.numpy())]
        )
        assert (label == batch.labels[row]).float().mean() > 0.97  # float16 depth and float32 poses at edges
        wrong_head = scenes.head_parts((head + 1) % 4)
        other = torch.tensor(
            [scenes.cast_ray(wrong_head, o, d) for o, d in zip(origins.numpy(), directions.numpy())]
        )
        assert (other == batch.labels[row]).float().mean() < 0.97
    surface = batch.rays.at(batch.depth)[batch.depth > 0]
    assert (surface.norm(dim=-1) < 1.01).all()


def test_held_out_views_are_never_drawn(views):
    sampler = RaySampler(views, RaySampling())
    held = views.cam2world[views.held_out][:, :3, 3]
    batch = sampler.draw(torch.arange(4), 6, 8, torch.Generator().manual_seed(1))
    origins = batch.rays.origins.reshape(-1, 3)
    assert torch.cdist(origins, held).min() > 1e-4
    assert len(torch.unique(batch.rays.origins[0].round(decimals=4), dim=0)) == 6  # six different views


def test_importance_weights_give_the_uniform_mean(views):
    """The corrected mean of any quantity over many drawn rays is its plain mean over pixels."""
    sampler = RaySampler(views, RaySampling(correction=1.0))
    batch = sampler.draw(torch.arange(4), 6, 4000, torch.Generator().manual_seed(0))
    training = views.labels[~views.held_out]
    shares = torch.bincount(training.flatten().int(), minlength=17) / training.numel()
    drawn = torch.bincount(batch.labels.flatten(), minlength=17) / batch.labels.numel()
    corrected = (
        torch.zeros(17).index_add_(0, batch.labels.flatten(), batch.weights.flatten()) / batch.labels.numel()
    )
    assert torch.allclose(corrected, shares, atol=0.006)
    rare = labels.NAMES.index("eye")
    assert drawn[rare] > 2 * shares[rare]
    assert drawn[0] < 0.8 * shares[0]


def test_density_follows_borders_and_rarity():
    maps = torch.zeros(1, 16, 16, dtype=torch.uint8)
    maps[:, :, 8:] = 1
    maps[:, 12:14, 12:14] = 3
    border = border_mask(maps)
    assert border[0, 0, 7]
    assert border[0, 0, 8]
    assert not border[0, 0, 6]
    density = pixel_density(maps, maps, RaySampling()).reshape(16, 16)
    assert density[12, 12] > density[0, 8] > density[0, 12] > 0  # a rare border, a border, plain
    flat = pixel_density(maps, maps, RaySampling(border_share=0, rare_share=0))
    assert (flat == flat[0, 0]).all()
    with pytest.raises(ValueError, match="more than 1"):
        pixel_density(maps, maps, RaySampling(border_share=0.8, rare_share=0.5))


def test_known_points_lie_before_and_behind_the_surface(views):
    sampling = RaySampling()
    sampler = RaySampler(views, sampling)
    batch = sampler.draw(torch.arange(4), 2, 50, torch.Generator().manual_seed(0))
    points, classes = known_points(batch, sampling, torch.Generator().manual_seed(0))
    assert points.shape == (4, 100, 6, 3)
    inside = ball_interval(batch.rays)[2]
    assert (points[inside].norm(dim=-1) < 1.05).all()
    depth = ((points - batch.rays.origins[:, :, None]) * batch.rays.directions[:, :, None]).sum(-1)
    depth = depth / (batch.rays.directions**2).sum(-1)[..., None]
    solid = batch.depth > 0
    assert (depth[..., :4][solid] < batch.depth[solid][:, None]).all()
    behind = depth[..., 4:][solid] - batch.depth[solid][:, None]
    assert ((behind > -1e-4) & (behind < sampling.surface_thickness + 1e-4)).all()
    assert (classes[..., :4] == 0).all()
    assert (classes[..., 4:][solid] == batch.labels[solid][:, None]).all()
    assert (classes[~solid] == 0).all()


def test_every_epoch_visits_every_instance_once():
    seen = torch.cat([instance_schedule(0, step, 10, 4) for step in range(10)])
    assert all(sorted(seen[i : i + 10].tolist()) == list(range(10)) for i in range(0, 40, 10))
    assert torch.equal(instance_schedule(0, 7, 10, 4), seen[28:32])
    assert not torch.equal(seen[:10], seen[10:20])


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ViewsError, match="no view files"):
        read_views([])
    good = {
        "labels": np.zeros((2, 8, 8), np.uint8),
        "depth": np.zeros((2, 8, 8), np.float16),
        "cam2world": np.tile(np.eye(4, dtype=np.float32), (2, 1, 1)),
        "intrinsics": cameras.intrinsics_from_fov(30).astype(np.float32),
        "split": np.array([0, 1], np.uint8),
    }
    write_npz(tmp_path / "b/a.npz", **good)
    for name, change, message in (
        ("size", {"labels": np.zeros((2, 9, 9), np.uint8)}, "square and of one size"),
        ("ids", {"labels": np.full((2, 8, 8), 99, np.uint8)}, "ids.npz"),
        ("poses", {"cam2world": good["cam2world"][:1]}, "disagree in shape"),
        ("split", {"split": good["split"][:1]}, "disagree in shape"),
        ("wide", {"labels": np.zeros((2, 8, 9), np.uint8)}, "wide.npz.*square"),
    ):
        write_npz(tmp_path / f"b/{name}.npz", **good | change)
        with pytest.raises(ValueError, match=message):
            read_views([tmp_path / "b/a.npz", tmp_path / f"b/{name}.npz"])
    write_npz(tmp_path / "b/part.npz", **{k: v for k, v in good.items() if k != "depth"})
    with pytest.raises(ViewsError, match="no depth"):
        read_views([tmp_path / "b/part.npz"])
    write_npz(tmp_path / "b/held.npz", **good | {"split": np.ones(2, np.uint8)})
    with pytest.raises(ViewsError, match="b/held"):
        RaySampler(read_views([tmp_path / "b/held.npz"]), RaySampling())
