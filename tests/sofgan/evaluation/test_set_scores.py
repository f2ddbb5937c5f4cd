"""Scores of sets whose distances are known, their floors, and what is written of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from sofgan.errors import InputError
from sofgan.evaluation.set_features import SetFeatures
from sofgan.evaluation.set_scores import FEWEST, NAMES, score, table, to_mapping
from sofgan.photos.compression import Compression, Summary
from sofgan.scores.figures import Figure, UnlikeFigures
from sofgan.scores.frechet import frechet_distance
from sofgan.scores.kernel import squared_mmd
from sofgan.scores.neighbors import neighbor_scores

EXTRACTOR = SimpleNamespace(name="fd_lite0", size=96)
SUMMARY = Summary.of([Compression(64, 64, "PNG", None)])


def sides(n: int, m: int, shift: float = 0.0):
    stream = np.random.default_rng(3)
    features = stream.normal(size=(n, 4)) + shift, stream.normal(size=(m, 4))
    sets = [SimpleNamespace(name=name, digest=name * 40, summary=SUMMARY) for name in "ab"]
    return sets, [SetFeatures({"fd_lite0": some.astype(np.float32)}, []) for some in features]


def scored(n: int, m: int, shift: float = 0.0):
    return score(*sides(n, m, shift), [EXTRACTOR], None, 0)[0]


def test_figures_of_all_pictures_are_those_of_the_library():
    one, (painted, real) = (
        scored(90, 120, 0.5),
        (side.features["fd_lite0"] for side in sides(90, 120, 0.5)[1]),
    )
    assert list(one.whole) == list(NAMES)
    assert one.whole["fd"].value == pytest.approx(frechet_distance(painted, real))
    assert one.whole["kd"].value == pytest.approx(squared_mmd(painted.astype(float), real.astype(float)))
    for name, value in neighbor_scores(painted, real).items():
        assert one.whole[name].value == value
    counted = {name: (figure.n_painted, figure.n_real) for name, figure in one.whole.items()}
    assert counted.pop("mind") == (90, 90) and set(counted.values()) == {(90, 120)}
    assert all(figure.low <= figure.value <= figure.high for figure in one.whole.values())


def test_shares_have_intervals_within_0_and_1():
    one = scored(30, 30)
    for name in ("precision", "recall", "coverage"):
        assert one.whole[name].low >= 0 and one.whole[name].high <= 1
    assert one.whole["coverage"].value + 0.05 > 1  # so that the bound is met


@pytest.mark.parametrize(("n", "m", "count"), [(500, 100, 50), (30, 100, 30), (200, 41, 20)])
def test_floors_are_of_halves_of_b_at_equal_numbers(n, m, count):
    one = scored(n, m, 3.0)
    for figure in one.equal.values():
        assert (figure.n_painted, figure.n_real) == (count, count) and figure.floor is not None
    with pytest.raises(UnlikeFigures, match="n_real"):
        one.equal["fd"] - one.whole["fd"]
    assert (
        one.equal["fd"].value > 20 > one.equal["fd"].floor > 0.01
        and one.equal["mind"].floor < one.equal["mind"].value
    )
    assert one.equal["precision"].value < 0.2 < one.equal["precision"].floor


def test_no_floor_is_told_where_half_of_b_is_too_few():
    one = scored(100, 2 * FEWEST - 1)
    assert one.equal == {} and "floor" not in table(one)


def test_too_few_pictures_are_refused():
    with pytest.raises(InputError, match="a: one picture that can be read; scores need 20 a side"):
        scored(1, 50)
    with pytest.raises(InputError, match="b: 19 pictures"):
        scored(50, 19)


def test_the_table_fits_a_terminal_and_says_what_figures_are_of():
    told = table(scored(90, 120, 0.5))
    assert max(map(len, told.splitlines())) < 120
    for text in (
        "90 against 120 [95 %]",
        "60 against 60",
        "floor",
        "sliced distance, 90 against 90",
        "a" * 12 + " ",
    ):
        assert text in told
    assert "lite0: centred square, antialiased bilinear to 96 px" in told


def test_written_figures_are_read_back():
    one = scored(90, 120)
    mapping = to_mapping([one])["lite0"]
    assert {name: Figure.from_mapping(figure) for name, figure in mapping["all"].items()} == one.whole
    assert {
        name: Figure.from_mapping(figure) for name, figure in mapping["equal_numbers"].items()
    } == one.equal
