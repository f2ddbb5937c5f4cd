"""Round 2 as in the paper: cameras are found in some fifty visits of a map, by one optimiser, and resumed the same."""

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.config import from_mapping
from sofgan.session import Checkpoints, Session
from sofgan.sof.config import InvertMasks, RaySampling
from sofgan.sof.inversion import paper_inversion
from sofgan.sof.inversion.cameras import PositionCameras
from sofgan.sof.inversion.code_prior import fit_prior, open_prior
from sofgan.sof.inversion.fit import Fit, Recipe
from sofgan.sof.inversion.invert import invert
from sofgan.sof.inversion.map_adam import MapAdam
from sofgan.sof.inversion.paper_inversion import invert_in_turns

ROOT = Path(__file__).parents[4]
YAWS, PITCHES = (-0.5, 0.45, 0.4), (0.1, -0.1, 0.15)
VISITS = 53  # 200,000 steps of 8 maps, over 30,000 maps


def papers() -> InvertMasks:
    """The profile's block, merged over the demo's."""
    blocks = [yaml.safe_load((ROOT / name).read_text()) for name in ("params.yaml", "profiles/paper.yaml")]
    return from_mapping(InvertMasks, blocks[0]["invert_masks"] | blocks[1]["invert_masks"], "paper")


SHORT = dataclasses.replace(
    papers(), steps=4, released_steps=5, maps_per_step=2, rays_per_map=24, checkpoint_every_steps=3
)


@pytest.fixture(scope="module")
def even(tiny_training):
    """The tiny field's training, its rays drawn as the paper's profile has it."""
    rays = RaySampling(border_share=0.0, rare_share=0.0, correction=1.0, replacement=False)
    return dataclasses.replace(tiny_training, rays=rays)


@pytest.fixture(scope="module")
def maps(trained):
    """Three of the field's own views from known cameras, not cropped."""
    poses = cameras.orbit(torch.tensor(YAWS), torch.tensor(PITCHES), trained.radius)
    around = Camera(poses, trained.intrinsics, 32)
    views = [trained.render(trained.codes[i], around[i]).labels for i in range(3)]
    return torch.stack(views)


def degrees_off(positions, trained):
    """(M,) angles between cameras, seen from the head's centre, and those that the maps were rendered from."""
    truth = cameras.orbit(torch.tensor(YAWS), torch.tensor(PITCHES), trained.radius)[:, :3, 3]
    cosine = torch.nn.functional.cosine_similarity(positions, truth, dim=1)
    return torch.rad2deg(cosine.clamp(-1, 1).acos())


def test_the_profiles_rates_find_cameras_in_the_papers_number_of_visits(trained, maps, even):
    """At a rate of 5e-5, of the authors' smaller world, a camera moved by a tenth of a degree in as many."""
    config = dataclasses.replace(papers(), steps=VISITS, released_steps=0, maps_per_step=3, rays_per_map=256)
    start = degrees_off(torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3), trained)
    assert start.min() > 22
    _, found = invert_in_turns(trained, maps, Recipe(config, even), seed=0)
    assert found.views.NAMES == ("x", "y", "z")
    assert degrees_off(found.views.values.detach(), trained).median() < start.min() / 2


def test_a_map_s_moments_are_its_own():
    """Rows move as each would in an Adam of its own, whatever happens to others between."""
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    table = torch.nn.Parameter(rows.clone())
    alone = [torch.nn.Parameter(row.clone()) for row in rows]
    ours, theirs = MapAdam([table], 0.99), [torch.optim.Adam([p], 0.1, (0.9, 0.99)) for p in alone]
    for step, drawn in enumerate(([0, 1], [2], [0], [0, 2], [1], [0])):
        gradients = torch.randn(3, 4, generator=torch.Generator().manual_seed(step + 1))
        table.grad = torch.zeros_like(table)
        table.grad[drawn] = gradients[drawn]
        before = table.detach().clone()
        ours.step(torch.tensor(drawn), [0.1])
        for row in drawn:
            alone[row].grad = gradients[row]
            theirs[row].step()
        assert torch.allclose(table, torch.stack(list(alone)), atol=1e-6)
        still = [row for row in range(3) if row not in drawn]
        assert torch.equal(table[still], before[still])
    assert ours.draws.tolist() == [4, 2, 2]


def test_maps_come_by_turns_under_one_optimiser_and_one_schedule(trained, maps, even, monkeypatch):
    made, rates, rows = [], [], []

    class Told(MapAdam):
        def __init__(self, *how):
            super().__init__(*how)
            made.append(self)

        def step(self, index, given):
            rates.append(given[0])
            rows.append(sorted(index.tolist()))
            super().step(index, given)

    monkeypatch.setattr(paper_inversion, "MapAdam", Told)
    config = dataclasses.replace(
        SHORT, maps_per_step=1, warmup_share=0.3, code_learning_rate=1.0, released_code_learning_rate=1.0
    )
    frozen, found = invert_in_turns(trained, maps, Recipe(config, even), seed=0)
    assert len(made) == 1
    assert made[0].draws.tolist() == [3, 3, 3]
    assert all(sorted(sum(rows[turn : turn + 3], [])) == [0, 1, 2] for turn in (0, 3, 6))
    # Up once, and down once, over both parts.
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(
        rates[peak:], reverse=True
    )
    assert 0 < rates[-1] < 0.2 < rates[config.steps]
    same = zip(trained.model.state_dict().values(), frozen.model.state_dict().values())
    assert all(torch.equal(a, b) for a, b in same)
    assert not torch.equal(found.model.field.base, frozen.model.field.base)
    assert not torch.equal(found.codes, frozen.codes)


class Kill(Checkpoints):
    """Stops, as a kill would, once a state of a step was saved."""

    def __init__(self, folder, at):
        super().__init__(folder, ["x"])
        self.at = at

    def save(self, step, state):
        super().save(step, state)
        if step >= self.at:
            raise KeyboardInterrupt


def test_killed_and_resumed_it_ends_the_same(trained, maps, even, tmp_path):
    whole = invert_in_turns(trained, maps, Recipe(SHORT, even), seed=0)
    for at in (3, 6, 9):  # frozen, released, at the end
        with pytest.raises(KeyboardInterrupt):
            invert_in_turns(trained, maps, Recipe(SHORT, even), 0, Session(states=Kill(tmp_path, at)))
    again = invert_in_turns(
        trained, maps, Recipe(SHORT, even), 0, Session(states=Checkpoints(tmp_path, ["x"]))
    )
    for one, other in zip(whole, again):
        assert torch.equal(one.codes, other.codes)
        assert torch.equal(one.views.values, other.views.values)
        assert all(map(torch.equal, one.model.state_dict().values(), other.model.state_dict().values()))


def test_looks_on_the_way_change_nothing(trained, maps, even):
    seen = {}

    def look(step, found):
        if step in (2, 7):
            seen[step] = found()

    watched = invert_in_turns(trained, maps, Recipe(SHORT, even), 0, look=look)
    plain = invert_in_turns(trained, maps, Recipe(SHORT, even), 0)
    assert torch.equal(watched[1].codes, plain[1].codes)
    assert seen[2].fitted.shape == (3, 32, 32)
    assert not torch.equal(seen[2].codes, seen[7].codes)


def test_codes_leave_the_span_of_known_ones_where_the_configuration_says_so(trained, maps, even):
    def outside(codes):
        directions = torch.linalg.qr((trained.codes - trained.codes.mean(0))[:-1].T).Q
        offsets = codes - trained.codes.mean(0)
        return (offsets - offsets @ directions @ directions.T).norm() / offsets.norm()

    for space, least, most in (("all", 0.05, 1.0), ("known", 0.0, 1e-4)):
        config = dataclasses.replace(SHORT, code_space=space)
        assert least <= outside(invert_in_turns(trained, maps, Recipe(config, even), 0)[1].codes) <= most


def test_an_open_prior_is_as_wide_as_the_codes_and_loses_none():
    codes = (
        torch.randn(9, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1, 1, 0, 0]) + 2
    )
    prior = open_prior(codes)
    white = prior.white(codes)
    assert white.square().sum(1).mean() * 9 / 8 == pytest.approx(5, rel=1e-5)  # 1 a direction, on average
    other = torch.randn(4, 5)
    assert torch.allclose(prior.codes(prior.white(other)), other, atol=1e-5)
    narrow = fit_prior(codes[:3])
    assert not torch.allclose(narrow.codes(narrow.white(other)), other, atol=0.1)


def test_rays_and_terms_of_the_loss_are_those_of_the_field_s_training(trained, maps, even, tiny_training):
    views = PositionCameras(torch.tensor([[0.0, 0.0, 4.0]]).expand(3, 3), (0.0, 0.0, 0.0), trained.intrinsics)
    prior, codes = fit_prior(trained.codes), trained.codes[:3]
    fit = Fit(trained.model, maps, codes, views, prior, Recipe(SHORT, even))
    assert fit.density.unique().tolist() == [255]
    uneven = Fit(trained.model, maps, codes, views, prior, Recipe(SHORT, tiny_training))
    assert len(uneven.density.unique()) > 3
    behind = dataclasses.replace(
        even, loss=dataclasses.replace(even.loss, cross_entropy=200.0, negative_depth=10.0)
    )
    views = PositionCameras(
        torch.tensor([[0.0, 0.0, -0.3]]).expand(3, 3), (0.0, 0.0, 0.0), trained.intrinsics
    )
    whole = Fit(trained.model, maps, codes, views, prior, Recipe(SHORT, behind))
    index, pixels = torch.arange(3), torch.arange(8).expand(3, 8)
    classes, weights = torch.zeros(3, 8, dtype=torch.long), torch.ones(3, 8)
    total, terms = whole.loss(index, pixels, classes, weights, torch.Generator().manual_seed(0))
    assert total.item() == pytest.approx(
        (terms["cross_entropy"] + 10 / 200 * terms["negative_depth"]).item(), rel=1e-5
    )
    assert "negative_depth" in terms


def test_released_modules_are_clipped_as_configured(trained, maps, even):
    moved = []
    for norm in (1e-12, 0.0):
        config = dataclasses.replace(SHORT, clip_gradient_norm=norm)
        frozen, found = invert_in_turns(trained, maps, Recipe(config, even), 0)
        moved.append((found.model.field.base - frozen.model.field.base).abs().max())
    assert moved[0] < 1e-2 * moved[1]


def test_with_a_rehearsal_known_codes_move_too(trained, maps, even, views_folder):
    from sofgan.sof.view_set import read_views, view_files

    known = read_views(view_files(views_folder, ["synthetic"]))
    config = dataclasses.replace(SHORT, rehearsal_instances=2)
    _, found = invert_in_turns(trained, maps, Recipe(config, even, known=known), 0)
    assert not torch.equal(found.model.codes, trained.model.codes)
    _, without = invert_in_turns(
        trained, maps, Recipe(dataclasses.replace(config, rehearsal_instances=0), even, known=known), 0
    )
    assert torch.equal(without.model.codes, trained.model.codes)


def test_the_fast_way_refuses_the_papers_preset(trained, maps, even):
    with pytest.raises(ValueError, match="invert_in_turns"):
        invert(trained, maps, Recipe(SHORT, even), 0)


def test_cameras_may_move_first_alone(trained, maps, even):
    config = dataclasses.replace(SHORT, steps=4, released_steps=0, maps_per_step=3, camera_only_share=0.5)
    seen = []
    invert_in_turns(trained, maps, Recipe(config, even), 0, look=lambda step, found: seen.append(found()))
    mean = trained.codes.mean(0).expand(3, -1)
    assert torch.allclose(seen[1].codes, mean, atol=1e-6) and not torch.allclose(
        seen[2].codes, mean, atol=1e-3
    )
    assert not torch.equal(seen[0].views.values, seen[1].views.values)
