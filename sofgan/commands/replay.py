"""`sofgan replay`: a file of these commands made again, by the record in it."""

import argparse
import importlib
import io
from pathlib import Path
from reprlib import repr as short_repr

import numpy as np
from PIL import Image, ImageSequence

from sofgan.apps.photo import model_digests
from sofgan.apps.results import encode, read_record, version
from sofgan.commands import VERBS, common
from sofgan.commands.records import arguments_of
from sofgan.errors import InputError, MissingInput


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
    file, out = arguments.file, arguments.out
    common.check_file(file, "a file that a command has written")
    record, suffix = read_record(file), file.suffix.lower()
    out = out if out.suffix != ".*" else out.with_suffix(suffix)
    common.check_out(out)
    if record["verb"] not in VERBS or record["verb"] == "replay":
        raise InputError(f"{file} was made by the verb {short_repr(record['verb'])}, which is not there")
    verb = importlib.import_module(VERBS[record["verb"]][0])
    if not hasattr(verb, "make"):
        raise InputError(f"{file} is one of several files: `sofgan {record['verb']}` makes them again")
    asked = arguments_of(record, verb, common.ELSEWHERE, str(file))
    asked.out = file  # whose ending says what a film may be
    engine = common.engine_of(arguments)
    digests = model_digests(engine, common.PHOTOS in record["arguments"])
    others = [name for name, digest in record["models"].items() if digests.get(name) != digest]
    if others:
        names = " and another ".join(map(short_repr, others[:3]))
        raise InputError(f"{file} was made with another {names} than that of {engine.source}")
    common.settle_psi(engine, asked)
    try:
        content = encode(verb.make(engine, asked, common.Line()), suffix, record)
    except MissingInput as error:
        if common.PHOTOS not in record["arguments"]:
            raise
        raise MissingInput(f"{error}: it is made of a photo, so run this in that one's folder") from error
    if content != (before := file.read_bytes()):
        now = version()
        then = f"{short_repr(record['version'])}, commit {short_repr(record['commit'])}"
        raise InputError(
            f"{file} comes out otherwise{_difference(before, content)}: it was made by version {then}, this is "
            f"{now['version']}, commit {now['commit']}; or by another kind of CPU, which rounds otherwise; or the file "
            "was changed"
        )
    common.write(out, content)
    print("the same bytes")


def _difference(before: bytes, now: bytes) -> str:
    """How far two pictures or films are apart, in words; "" for files of other kinds or sizes."""
    try:
        frames = [
            [
                np.asarray(frame.convert("RGB")).astype(int)
                for frame in ImageSequence.Iterator(Image.open(io.BytesIO(one)))
            ]
            for one in (before, now)
        ]
        apart = [np.abs(one - other).max(-1) for one, other in zip(*frames, strict=True)]
    except (OSError, ValueError):
        return ""
    most, others = max(each.max() for each in apart), sum((each > 0).sum() for each in apart)
    return f" (by {most} of 255 at most, in {others:,} of {sum(each.size for each in apart):,} pixels)"
