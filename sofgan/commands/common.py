"""What verbs share: arguments, the engine, progress on a terminal, and files with a record of how they were made."""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sofgan import runtime
from sofgan.apps.engine import MODELS, PSI, Engine
from sofgan.apps.photo import AlignedPhoto, model_digests
from sofgan.apps.results import Result, check_ending, encode, record_of
from sofgan.commands import kinds
from sofgan.errors import InputError
from sofgan.files import write_bytes
from sofgan.progress import Progress

# Makes a verb's result from the engine, the arguments, and a listener.
Make = Callable[[Engine, argparse.Namespace, Progress], Result]
# Arguments that say where something is done, not what: a record leaves them out.
ELSEWHERE = ("models", "out", "device", "threads", "run", "verb")
DEVICES = r"auto|cpu|cuda(:\d+)?"  # torch has more, on which this was never run
EVERY = 10.0  # seconds between lines of progress where there is no terminal
PHOTOS = "photo_sha256"  # argument in records of what was made of photos: their digests


class Line(Progress):
    """Listener that shows the count in place of the last line of a terminal; elsewhere, as in a log, a line now and
    then."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:
        if sys.stderr.isatty():
            print(
                f"\r{done}/{total} {unit} {note}",
                end="\n" if done == total else "",
                file=sys.stderr,
                flush=True,
            )
        elif (now := time.monotonic()) - self._told >= EVERY:
            self._told = now
            print(f"{done}/{total} {unit} {note}".rstrip(), file=sys.stderr, flush=True)


def add_head(parser: argparse.ArgumentParser, default: str = "0") -> None:
    """Add the head."""
    parser.add_argument(
        "--head", type=kinds.head, default=default,
        help="a seed, the name of one of the field's heads, or a file of `sofgan edit`",
    )  # fmt: skip


def add_models(parser: argparse.ArgumentParser, out: str = "", what: str = "file to write") -> None:
    """Add arguments that say where the models are and where the result, of that kind, goes, if there is one."""
    parser.add_argument(
        "--models", type=Path,
        help="folder of the models, or `starter`: those of the package (models, if they are there, else the starter)",
    )  # fmt: skip
    if out:
        parser.add_argument("-o", "--out", type=Path, default=Path(out), help=f"{what} ({out})")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
    parser.add_argument("--threads", type=kinds.threads, default=0, help="of the CPU; 0: one a core")


def add_psi(parser: argparse.ArgumentParser) -> None:
    """Add arguments of truncation."""
    parser.add_argument(
        "--psi",
        type=kinds.psi,
        help=f"styles towards the average one: 1 not at all, 0 fully ({PSI}, the starter's 1)",
    )
    parser.add_argument(
        "--head-psi", type=kinds.psi, default=1.0, help="heads towards the mean one, likewise"
    )


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add the size of maps."""
    parser.add_argument(
        "--size", type=kinds.pixels, default=128, help="pixels of the label maps that are painted"
    )


def device_of(arguments: argparse.Namespace) -> str:
    """torch's name of the device that arguments name.

    Raises:
        InputError: it is no device, or not there.
    """
    if not re.fullmatch(DEVICES, arguments.device):
        raise InputError(f"--device is auto, cpu, cuda or cuda:N, not {arguments.device!r}")
    try:
        return runtime.resolve_device(arguments.device)
    except InputError as error:  # It speaks of params.yaml, which has no say here.
        raise InputError(
            f"--device {arguments.device} is not there: `make doctor` shows what torch sees, cpu always is"
        ) from error


def engine_of(arguments: argparse.Namespace) -> Engine:
    """The engine of the models that arguments name; a line tells of the starter where none are there."""
    runtime.use_cpu(arguments.threads or os.cpu_count() or 1)
    engine = Engine.open(arguments.models, device_of(arguments))
    if arguments.models is None and engine.source != MODELS:
        print(f"Models: {engine.source}", file=sys.stderr)
    return engine


def settle_psi(engine: Engine, arguments: argparse.Namespace) -> None:
    """Have arguments of a verb with truncation hold the engine's, where none was named."""
    if "psi" in arguments and arguments.psi is None:
        arguments.psi = engine.psi


def know_photos(arguments: argparse.Namespace, photos: Sequence[AlignedPhoto], names: Sequence[str]) -> None:
    """Have the record hold the digests of the photos that something is made of; a replay's must be the same ones.

    Raises:
        InputError: one is another.
    """
    known, seen = getattr(arguments, PHOTOS, []), [photo.sha256 for photo in photos]
    for name, now, then in zip(names, seen, known):
        if now != then:
            raise InputError(f"{name} is another photo than that of the file")
    setattr(arguments, PHOTOS, seen)


def asked_of(engine: Engine, arguments: argparse.Namespace) -> dict:
    """Record of a verb's result, with all that it was asked for but where the result goes."""
    asked = {name: value for name, value in vars(arguments).items() if name not in ELSEWHERE}
    return record_of(arguments.verb, asked, engine, model_digests(engine, PHOTOS in asked))


def finish(make: Make, endings: Sequence[str], arguments: argparse.Namespace) -> None:
    """Make a verb's result, of a kind whose files have these endings, and write it with its record.

    Raises:
        InputError: the file has another ending, or can't be written there.
    """
    check_out(arguments.out)
    check_ending(suffix_of(arguments.out), endings)  # now, not after minutes
    engine = engine_of(arguments)
    settle_psi(engine, arguments)
    content = encode(make(engine, arguments, Line()), suffix_of(arguments.out), asked_of(engine, arguments))
    write(arguments.out, content)


def write(out: Path, content: bytes) -> None:
    """Write a result, and tell its path.

    Raises:
        InputError: the disk is full, or the file can't be written there for another reason.
    """
    try:
        write_bytes(out, content)
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror or error}") from error
    print(out)


def note(text: str) -> None:
    """Tell what is unusual, before the file's path."""
    print(f"note: {text}")


def check_out(out: Path, option: str = "--out") -> None:
    """See that a file can be written, before it is made for minutes.

    Raises:
        InputError: it is a folder, or as of `check_folder`.
    """
    if out.is_dir():
        raise InputError(f"{option} {out} is a folder: name a file")
    check_folder(out.parent, option)


def check_file(path: str | Path, what: str) -> None:
    """See that a file to read is no folder.

    Args:
        what: that is wanted, as "a photo".

    Raises:
        InputError: it is one.
    """
    if os.path.isdir(path):  # Of names that no file can have it is False, where Path's raises.
        raise InputError(f"{path} is a folder: {what} is wanted")


def check_folder(folder: Path, option: str) -> None:
    """See that files can be written into a folder, which need not be there yet.

    Raises:
        InputError: it, or one above it, is a file or may not be written to.
    """
    above = next(one for one in (folder, *folder.parents) if one.exists())
    if not above.is_dir():
        raise InputError(f"{option} {above} is no folder")
    if not os.access(above, os.W_OK):
        raise InputError(f"{option} {above} may not be written to")


def suffix_of(out: Path) -> str:
    """The ending of a file to write.

    Raises:
        InputError: it has none.
    """
    if not out.suffix:
        raise InputError(f"--out {out} has no ending, by which its format is chosen")
    return out.suffix.lower()
