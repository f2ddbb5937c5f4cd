"""The sampling space: combinations, mixture, interpolation."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sofgan.errors import InputError
from sofgan.sof import sampling
from sofgan.sof.config import Sampling
from sofgan.sof.sampling import (
    combine,
    combined_codes,
    dirichlet_weights,
    ease,
    fit_mixture,
    interpolate,
    nearest_heads,
    neighbour_codes,
    sample_codes,
    sample_mixture,
    shape_features,
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


def test_neighbours_are_combined_with_their_like_alone():
    group = torch.arange(20) % 2
    features = torch.stack([group * 10.0, torch.arange(20.0) / 20], 1)
    codes = torch.eye(20)
    drawn = neighbour_codes(codes, features, 60, 3, 1.0, 5, seeded())
    assert torch.allclose(drawn.sum(1), torch.ones(60), atol=1e-5)
    assert ((drawn > 0).sum(1) == 3).all()
    of_first_group = drawn @ (group == 0).float()
    assert torch.all((of_first_group < 1e-5) | (of_first_group > 1 - 1e-5))
    assert torch.equal(drawn, neighbour_codes(codes, features, 60, 3, 1.0, 5, seeded()))
    few = neighbour_codes(codes[:2], features[:2], 4, 5, 1.0, 8, seeded())
    assert ((few > 0).sum(1) == 2).all()


def test_shape_features_see_what_the_field_sees():
    """Codes differ most where the field does not look; its own tensors tell heads apart as they are."""
    codes = torch.randn(24, 40, generator=seeded())
    matrix = torch.zeros(40, 30)
    matrix[:4] = torch.randn(4, 30, generator=seeded(1))

    def generate(chunk):
        return {"planes": (chunk @ matrix).reshape(len(chunk), 5, 6)}

    features = shape_features(generate, codes)
    assert features.shape == (24, 30)
    assert torch.allclose(features.mean(0), torch.zeros(30), atol=1e-6)
    blind = shape_features(generate, torch.cat([codes[:, :4], torch.zeros(24, 36)], 1))
    assert torch.allclose(features, blind, atol=1e-5)
    # Four dimensions of the mixture then hold all that is seen; of the codes' own components they miss most.
    kept = fit_mixture(codes, 1, 4, 0, features)
    missed = fit_mixture(codes, 1, 4, 0)

    def seen_share(space):
        return (space["axes"] @ matrix).norm() ** 2 / ((codes - codes.mean(0)) @ matrix).norm() ** 2 * 23

    assert seen_share(kept) == pytest.approx(1, abs=1e-3)
    assert seen_share(missed) < 0.7


def test_mixture_axes_are_combinations_of_codes():
    codes = torch.randn(9, 12, generator=seeded())
    space = fit_mixture(codes, 2, 8, 0, torch.randn(9, 50, generator=seeded(1)))
    weights = torch.linalg.lstsq((codes - codes.mean(0)).T, space["axes"].T).solution
    assert torch.allclose((codes - codes.mean(0)).T @ weights, space["axes"].T, atol=1e-4)
    assert len(space["axes"]) == 8


def test_sampling_methods_of_a_field(trained):
    for method in ("neighbours", "random", "mixture"):
        drawn = sample_codes(trained, 3, seeded(), Sampling(method))
        assert drawn.shape == (3, 8)
        assert torch.equal(drawn, sample_codes(trained, 3, seeded(), Sampling(method)))
    with pytest.raises(ValueError, match="neighbours, random or mixture"):
        sample_codes(trained, 3, seeded(), Sampling("normal"))


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that is made within it."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(value, torch.Tensor):
                self.bytes = max(self.bytes, value.untyped_storage().nbytes())
        return made


def test_neighbours_of_many_heads_never_need_all_distances():
    features = torch.randn(2000, 8, generator=seeded())
    with Largest() as largest:
        drawn = neighbour_codes(features, features, 40, 3, 1.0, 8, seeded())
    assert drawn.shape == (40, 8)
    assert largest.bytes <= 8 * 40 * 2000  # of the drawn heads alone, as int64 at most; all are 16 MB
    distance = torch.cdist(features, features)
    nearest = nearest_heads(features, torch.arange(300), 5)  # more than a block
    assert torch.equal(nearest, distance[:300].argsort(1)[:, 1:6])
    twins = torch.ones(30, 4)
    assert (nearest_heads(twins, torch.arange(30), 8) != torch.arange(30)[:, None]).all()


def test_features_of_many_codes_are_fewer_numbers_each(monkeypatch):
    def generate(chunk):
        return {name: chunk.repeat_interleave(500, 1) for name in ("weight", "bias")}

    codes = torch.randn(30_664, 2, generator=seeded())
    monkeypatch.setattr(sampling, "FEATURE_NUMBERS", 1 << 20)
    features = shape_features(generate, codes)
    assert features.shape == (30_664, 2 * 17)  # every 59th number of a thousand
    assert features.numel() <= 1 << 20
    assert shape_features(generate, codes[:100]).shape == (100, 2000)
    # At its own size the limit is 256 MiB for the paper's codes, and none for the demo's.
    monkeypatch.undo()
    assert sampling.FEATURE_NUMBERS * 4 == 256 << 20
    assert sampling.FEATURE_NUMBERS // (128 * 2) > sampling.FEATURES_PER_KIND


def test_features_of_a_field_are_made_once_and_again_when_it_changes(trained, monkeypatch):
    sof = copy.deepcopy(trained)
    made = []
    monkeypatch.setattr(sof, "generate", lambda codes: made.append(1) or trained.generate(codes))
    for seed in range(3):
        sample_codes(sof, 2, seeded(seed))
    assert len(made) == 1
    before = sof.features()
    with torch.no_grad():
        sof.model.codes[0] += 1
    assert not torch.equal(sof.features(), before)
    sof.model.codes = torch.nn.Parameter(sof.model.codes[:3].clone())
    assert len(sof.features()) == 3


def test_weights_are_of_a_dirichlet_distribution():
    """Its variances: (a / A) (1 - a / A) / (A + 1) of each weight, A the sum of all concentrations a."""
    for concentration in (0.3, 1.0, 4.0):
        weights = dirichlet_weights(20_000, 4, concentration, seeded())
        variance = 0.25 * 0.75 / (4 * concentration + 1)
        assert torch.allclose(weights.var(0), torch.full((4,), variance), rtol=0.06, atol=0)


def test_combinations_are_of_different_codes():
    mixed = combined_codes(torch.eye(3), 200, 3, 1.0, seeded())
    assert ((mixed > 0).sum(1) == 3).all()


def test_nearest_heads_are_those_of_least_distance_without_the_head():
    features = torch.randn(30, 4, generator=seeded())
    found = nearest_heads(features, torch.tensor([3, 7]), 5)
    for row, head in enumerate((3, 7)):
        distance = (features - features[head]).norm(dim=1)
        distance[head] = torch.inf
        assert found[row].tolist() == distance.argsort()[:5].tolist()


def test_one_component_is_the_codes_own_gaussian_and_spread_scales_it():
    codes = torch.randn(9, 3, generator=seeded()) * torch.tensor([3.0, 1.0, 0.3]) + 2
    space = fit_mixture(codes, 1, 3, 0)
    covariance = space["axes"].T @ space["axes"]
    assert torch.allclose(covariance, torch.cov(codes.T), rtol=1e-3, atol=1e-4)
    # White codes have unit variance; a component's is that by N, as expectation maximisation has it.
    assert torch.allclose(space["deviations"], torch.full((1, 3), (8 / 9) ** 0.5), atol=1e-4)
    for spread in (0.0, 0.5):
        samples = sample_mixture(space, 4000, seeded(1), spread)
        expected = spread * (8 / 9) ** 0.5 * codes.std(0)
        assert torch.allclose(samples.std(0), expected, rtol=0.05, atol=1e-5)


def test_a_fitted_mixture_is_where_expectation_maximisation_stays():
    """A plain step, by densities of normal distributions, from a wide and a narrow cluster that overlap."""
    wide = 2 * torch.randn(300, 2, generator=seeded())
    points = torch.cat([wide, 0.2 * torch.randn(100, 2, generator=seeded(1)) + 1]).double()
    weights, centres, variances = sampling._fit_diagonal_mixture(points, 2, 0)
    normals = torch.distributions.Normal(centres, variances.sqrt())
    densities = weights * normals.log_prob(points[:, None]).sum(-1).exp()  # (N, 2)
    share = densities / densities.sum(1, keepdim=True)
    mass = share.sum(0)
    assert torch.allclose(mass / len(points), weights, atol=1e-3)
    assert torch.allclose(share.T @ points / mass[:, None], centres, atol=1e-2)
    own = torch.stack([(share[:, k, None] * (points - centres[k]) ** 2).sum(0) / mass[k] for k in range(2)])
    shared = (weights[:, None] * own).sum(0)
    shrunk = (1 - sampling.SHRINKAGE) * own + sampling.SHRINKAGE * shared
    assert torch.allclose(shrunk, variances, rtol=1e-2)
    assert variances.prod(1).min() < 0.5 * variances.prod(1).max() and weights.min() < 0.45


def test_kinds_of_a_fields_tensors_count_alike():
    codes = torch.randn(12, 6, generator=seeded())

    def generate(chunk):
        return {"planes": 100 * chunk, "warp": 0.01 * chunk.flip(1)}

    features = shape_features(generate, codes)
    kinds = features.split(6, 1)
    assert all(kind.square().sum(1).mean().item() == pytest.approx(1, rel=1e-4) for kind in kinds)


def test_people_are_combined_with_people(tmp_path):
    """Of heads with a share of people that many lie in the span of inverted codes; the others may have any bases."""
    codes = torch.eye(6)
    sof = SimpleNamespace(
        codes=codes, rounds=[1, 1, 1, 2, 2, 2], device=codes.device, features=lambda: torch.eye(6)
    )
    for method in ("neighbours", "random"):

        def draw(count, people_share, method=method):
            how = Sampling(method, bases=2, neighbours=5, people_share=people_share)
            return sample_codes(sof, count, torch.Generator().manual_seed(0), how)

        drawn = draw(400, 0.7)
        assert torch.allclose(drawn.sum(1), torch.ones(400))
        # Two bases of six are both of the last three in 3 of 15 draws.
        of_people = (drawn[:, :3] == 0).all(1).float().mean()
        assert of_people == pytest.approx(0.7 + 0.3 / 5, abs=0.06)
        every = draw(50, 1.0)
        assert (every[:, :3] == 0).all()
        plain = Sampling(method, bases=2, neighbours=5)
        assert torch.equal(draw(50, 0.0), sample_codes(sof, 50, torch.Generator().manual_seed(0), plain))
    sof.rounds = [1] * 5 + [2]
    with pytest.raises(InputError, match="the field has 1 inverted heads"):
        sample_codes(sof, 1, torch.Generator().manual_seed(0), Sampling(people_share=0.1))
