"""Typed configuration: plain mappings into frozen dataclasses, with errors that name the key.

What a value may be stands where its field is declared:

    steps: Count                                        # 1 or more
    scales: Annotated[tuple[Positive, ...], NOT_EMPTY]

and `__post_init__` has what concerns several fields. Numbers are finite.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import yaml

from sofgan.errors import UserError


class ConfigError(UserError, ValueError):
    """A key is unknown, missing, of the wrong type or out of its range."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """Rule for a field's value, given beside its type by `typing.Annotated`.

    Attributes:
        text: said after the key: "is at least 1".
        holds: whether a value, which is of the right type, is so.
    """

    text: str
    holds: Callable[[Any], bool]


def at_least(low: float) -> Rule:
    """Numbers from `low` on."""
    return Rule(f"is at least {low:g}", lambda value: value >= low)


def above(low: float) -> Rule:
    """Numbers greater than `low`."""
    return Rule(f"is above {low:g}", lambda value: value > low)


def within(low: float, high: float) -> Rule:
    """Numbers from `low` to `high`, both included."""
    return Rule(f"is within {low:g} and {high:g}", lambda value: low <= value <= high)


def from_to_below(low: float, high: float) -> Rule:
    """Numbers from `low`, included, to `high`, excluded."""
    return Rule(f"is at least {low:g} and below {high:g}", lambda value: low <= value < high)


def above_up_to(low: float, high: float) -> Rule:
    """Numbers from `low`, excluded, to `high`, included."""
    return Rule(f"is above {low:g} and at most {high:g}", lambda value: low < value <= high)


def between(low: float, high: float) -> Rule:
    """Numbers from `low` to `high`, both excluded."""
    return Rule(f"is above {low:g} and below {high:g}", lambda value: low < value < high)


def multiple_of(step: int) -> Rule:
    """Positive multiples of a number."""
    return Rule(f"is a multiple of {step}", lambda value: value > 0 and value % step == 0)


NOT_EMPTY = Rule("has at least one entry", lambda value: len(value) > 0)
A_PATH = Rule("is a path", bool)
DISTINCT = Rule("has nothing twice", lambda value: len(set(value)) == len(value))

Count = Annotated[int, at_least(1)]
Whole = Annotated[int, at_least(0)]
PowerOfTwo = Annotated[int, Rule("is a power of two", lambda value: value > 0 and value & (value - 1) == 0)]
Pixels = Annotated[int, within(16, 16384)]  # side of a picture
Positive = Annotated[float, above(0)]
Weight = Annotated[float, at_least(0)]
Share = Annotated[float, within(0, 1)]
Rate = Annotated[float, above_up_to(0, 1)]  # of learning
FieldOfView = Annotated[float, between(1, 120)]  # degrees


def from_mapping(cls: type, mapping: dict, where: str):
    """Build a frozen dataclass from a mapping, such as a block of a YAML file.

    Nested dataclasses, tuples (from lists), dicts, optional values and `Literal`s are read by their
    annotations; an integer is accepted where a float is wanted.

    Args:
        cls: a dataclass.
        mapping: its values. Fields with defaults may be missing.
        where: what is being read ("params.yaml: train_sof"), for messages.

    Raises:
        ConfigError: naming the key, the place and what is allowed, or the nearest right name.
    """
    if not isinstance(mapping, dict):
        raise ConfigError(f"{where}: expected a block of keys, found {mapping!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in mapping:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known keys: {', '.join(sorted(fields))}"
            raise ConfigError(f"{where}: unknown key '{key}'{hint}")
    missing = [
        name
        for name, field in fields.items()
        if name not in mapping
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing key '{missing[0]}'")
    hints = typing.get_type_hints(cls, include_extras=True)
    values = {key: check(hints[key], value, f"{where}.{key}") for key, value in mapping.items()}
    try:
        return cls(**values)
    except ConfigError:
        raise
    except ValueError as error:  # A dataclass checks in `__post_init__` what concerns several fields.
        raise ConfigError(f"{where}: {error}") from error


def read_yaml(path: Path):
    """Content of a YAML file; None where it is empty.

    Raises:
        ConfigError: it can't be read, with the line and column where it can't.
    """
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(no_yaml(path, error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error


def no_yaml(where, error: Exception) -> str:
    """The sentence on a file that is no YAML: at which place, and why, as PyYAML's errors and ruamel's have it."""
    mark = getattr(error, "problem_mark", None)
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{where} is no YAML{place}: {getattr(error, 'problem', None) or error}"


def to_mapping(config) -> dict:
    """The dataclass as plain data (dicts, lists, numbers, strings), readable by `from_mapping`."""
    return _plain(dataclasses.asdict(config))


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def check(kind, value, where: str):
    """A value as its annotation has it: a field's type, with the rules beside it.

    Raises:
        ConfigError: it is of another type, or out of its range.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        value = check(arguments[0], value, where)
        for rule in arguments[1:]:
            if not rule.holds(value):
                raise ConfigError(f"{where} {rule.text}, not {_plain(value)!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(repr, arguments))}")
        return value
    if dataclasses.is_dataclass(kind):
        return from_mapping(kind, value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict or kind is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, found {value!r}")
        inner = arguments[1] if arguments else typing.Any
        return {key: check(inner, item, f"{where}.{key}") for key, item in value.items()}
    if kind is typing.Any:
        return value
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:  # YAML 1.1 reads 1e-4 as text, as it lacks a dot.
            number = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            if not math.isfinite(number):
                raise ConfigError(f"{where} is a finite number, not {value!r}")
            return number
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {kind.__name__}, found {value!r}")
    return value


def _convert_union(arguments, value, where: str):
    if value is None and type(None) in arguments:
        return None
    errors = []
    for kind in arguments:
        if kind is type(None):
            continue
        try:
            return check(kind, value, where)
        except ConfigError as error:
            errors.append(error)
    raise errors[0]


def _convert_tuple(arguments, value, where: str):
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, found {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(check(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise ConfigError(f"{where}: expected {len(arguments)} values, found {len(value)}")
    return tuple(check(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(arguments, value)))
