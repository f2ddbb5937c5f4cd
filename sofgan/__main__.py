"""The command line: `python -m sofgan VERB`, installed as `sofgan`."""

import argparse
import importlib
import sys

from sofgan.commands import VERBS
from sofgan.errors import in_a_sentence


def main(words: list[str] | None = None) -> int:
    """Run a verb; returns the exit status: 1 where an input can't be used, which a sentence tells."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="sofgan", description="Use trained models.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, text) in VERBS.items():
        added = verbs.add_parser(name, help=text, description=text)
        if words and words[0] == name:  # Other verbs' modules take seconds to import.
            verb = importlib.import_module(module)
            verb.add_arguments(added)
            added.set_defaults(run=verb.run)
    arguments = parser.parse_args(words)
    return in_a_sentence(lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
