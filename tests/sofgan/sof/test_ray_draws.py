"""Pixels drawn for a step: all of a view once, or by chances and weights."""

import dataclasses

import pytest
import torch

from sofgan.sof.config import RaySampling
from sofgan.sof.data import RaySampler
from sofgan.sof.ray_draws import draw_pixels
from sofgan.sof.view_set import read_views, view_files

PAPER = RaySampling(border_share=0.0, rare_share=0.0, correction=1.0, replacement=False)


def seeded():
    return torch.Generator().manual_seed(0)


def test_without_replacement_a_view_is_seen_whole_or_no_pixel_twice():
    density = torch.full((3, 64), 255, dtype=torch.uint8)
    pixels, weights = draw_pixels(density, 64, PAPER, seeded())
    assert torch.equal(pixels, torch.arange(64).expand(3, 64))
    assert torch.equal(weights, torch.ones(3, 64))
    assert torch.equal(draw_pixels(density, 100, PAPER, seeded())[0], pixels)  # there are no more
    some, _ = draw_pixels(density, 40, PAPER, seeded())
    assert all(len(set(row)) == 40 for row in some.tolist())
    assert (
        some.min() >= 0 and some.max() < 64 and not torch.equal(some[0].sort().values, some[1].sort().values)
    )
    twice, _ = draw_pixels(density, 64, dataclasses.replace(PAPER, replacement=True), seeded())
    assert all(len(set(row)) < 50 for row in twice.tolist())  # 41 are expected


def test_with_replacement_weights_bring_back_the_uniform_mean():
    density = torch.tensor([[1, 1, 2, 4]], dtype=torch.uint8)
    sampling = RaySampling(correction=1.0)
    pixels, weights = draw_pixels(density, 40_000, sampling, seeded())
    shares = torch.bincount(pixels[0], minlength=4) / 40_000
    assert torch.allclose(shares, density[0] / 8, atol=0.01)
    weighted = torch.zeros(4).index_add_(0, pixels[0], weights[0]) / 40_000
    assert torch.allclose(weighted, torch.full((4,), 0.25), atol=0.02)


def test_each_pixel_once_wants_even_chances():
    with pytest.raises(ValueError, match="rays.replacement can be off only where"):
        RaySampling(border_share=0.1, rare_share=0.0, replacement=False)


def test_a_step_of_the_papers_sees_all_of_a_view(views_folder):
    views = read_views(view_files(views_folder, ["synthetic"]))
    batch = RaySampler(views, PAPER).draw(torch.tensor([2, 0]), 1, 32 * 32, seeded())
    # The rays are the whole of one of the instance's views, in its order.
    for row, instance in enumerate((2, 0)):
        own = torch.nonzero((views.instance == instance) & ~views.held_out)[:, 0]
        assert any(torch.equal(batch.labels[row], views.labels[view].flatten().long()) for view in own)
    assert torch.equal(batch.weights, torch.ones(2, 1024))
