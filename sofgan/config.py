"""Typed configuration: plain mappings into frozen dataclasses, with errors that name the key."""

import dataclasses
import difflib
import types
import typing
from pathlib import Path

import yaml

from sofgan.errors import UserError


class ConfigError(UserError, ValueError):
    """A key is unknown, missing or of the wrong type."""


def from_mapping(cls: type, mapping: dict, where: str):
    """Build a frozen dataclass from a mapping, such as a block of a YAML file.

    Nested dataclasses, tuples (from lists), dicts, optional values and `Literal`s are read by their
    annotations; an integer is accepted where a float is wanted.

    Args:
        cls: a dataclass.
        mapping: its values. Fields with defaults may be missing.
        where: what is being read ("params.yaml: train_sof"), for messages.

    Raises:
        ConfigError: naming the key, the place and the nearest right name.
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
    hints = typing.get_type_hints(cls)
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in mapping.items()}
    try:
        return cls(**values)
    except ConfigError:
        raise
    except ValueError as error:  # A dataclass checks its own ranges in `__post_init__`.
        raise ConfigError(f"{where}: {error}") from error


def read_yaml(path: Path):
    """What a YAML file holds; None, where it is empty.

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


def _convert(kind, value, where: str):
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
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
        return {key: _convert(inner, item, f"{where}.{key}") for key, item in value.items()}
    if kind is typing.Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):
        try:  # YAML 1.1 reads 1e-4 as text, as it lacks a dot.
            return float(value)
        except ValueError:
            pass
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
            return _convert(kind, value, where)
        except ConfigError as error:
            errors.append(error)
    raise errors[0]


def _convert_tuple(arguments, value, where: str):
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, found {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise ConfigError(f"{where}: expected {len(arguments)} values, found {len(value)}")
    return tuple(
        _convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(arguments, value))
    )
