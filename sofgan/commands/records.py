"""Arguments out of a record, for `sofgan replay`: a file may come from anybody, and its record say anything.

A verb's `make` gets from a record what it gets from a command line, and nothing else: each argument is checked by the
kind that `add_arguments` gives it. Beside these a record holds what the verb has found (`RECORDED` of its module, each
with the value that stands for none), such as an edited head.
"""

import argparse
import reprlib
from pathlib import Path
from types import ModuleType

from sofgan.errors import InputError


class _Listed(argparse.ArgumentParser):
    """Parser that lists what it was given."""

    def __init__(self) -> None:
        super().__init__(add_help=False)
        self.listed: list[argparse.Action] = []

    def add_argument(self, *names: str, **how) -> argparse.Action:
        action = super().add_argument(*names, **how)
        self.listed.append(action)
        return action


def arguments_of(
    record: dict, verb: ModuleType, elsewhere: tuple[str, ...], where: str
) -> argparse.Namespace:
    """The arguments of a record, as `verb.make` takes them; those that it lacks have their defaults.

    Args:
        elsewhere: arguments that no record holds.
        where: what is read, for messages.

    Raises:
        InputError: it has an argument that the verb doesn't, or a value of another kind.
    """
    parser, asked = _Listed(), record["arguments"]
    verb.add_arguments(parser)
    actions = {one.dest: one for one in parser.listed if one.dest not in elsewhere}
    recorded = getattr(verb, "RECORDED", {})
    if unknown := sorted(set(asked) - set(actions) - set(recorded)):
        raise InputError(f"the record in {where} has {reprlib.repr(unknown[0])}: another version made it")
    found = {name: one.default for name, one in actions.items()} | recorded
    for name, value in asked.items():
        try:
            found[name] = _checked(value, actions[name]) if name in actions else _alike(value, recorded[name])
        except (ValueError, TypeError, OSError, argparse.ArgumentTypeError) as error:
            raise InputError(f"{name} of the record in {where} can't be {reprlib.repr(value)}") from error
    return argparse.Namespace(**found)


def _checked(value, action: argparse.Action):
    """A value that a command line can give."""
    if action.nargs == 0:
        return _alike(value, False)
    if action.nargs is None:
        return _one(value, action)
    if not value and value != action.default:
        raise ValueError
    return [_one(one, action) for one in _alike(value, [])]


def _one(value, action: argparse.Action):
    if action.choices is not None and value not in action.choices:
        raise ValueError
    if isinstance(value, str) and action.type in (None, Path):
        return _text(value)
    if type(value) not in (str, int, float) or action.type in (None, Path):
        raise ValueError
    if action.type(str(value)) != value:
        raise ValueError
    return value


def _alike(value, other):
    """A value of the kind of another."""
    if type(value) is not type(other):
        raise ValueError
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    value.encode()  # Half a surrogate pair goes into no file.
    return value
