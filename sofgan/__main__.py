"""The command line: `python -m sofgan VERB`, installed as `sofgan`."""

import argparse
import importlib
import io
import os
import sys

from sofgan.commands import VERBS
from sofgan.errors import InputError, in_a_sentence

STOPPED = 130  # exit status, as shells have it for SIGINT


class WithDefaults(argparse.HelpFormatter):
    """Help that ends in the default, in parentheses, where there is one and the text does not say it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        none = default is None or default is False or default in ("", [], argparse.SUPPRESS)
        if none or not action.option_strings:
            return text
        shown = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
        return text if f"({shown}" in text else f"{text} ({shown})".replace("%", "%%")


def main(words: list[str] | None = None) -> int:
    """Run a verb; returns the exit status: 1 where an input can't be used, which a sentence tells."""
    words = sys.argv[1:] if words is None else words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A file's name may be of bytes that are no text.
    try:
        return in_a_sentence(lambda: _run(words))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED


def _run(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="sofgan", description="Use trained models.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, text) in VERBS.items():
        added = verbs.add_parser(name, help=text, description=text, formatter_class=WithDefaults)
        if words and words[0] == name:  # Other verbs' modules take seconds to import.
            verb = importlib.import_module(module)
            verb.add_arguments(added)
            added.set_defaults(run=verb.run)
    try:
        arguments = parser.parse_args(words)
        arguments.run(arguments)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            raise
        # A name that is too long, a folder that may not be looked into: of any of the paths that were named.
        raise InputError(f"{os.fsdecode(error.filename)} can't be used: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(main())
