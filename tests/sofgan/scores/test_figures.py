import dataclasses
import json

import pytest

from sofgan.errors import InputError
from sofgan.scores.figures import Figure, UnlikeFigures, over_seeds, table
from sofgan.scores.intervals import Estimate


def _figure(value=10.0, **changes):
    settings = {
        "n_painted": 500, "n_real": 500, "extractor": "lite0", "resize": "96 px", "real_data": "aa",
        "painted_data": "bb",
    }  # fmt: skip
    return Figure.of("fd", Estimate.of(value, 1.0), **settings | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_painted": 499},
        {"n_real": 499},
        {"extractor": "lite2"},
        {"resize": "64 px"},
        {"real_data": "cc"},
        {"painted_size": "128 px"},
        {"real_size": "128 px"},
        {"painted_quality": "75"},
        {"real_quality": "75"},
    ],
)
def test_unlike_figures_are_refused_by_name(changes):
    one, other = _figure(), _figure(**changes)
    for compare in (lambda: one - other, lambda: one < other, lambda: table({"a": one, "b": other})):
        with pytest.raises(UnlikeFigures, match=f"{next(iter(changes))} \\("):
            compare()
    with pytest.raises(UnlikeFigures):
        over_seeds([one, other])


def test_differences_of_like_figures():
    one, other = _figure(10.0), _figure(7.0, painted_data="dd", floor=1.0)
    found = one - other
    assert found.value == 3 and other < one and not one < other
    assert found.high - 3 == pytest.approx(1.959964 * 2**0.5) == 3 - found.low
    assert "| b | 7 | 5.04 to 8.96 | 1 |" in table({"a": one, "b": other})


def test_over_seeds_is_students():
    found = over_seeds([_figure(value, painted_data=str(value)) for value in (9.0, 10.0, 11.0)])
    assert (found.value, found.interval) == (10.0, "seeds")
    assert found.high - 10 == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    with pytest.raises(InputError, match="two"):
        over_seeds([_figure()])


def test_json_keeps_all():
    one = dataclasses.replace(_figure(), floor=0.5)
    mapping = json.loads(json.dumps(one.to_mapping()))
    assert Figure.from_mapping(mapping) == one
    with pytest.raises(InputError, match="extractor"):
        Figure.from_mapping({key: value for key, value in mapping.items() if key != "extractor"})
    with pytest.raises(InputError, match="colour"):
        Figure.from_mapping(mapping | {"colour": 1})
