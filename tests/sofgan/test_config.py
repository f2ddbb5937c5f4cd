import dataclasses
from typing import Literal

import pytest

from sofgan.config import ConfigError, from_mapping, to_mapping


@dataclasses.dataclass(frozen=True)
class Inner:
    kind: Literal["fast", "paper"] = "fast"
    weights: str | None = None


@dataclasses.dataclass(frozen=True)
class Outer:
    steps: int
    learning_rate: float
    sizes: tuple[int, ...] = (1,)
    span: tuple[float, float] = (0.0, 1.0)
    inner: Inner = Inner()
    names: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError("steps must be at least 1")


GOOD = {"steps": 3, "learning_rate": "1e-4", "sizes": [4, 5], "inner": {"kind": "paper", "weights": "w.pth"}}


def test_reads_nested_blocks_and_round_trips():
    config = from_mapping(Outer, GOOD, "params.yaml: outer")
    assert config == Outer(3, 1e-4, (4, 5), inner=Inner("paper", "w.pth"))
    assert from_mapping(Outer, to_mapping(config), "again") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 1}, r"params.yaml: outer: unknown key 'step'; did you mean 'steps'"),
        ({"steps": "many"}, r"outer.steps: expected int, found 'many'"),
        ({"steps": True}, r"expected int, found True"),
        ({"steps": 2.5}, r"expected int"),
        ({"steps": 0}, r"outer: steps must be at least 1"),
        ({"sizes": 4}, r"expected a list"),
        ({"span": [1, 2, 3]}, r"expected 2 values"),
        ({"inner": {"kind": "slow"}}, r"outer.inner.kind: 'slow' is none of 'fast', 'paper'"),
        ({"inner": {"kid": "fast"}}, r"outer.inner: unknown key 'kid'; did you mean 'kind'"),
        ({"inner": 3}, r"expected a block"),
        ({"names": {"a": "b"}}, r"outer.names.a: expected float"),
    ],
)
def test_bad_values_name_the_key(change, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Outer, {**GOOD, **change}, "params.yaml: outer")


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="missing key 'learning_rate'"):
        from_mapping(Outer, {"steps": 1}, "x")
