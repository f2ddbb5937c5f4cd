"""`sofgan replay`: a file of these commands made again, by the record in it."""

import argparse
import importlib
from pathlib import Path

from sofgan.apps.results import encode, read_record, version
from sofgan.commands import VERBS, common
from sofgan.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", type=Path, help="a picture, film or mesh that a command has written")
    common.add_models(parser, "replayed.*")


def run(arguments: argparse.Namespace) -> None:
    """Make it again; it is told whether the bytes are the same.

    Raises:
        InputError: it holds no record or can't be written, its models are others, or another version makes other
            bytes of it.
    """
    record, suffix, out = read_record(arguments.file), arguments.file.suffix.lower(), arguments.out
    out = out if out.suffix != ".*" else out.with_suffix(suffix)
    common.check_out(out)
    if record.get("verb") not in VERBS or record["verb"] == "replay":
        raise InputError(f"{arguments.file} was made by the verb {record.get('verb')!r}, which is not there")
    verb = importlib.import_module(VERBS[record["verb"]][0])
    if not hasattr(verb, "make"):
        raise InputError(
            f"{arguments.file} is one of several files: `sofgan {record['verb']}` makes them again"
        )
    engine = common.engine_of(arguments)
    others = [name for name, digest in record["models"].items() if engine.digests.get(name) != digest]
    if others:
        raise InputError(
            f"{arguments.file} was made with another {' and another '.join(others)} than that of {engine.source}"
        )
    try:
        made = verb.make(engine, argparse.Namespace(**record["arguments"]), common.Line())
    except AttributeError as error:  # Of the namespace: an argument that other versions lack.
        if not isinstance(error.obj, argparse.Namespace):
            raise
        raise InputError(
            f"the record in {arguments.file} has no {error.name}: another version made it"
        ) from error
    content = encode(made, suffix, record)
    if content != arguments.file.read_bytes():
        now, then = version(), f"{record['version']}, commit {record['commit']}"
        raise InputError(
            f"{arguments.file} comes out otherwise: it was made by version {then}, this is {now['version']}, commit "
            f"{now['commit']}, or the file was changed"
        )
    common.write(out, content)
    print("the same bytes")
