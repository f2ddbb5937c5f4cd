"""Two views of a head in one style: they agree where the texture is the head's, and teach the painter where not."""

import dataclasses

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sofgan import distributed
from sofgan.cameras import Camera, project, rays
from sofgan.errors import InputError
from sofgan.labels import STYLE_GROUPS
from sofgan.siw.condition_store import HeadPairs
from sofgan.siw.data import ArraySource, Batches, Sources, half
from sofgan.siw.generator import random_noise
from sofgan.siw.mixing import class_to_group, one_hot
from sofgan.siw.training_step import SiwTraining
from sofgan.siw.view_pairs import (
    CELL,
    LEAST_SPREAD,
    WIDE_SPREAD,
    ViewPairs,
    align_views,
    difference_by_spread,
    style_spread,
    view_difference,
)
from sofgan.warping import STEEPEST, Warp
from tests.sofgan.siw.heads import ball_views, write_heads
from tests.sofgan.siw.test_training_step import flat


def textured(heads: int, size: int, resolution: int) -> tuple[HeadPairs, torch.Tensor]:
    """Two views of balls, and pictures (P, 2, 3, R, R) of them, coloured by a smooth function of the place on the ball
    that is each head's own."""
    seen, _, depth = ball_views(heads, 2, size)
    _, points, there = ball_views(heads, 2, resolution)
    phases = np.linspace(0, 3, heads).repeat(2)[:, None, None, None]
    colours = np.where(there[..., None] > 0, 0.8 * np.sin(3 * points + phases), 0.0)
    pairs = HeadPairs(
        np.zeros(depth.shape, np.uint8), depth.astype(np.float16), seen.cam2world, seen.intrinsics
    )
    pairs = pairs.each(lambda values: torch.from_numpy(values).unflatten(0, (-1, 2)))
    return pairs, torch.from_numpy(colours).float().movedim(-1, 1).unflatten(0, (-1, 2))


@pytest.mark.parametrize("size", [48, 96])
def test_colours_that_are_the_heads_agree_and_others_do_not(size):
    pairs, images = textured(6, size, 48)
    warp = align_views(pairs, 48).warp
    first, second = images.unbind(1)
    share = warp.seen.sum((1, 2)) / (pairs.depth[:, 0] > 0).sum((1, 2)) * (size // 48) ** 2
    assert share.min() > 0.5 and share.max() < 1  # The rest one view hides from the other.
    right = view_difference(first, second, warp)
    assert right < 0.01
    others = {
        "swapped": (second, first),
        "unmoved": (first, first),
        "another head's": (first, second.roll(1, 0)),
    }
    for name, (one, other) in others.items():
        assert view_difference(one, other, warp) > 10 * right, name


def plain_difference(pairs: HeadPairs, first: np.ndarray, second: np.ndarray) -> float:
    """`view_difference` of aligned views, pixel by pixel."""
    size, means = first.shape[-1], []
    arrays = pairs.each(lambda values: values.double().numpy())
    times = arrays.depth.shape[-1] // size
    middle = slice((times - 1) // 2, times // 2 + 1)

    def depth_at(head, view, row, column):
        around = arrays.depth[
            head, view, row * times : (row + 1) * times, column * times : (column + 1) * times
        ]
        around = around[middle, middle]
        mean = around.mean()
        near = np.ptp(around) <= STEEPEST * mean / (arrays.intrinsics[head, view, 0, 0] * size)
        return mean if near and around.min() > 0 else 0.0

    for head in range(len(first)):
        one, other = (Camera(arrays.cam2world[head, i], arrays.intrinsics[head, i], size) for i in (0, 1))
        origin, directions = rays(one)
        differences, counts = np.zeros((size // CELL, size // CELL, 3)), 0
        for row, column in np.ndindex(size, size):
            depth = depth_at(head, 0, row, column)
            if depth == 0:
                continue
            place, far = project(origin + depth * directions[row, column], other)
            x, y = place * size - 0.5
            left, top = int(np.floor(x)), int(np.floor(y))
            if not (0 <= left < size - 1 and 0 <= top < size - 1):
                continue
            width = far / (other.intrinsics[0, 0] * size)
            corners = [(top + i, left + j) for i in (0, 1) for j in (0, 1)]
            depths = [depth_at(head, 1, *corner) for corner in corners]
            if min(depths) == 0 or max(abs(value - far) for value in depths) > STEEPEST * width:
                continue
            weights = [(1 - abs(y - i)) * (1 - abs(x - j)) for i, j in corners]
            found = sum(weight * second[head, :, i, j] for weight, (i, j) in zip(weights, corners))
            at, classes = (round(y), round(x)), arrays.labels[head]
            if (
                classes[0, row * times + times // 2, column * times + times // 2]
                != (classes[1, at[0] * times + times // 2, at[1] * times + times // 2])
            ):
                continue
            differences[row // CELL, column // CELL] += first[head, :, row, column] - found
            counts += 1
        means.append(np.abs(differences).mean(-1).sum() / max(counts, 1))
    return np.mean(means)


@pytest.mark.parametrize("size", [16, 32, 48])
def test_the_difference_is_that_of_a_plain_loop(size):
    pairs, _ = textured(3, size, 16)
    pairs.depth[:, :, ::5] = 0  # holes
    classes = torch.randint(0, 2, (3, 2, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    pairs.labels[:] = classes.repeat_interleave(size // 8, 2).repeat_interleave(size // 8, 3)
    images = torch.rand(3, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first, second = images.unbind(1)
    found = view_difference(first, second, align_views(pairs, 16).warp)
    expected = plain_difference(pairs, first.double().numpy(), second.double().numpy())
    assert found.item() == pytest.approx(expected, rel=1e-3) and expected > 0.1


def test_heads_of_which_two_views_show_nothing_in_common_count_as_alike():
    pairs, images = textured(2, 32, 32)
    whole = align_views(pairs, 32).warp
    alone = view_difference(images[:1, 0], images[:1, 0], whole_rows(whole, slice(1)))
    pairs.depth[1, 1] = 0
    warp = align_views(pairs, 32).warp
    assert not warp.seen[1].any() and warp.grid.isfinite().all()
    first, second = images[:, 0].requires_grad_(), images[:, 0].detach().clone().requires_grad_()
    difference = view_difference(first, second, warp)
    assert difference.item() == pytest.approx(alone.item() / 2) and alone > 0
    gradients = torch.autograd.grad(difference, (first, second))
    assert all(gradient.isfinite().all() and not gradient[1].any() for gradient in gradients)
    pairs.depth[:] = 0
    assert view_difference(first, second, align_views(pairs, 32).warp) == 0


def plain_loss(pairs: ViewPairs, first: np.ndarray, second: np.ndarray, together: int) -> float:
    """`difference_by_spread`, group by group and cell by cell, of second pictures that are warped already."""
    groups, seen = pairs.groups.numpy(), pairs.warp.seen.numpy()
    size, losses = first.shape[-1], []
    for start in range(0, len(first), together):
        heads, loss, cells = range(start, start + together), 0.0, 0.0
        for group in range(len(STYLE_GROUPS)):
            own = {head: (groups[head] == group) & seen[head] for head in heads}
            means = [first[head][:, own[head]].mean(1) for head in heads if own[head].sum() >= 32]
            spread = np.abs(means - np.mean(means, 0)).mean() if means else 0.0
            spread *= np.sqrt(len(means) / max(len(means) - 1, 1))
            for head in heads:
                for row, column in np.ndindex(size // CELL, size // CELL):
                    cell = np.s_[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
                    apart = (first[head] - second[head]) * seen[head]
                    share = own[head][cell].sum() / max(seen[head][cell].sum(), 1)
                    difference = np.abs(apart[(slice(None), *cell)].mean((1, 2))).mean()
                    loss += share * difference / np.clip(spread, LEAST_SPREAD, WIDE_SPREAD)
                    cells += own[head][cell].mean()
        losses.append(loss / cells)
    return np.mean(losses)


def painted_pairs(heads: int, size: int) -> tuple[ViewPairs, torch.Tensor, torch.Tensor]:
    """Pairs of some regions, and pictures whose colours are each head's and region's own, but for some noise."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (heads, size // 8, size // 8), generator=draws)
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    groups = class_to_group()[labels]
    colours = 0.6 * torch.rand(heads, len(STYLE_GROUPS), 3, generator=draws) - 0.3
    first = torch.stack([own[at] for own, at in zip(colours, groups)]).movedim(-1, 1)
    first, second = (first + 0.1 * torch.randn(first.shape, generator=draws) for _ in range(2))
    places = (torch.arange(size) + 0.5) * (2 / size) - 1
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).expand(heads, -1, -1, -1)
    seen = torch.rand((heads, size, size), generator=draws) < 0.8
    seen[:, : size // 2, : size // 4] = False
    return ViewPairs(labels[:, None].expand(-1, 2, -1, -1), groups, Warp(grid, seen)), first, second


@pytest.mark.parametrize("together", [2, 4])
def test_the_loss_is_that_of_a_plain_loop(together):
    pairs, first, second = painted_pairs(4, 32)
    found = difference_by_spread(first, second, pairs, together)
    expected = plain_loss(pairs, first.double().numpy(), second.double().numpy(), together)
    assert found.item() == pytest.approx(expected, rel=1e-4) and expected > 0.1


def test_views_do_not_become_alike_by_fading():
    """The loss is the same of pictures with less contrast, where the difference is less."""
    pairs, first, second = painted_pairs(4, 32)
    whole, faded = (
        difference_by_spread(scale * first, scale * second, pairs, 4).item() for scale in (1.0, 0.8)
    )
    assert faded == pytest.approx(whole, rel=1e-3)
    differences = [view_difference(scale * first, scale * second, pairs.warp).item() for scale in (1.0, 0.8)]
    assert differences[1] == pytest.approx(0.8 * differences[0], rel=1e-3)
    scale = torch.ones((), requires_grad=True)
    (slope,) = torch.autograd.grad(difference_by_spread(scale * first, scale * second, pairs, 4), scale)
    assert abs(slope) < 1e-4 * whole
    # Styles that lie wider apart than people's do are no gain.
    (slope,) = torch.autograd.grad(
        difference_by_spread(8 * scale * first, 8 * scale * second, pairs, 4), scale
    )
    assert slope > 0


def test_only_heads_that_show_a_region_count_for_its_spread():
    images = torch.zeros(4, 3, 16, 16)
    images[:2] = torch.tensor([0.2, -0.4])[:, None, None, None]
    regions = torch.zeros(4, 2, 16, 16)
    regions[:, 0] = 1
    regions[0, 1, :8] = regions[1, 1, :8] = 1
    regions[2, 1, :1] = 1  # too few pixels
    spread = style_spread(images, regions, 4)
    expected = np.abs(np.array([0.2, -0.4, 0, 0]) + 0.05).mean() * np.sqrt(4 / 3)
    assert spread.shape == (1, 2) and spread[0].tolist() == pytest.approx([expected, 0.3 * np.sqrt(2)])
    alone = style_spread(images, regions, 1)
    assert alone.shape == (4, 2) and not alone.any()


@pytest.mark.parametrize("together", [2, 3, 8])
def test_the_spread_is_that_of_all_heads_however_few_are_compared(together):
    colours = torch.randn(4800, 3, generator=torch.Generator().manual_seed(0))
    found = style_spread(colours[..., None, None].expand(-1, -1, 6, 6), torch.ones(4800, 1, 6, 6), together)
    assert found.mean().item() == pytest.approx(np.sqrt(2 / np.pi), rel=0.02)


def whole_rows(warp: Warp, rows: slice) -> Warp:
    return Warp(warp.grid[rows], warp.seen[rows])


def test_a_gpus_host_waits_for_nothing_while_views_are_compared():
    """Nothing is copied from the host or read by it; tensors without contents tell, as on a GPU."""
    places = set()

    class Places(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            tensors = [
                value for value in tree_leaves((args, kwargs, made)) if isinstance(value, torch.Tensor)
            ]
            places.update((str(function), tensor.device.type) for tensor in tensors)
            return made

    with FakeTensorMode(), torch.device("cuda"):
        depth, poses = torch.ones(2, 2, 32, 32, dtype=torch.float16), torch.ones(2, 2, 4, 4)
        pairs = HeadPairs(torch.zeros(2, 2, 16, 16, dtype=torch.uint8), depth, poses, poses[..., :3, :3])
        images = torch.zeros(2, 3, 16, 16)
        class_to_group.cache_clear()
        class_to_group(pairs.labels.device)  # Copied once a device, not once a step.
        with Places():
            aligned = align_views(pairs, 16)
            view_difference(images, images, aligned.warp)
            difference_by_spread(images, images, aligned, 2)
        class_to_group.cache_clear()
    assert {device for _, device in places} == {"cuda"}
    assert not [name for name, _ in places if "local_scalar" in name or "nonzero" in name]


@pytest.fixture
def begin(tiny_training, photos, maps, tmp_path):
    """Makes a training that compares views, and its batches."""
    heads = write_heads(tmp_path / "heads", size=32)

    def make(**changes):
        config = tiny_training(**{"consistency_rate": 1.0, "consistency_every": 1, **changes})
        sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)}, heads=heads)
        return SiwTraining(config, 0, "cpu"), Batches(config, sources, 0)

    return make


@pytest.mark.parametrize("by", ["difference", "spread"])
@pytest.mark.parametrize(("mixing", "size"), [("input", 16), ("none", 8), ("layerwise", 16)])
def test_both_views_are_painted_alike_and_compared(begin, mixing, size, by):
    """In the same styles, regions and noise, by the network that learns."""
    growth = ((8, 0.5),) if size == 8 else ()
    training, batches = begin(
        generator={"mixing": mixing}, growth=growth, two_style_probability=1.0, consistency_by=by
    )
    (part,) = training._parts(batches(0))
    pairs = part.batch.pairs
    assert pairs.labels.shape == (2, 2, 16, 16) and pairs.warp.grid.shape == (2, size, size, 2)
    learned = training._learn_consistency(part, 0)
    told = learned.scalars
    images = []
    for view in (0, 1):
        draws, labels = training._draws(0, "consistency"), pairs.labels[:, view]
        w, weights = training._styles(labels, draws)
        noise = random_noise(training.generator, 2, draws, size)
        images.append(training.generator.synthesize(one_hot(labels), w, weights, noise, resolution=size))
    expected = {"view_difference": view_difference(*images, pairs.warp)}
    if by == "spread":
        expected["view_by_spread"] = difference_by_spread(*images, pairs, 2)
    torch.testing.assert_close(told, expected, check_device=False)
    assert told["view_difference"] > 0.01
    last = list(expected.values())[-1]
    gradients = torch.autograd.grad(last * part.weight, training.painted, allow_unused=True)
    torch.testing.assert_close(
        [one for one in learned.gradients if one is not None], [one for one in gradients if one is not None]
    )


@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_views_have_steps_of_their_own_by_their_rate(begin, rate):
    """Adam's first step is the rate wherever there is a gradient; the critics' moments know nothing of it."""
    training, batches = begin(consistency_rate=rate, cooldown=0.0)
    plain, alone = begin(consistency_rate=0.0, consistency_every=1, cooldown=0.0)
    training.step(0, batches(0))
    plain.step(0, alone(0))
    ends = [flat(one.painted, one.painted).detach() for one in (training, plain)]
    moved = ends[0] - ends[1]
    expected = rate * training.config.learning_rate_generator
    assert moved.abs().max() == pytest.approx(expected, rel=1e-2)
    assert (moved.abs() > 0.9 * expected).float().mean() > 0.3
    for name, value in training.optimizer_g.state_dict()["state"].items():
        torch.testing.assert_close(value, plain.optimizer_g.state_dict()["state"][name])


def test_views_are_compared_at_their_steps_and_add_to_the_step(begin):
    told, weights = [], []
    for weight in (0.0, 4.0):
        training, batches = begin(consistency_rate=weight, consistency_every=2)
        told.append(["view_difference" in training.step(step, batches(step)) for step in range(3)])
        weights.append(flat(training.painted, training.painted))
    assert told == [[False] * 3, [True, False, True]]
    assert (weights[0] - weights[1]).abs().max() > 1e-3


def test_a_step_has_the_same_heads_in_any_process_and_after_any_other_step(begin, monkeypatch):
    _, batches = begin(batch=8)
    whole = batches(3).pairs
    assert len(whole.labels) == 4 and not torch.equal(batches(4).pairs.labels, whole.labels)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        own = begin(batch=8)[1](3).pairs
        expected = whole.rows(slice(2 * rank, 2 * rank + 2))
        assert torch.equal(own.groups, expected.groups)
        assert torch.equal(own.labels, expected.labels) and torch.equal(own.warp.grid, expected.warp.grid)
        assert torch.equal(own.warp.seen, expected.warp.seen)


def test_photos_and_maps_are_the_same_with_and_without_heads(begin):
    one, other = (begin(consistency_every=every)[1](2) for every in (0, 1))
    assert (
        one.pairs is None and torch.equal(one.photos, other.photos) and torch.equal(one.labels, other.labels)
    )


def test_rows_of_heads_are_those_of_every_second_picture(begin):
    assert [half(slice(*rows)) for rows in ((0, 8), (4, 8), (0, 5), (0, 1))] == [
        slice(0, 4), slice(2, 4), slice(0, 3), slice(0, 1)
    ]  # fmt: skip
    _, batches = begin(batch=5, discriminator={"minibatch_group": 1})
    batch = batches(0)
    assert len(batch.pairs.labels) == 3
    assert torch.equal(batch.rows(slice(2, 5)).pairs.labels, batch.pairs.labels[1:])


def test_views_that_fit_no_pictures_are_refused(tiny_training, photos, maps, tmp_path):
    sources = Sources(ArraySource(photos), {"parsed": ArraySource(maps)})
    config = tiny_training(consistency_rate=1.0, consistency_every=1)
    with pytest.raises(ValueError, match="no heads"):
        Batches(config, sources, 0)
    with pytest.raises(InputError, match="24 pixels.*pictures of 16.*consistency_every"):
        Batches(config, dataclasses.replace(sources, heads=write_heads(tmp_path / "heads", size=24)), 0)


def test_a_training_that_compares_views_ends_with_views_that_differ_less(begin):
    found = []
    for every in (0, 1):
        training, batches = begin(
            consistency_every=every, consistency_rate=1.0, learning_rate_generator=0.01, kimg=1.0
        )
        for step in range(20):
            training.step(step, batches(step))
        _, judged = begin()
        with torch.no_grad():
            (part,) = training._parts(judged(100))
        found.append(training._learn_consistency(part, 100).scalars["view_difference"].item())
    assert found[1] < 0.4 * found[0], found


def test_a_spread_of_one_head_is_refused(tiny_training):
    compared = {"consistency_rate": 1.0, "consistency_every": 1}
    tiny_training(**compared, batch=2)
    with pytest.raises(ValueError, match="consistency_by: spread compares heads"):
        tiny_training(**compared, consistency_by="spread", batch=2)
