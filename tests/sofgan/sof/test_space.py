"""The sampling space: combinations, mixture, interpolation."""

import pytest
import torch

from sofgan.sof.space import (
    combine,
    combined_codes,
    dirichlet_weights,
    ease,
    fit_mixture,
    interpolate,
    sample_mixture,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_vertex_gives_back_its_code_and_weights_must_add_up_to_one():
    codes = torch.randn(5, 8, generator=seeded())
    assert torch.equal(combine(codes, torch.eye(5)), codes)
    assert torch.allclose(combine(codes, torch.tensor([2.0, -1.0, 0, 0, 0])), 2 * codes[0] - codes[1])
    with pytest.raises(ValueError, match="add up to 1"):
        combine(codes, torch.full((5,), 0.3))


def test_dirichlet_combinations_lie_in_the_simplex_and_follow_the_seed():
    weights = dirichlet_weights(2000, 4, 1.0, seeded())
    assert torch.allclose(weights.sum(1), torch.ones(2000), atol=1e-5)
    assert (weights >= 0).all()
    assert torch.allclose(weights.mean(0), torch.full((4,), 0.25), atol=0.02)
    peaked = dirichlet_weights(2000, 4, 0.05, seeded())
    assert peaked.max(1).values.mean() > 0.9 > weights.max(1).values.mean()
    codes = torch.eye(6)
    mixed = combined_codes(codes, 50, 3, 1.0, seeded(1))
    assert torch.allclose(mixed.sum(1), torch.ones(50), atol=1e-5)  # weights are the codes' coordinates here
    assert ((mixed > 0).sum(1) <= 3).all()
    assert torch.equal(mixed, combined_codes(codes, 50, 3, 1.0, seeded(1)))
    assert not torch.equal(mixed, combined_codes(codes, 50, 3, 1.0, seeded(2)))


def test_mixture_finds_two_clusters_and_samples_like_them():
    generator = seeded()
    centres = torch.tensor([[3.0, 0, 0, 0, 0, 0], [-3.0, 1, 0, 0, 0, 0]])
    codes = torch.cat([c + 0.2 * torch.randn(60, 6, generator=generator) for c in centres])
    space = fit_mixture(codes, components=2, dimensions=4, seed=0)
    assert space["axes"].shape == (4, 6)
    assert torch.allclose(space["weights"], torch.tensor([0.5, 0.5]), atol=0.02)
    samples = sample_mixture(space, 3000, seeded(5))
    near_first = samples[:, 0] > 0
    assert near_first.float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.allclose(samples[near_first].mean(0), centres[0], atol=0.15)
    assert torch.allclose(samples[~near_first].mean(0), centres[1], atol=0.15)
    again = fit_mixture(codes, components=2, dimensions=4, seed=0)
    assert all(torch.equal(space[name], again[name]) for name in space)


def test_mixture_of_few_codes_is_cut_to_what_they_carry():
    codes = torch.randn(3, 16, generator=seeded())
    space = fit_mixture(codes, components=8, dimensions=32, seed=0)
    assert space["axes"].shape == (2, 16)
    assert len(space["weights"]) == 1
    assert sample_mixture(space, 4, seeded()).isfinite().all()


def test_interpolation_is_eased_and_passes_every_code():
    codes = torch.randn(3, 4, generator=seeded())
    walk = interpolate(codes, 10)
    assert walk.shape == (21, 4)
    for index in range(3):
        assert torch.allclose(walk[10 * index], codes[index], atol=1e-6)
    steps = (walk[1:11] - walk[:10]).norm(dim=1)
    assert steps[4] > 1.5 * steps[0]
    ends = ease(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(ends, torch.tensor([0.0, 0.5, 1.0]), atol=1e-6)
