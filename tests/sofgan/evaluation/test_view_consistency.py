import numpy as np
import pytest
import torch

from sofgan.evaluation.intervals import decibels, over_heads, ratio
from sofgan.evaluation.view_consistency import (
    differences,
    measure_heads,
    measure_orbit,
    paint_orbit,
    render_orbit,
    warp_errors,
)
from sofgan.warping import find_warp
from tests.sofgan.evaluation.conftest import ball_points
from tests.sofgan.evaluation.test_warping import views_of

YAWS = tuple(range(-20, 21, 10))


def painted(orbit, how, styles=3, seed=0):
    """(V, K, 3, R, R): a texture of the head, of the screen, or of nothing, in styles that differ as much."""
    generator = np.random.default_rng(seed)
    size, images = orbit.cameras.size, []
    screen = np.stack([*np.mgrid[:size, :size] / size * 2 - 1, np.zeros((size, size))], -1)
    phases = generator.uniform(0, 2 * np.pi, (styles, 3))
    for view in views_of(orbit):
        place = ball_points(view)[0] if how == "head" else screen
        if how == "nothing":
            images.append(generator.uniform(-1, 1, (styles, 3, size, size)))
        else:
            images.append(np.stack([np.moveaxis(np.sin(4 * place + phase), -1, 0) for phase in phases]))
    return torch.from_numpy(np.stack(images)).float()


@pytest.fixture
def orbit(field, framing):
    return render_orbit(field, torch.zeros(1), framing, YAWS, 48, 48)


@pytest.mark.filterwarnings("error")
def test_a_texture_of_the_head_has_no_error_one_of_the_screen_has_and_none_at_all_has_one(orbit):
    orbit.depth[orbit.depth > 4.2] = 0  # the shoulders, which are no part of the ball
    errors = {}
    for how in ("head", "screen", "nothing"):
        moved, between = measure_orbit(painted(orbit, how), orbit).T
        errors[how] = moved / between
    assert (errors["head"] < 0.03).all()
    assert 0.1 < errors["screen"][0] < errors["screen"][1]  # It grows with the angle.
    # Each picture anew: as far as other styles, but that what is warped is blurred.
    assert (np.abs(errors["nothing"] - 0.87) < 0.05).all()


def test_differences_are_those_of_a_plain_loop(orbit):
    images = painted(orbit, "screen")
    moved, between = differences(images, orbit, 10)
    found, styles = [], []
    for i in range(len(YAWS)):
        for j in range(len(YAWS)):
            if abs(YAWS[i] - YAWS[j]) == 10:
                warp = find_warp(orbit.depth, orbit.cameras, [i], [j])
                for k in range(3):
                    error = (warp.apply(images[i, k][None])[0] - images[j, k]).abs().mean(0)
                    found.append(error[warp.seen[0]].mean())
                    for other in range(k):
                        error = (images[j, other] - images[j, k]).abs().mean(0)
                        styles.append(error[warp.seen[0]].mean())
    assert moved.item() == pytest.approx(np.mean(found), rel=1e-4)
    assert between.item() == pytest.approx(np.mean(styles), rel=1e-4)
    with pytest.raises(ValueError, match="apart"):
        differences(images, orbit, 15)


def test_views_and_styles_are_painted_in_batches():
    class Painter:
        most = 0

        def __call__(self, labels, w):
            self.most = max(self.most, len(labels))
            assert len(labels) == len(w)
            return w[:, :1, None, None] + torch.from_numpy(labels[:, None].astype(np.float32))

    labels, w = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((5, 2, 2), np.uint8), torch.rand(3, 4)
    paint = Painter()
    images = paint_orbit(paint, labels, w, 4)
    assert images.shape == (5, 3, 1, 2, 2) and paint.most == 4
    assert torch.equal(images[4, 2, 0], w[2, 0] + torch.full((2, 2), 4.0))


def test_each_head_is_painted_in_its_own_styles(orbit):
    class Siw:
        device = torch.device("cpu")

        def __init__(self):
            self.styles = []

        def sample_z(self, count, generator):
            return torch.randn((count, 3), generator=generator)

        def map_styles(self, z):
            return z

        def paint(self, labels, w):
            self.styles.append(w[:, 0])
            return torch.sin(w)[:, :, None, None].expand(-1, 3, 48, 48)

    siw = Siw()
    measured = measure_heads([orbit, orbit], siw, 2, 0, 64)
    assert measured.shape == (2, 2, 2) and len(torch.cat(siw.styles).unique()) == 4
    # What is one colour all over differs by nothing between views.
    assert (measured[..., 0] < 1e-6).all() and (measured[..., 1] > 0.01).all()
    assert warp_errors(measured)["warp_error_20"] < 1e-5


def test_an_interval_holds_the_figure_and_narrows_with_heads():
    generator = np.random.default_rng(0)
    widths = []
    for heads in (5, 500):
        values = np.stack([generator.uniform(0.1, 0.3, heads), generator.uniform(0.9, 1.1, heads)], -1)
        found = over_heads(ratio, values, "x")
        assert found["x"] == pytest.approx(values[:, 0].sum() / values[:, 1].sum())
        assert found["x_low"] < found["x"] < found["x_high"]
        widths.append(found["x_high"] - found["x_low"])
    assert widths[1] < widths[0] / 5
    # Of 500 heads, about the interval by the law of large numbers.
    assert widths[1] == pytest.approx(2 * 1.96 * 0.2 / 12**0.5 / 500**0.5, rel=0.15)


@pytest.mark.parametrize("heads", [2, 4, 6])
def test_an_interval_holds_the_truth_in_95_of_100_draws_of_few_heads(heads):
    """Those of the bootstrap's percentiles hold it less often: in half of the draws of 2, in some 85 of 100 of 6."""
    generator, truth = np.random.default_rng(0), np.exp(-1.5 + 0.35**2 / 2 - 0.25**2 / 2)
    held, of_bootstrap, draws = 0, 0, 1000
    for _ in range(draws):
        values = np.stack([generator.lognormal(-1.5, 0.35, heads), generator.lognormal(0, 0.25, heads)], -1)
        found = over_heads(ratio, values, "x")
        held += found["x_low"] <= truth <= found["x_high"]
        again = ratio(values[generator.integers(heads, size=(200, heads))])
        low, high = np.percentile(again, (2.5, 97.5))
        of_bootstrap += low <= truth <= high
    assert 0.92 < held / draws < 0.97
    assert of_bootstrap / draws == pytest.approx({2: 0.49, 4: 0.8, 6: 0.85}[heads], abs=0.03)


def test_one_head_has_no_interval():
    with pytest.raises(ValueError, match="two at least"):
        over_heads(ratio, np.ones((1, 2)), "x")


def test_decibels_are_of_pictures_from_minus_one_to_one():
    assert decibels(np.full((3, 1), 0.04)) == pytest.approx(20.0)
    assert decibels(np.zeros((3, 1))) == pytest.approx(106.02, abs=0.01)
