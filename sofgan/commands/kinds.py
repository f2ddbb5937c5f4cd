"""Kinds of arguments: what a verb takes for a number, a count or a head, from a command line or a record."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from sofgan.apps.camera_paths import LIMITS
from sofgan.apps.edited_heads import MARK
from sofgan.apps.engine import MOST_DIGITS
from sofgan.apps.results import FILMS, MESHES, PICTURES, read_record
from sofgan.errors import InputError

# Beyond these a result has gigabytes, or more than a day goes by.
MOST_PIXELS, MOST_CELLS, MOST_FRAMES, MOST_FPS, MOST_COLUMNS, MOST_THREADS = 1024, 512, 3600, 120, 256, 256
MOST_PICTURES = 10_000  # of one file
FARTHEST = 10.0  # of truncation: where styles and heads are nothing that anybody has seen


def whole(text: str) -> int:
    """A whole number from 0, as an argument."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    if len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"a number of {len(text)} digits: it may have {MOST_DIGITS}")
    return int(text)


def count(text: str, most: int = 10**MOST_DIGITS) -> int:
    """A whole number from 1 to `most`, as an argument."""
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    if int(text) > most:
        raise argparse.ArgumentTypeError(f"{text} is more than {most}")
    return int(text)


def up_to(most: int) -> Callable[[str], int]:
    """`count`, with a limit."""
    return lambda text: count(text, most)


pixels, cells, frames = up_to(MOST_PIXELS), up_to(MOST_CELLS), up_to(MOST_FRAMES)
fps, columns = up_to(MOST_FPS), up_to(MOST_COLUMNS)


def check_pictures(number_of: int) -> None:
    """See that a file has no more pictures than can be waited for.

    Raises:
        InputError: it has.
    """
    if number_of > MOST_PICTURES:
        raise InputError(f"{number_of:,} pictures: one file has {MOST_PICTURES:,} at most")


def threads(text: str) -> int:
    """How many threads, as an argument; 0 is one a core."""
    return whole(text) and count(text, MOST_THREADS)


def number(text: str) -> float:
    """A number, as an argument: none that is infinite or undefined, which cameras and networks take without a word."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return found


def psi(text: str) -> float:
    """A truncation, as an argument."""
    found = number(text)
    if abs(found) > FARTHEST:
        raise argparse.ArgumentTypeError(f"{text} is not within -{FARTHEST:.0f} and {FARTHEST:.0f}")
    return found


def degrees(text: str) -> float:
    """An angle, as an argument."""
    return _within(text, *LIMITS["yaw"])


def pitch(text: str) -> float:
    """An angle up or down, as an argument."""
    return _within(text, *LIMITS["pitch"])


def _within(text: str, low: float, high: float) -> float:
    found = number(text)
    if not low <= found <= high:
        raise argparse.ArgumentTypeError(f"{text} is not within {low:g} and {high:g} degrees")
    return found


def text(words: str) -> str:
    """Words, as an argument: none of bytes that are no text."""
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{words!r} is no text in UTF-8") from error
    return words


def head(text: str) -> str:
    """A head, as an argument: a seed, a name, or of a file that holds an edited head that one's text."""
    if text.startswith(MARK):
        return text
    if not Path(text).suffix or not Path(text).is_file():
        if Path(text).suffix.lower() in (*PICTURES, *FILMS, *MESHES):
            raise argparse.ArgumentTypeError(f"there is no file {text}")
        return text
    try:
        arguments = read_record(text).get("arguments", {})
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    scene = arguments.get("scene")
    scene = scene if isinstance(scene, dict) else {}  # Files of others may hold anything.
    if scene.get("photo"):
        raise argparse.ArgumentTypeError(f"the head in {text} was fitted to a photo, which it does not hold")
    for found in (arguments.get("edited"), arguments.get("head"), scene.get("head")):
        if str(found).startswith(MARK):
            return found
    several = arguments.get("heads")
    several = several if isinstance(several, list) else []
    edited = list(dict.fromkeys(str(one) for one in several if str(one).startswith(MARK)))
    if len(edited) > 1:
        raise argparse.ArgumentTypeError(
            f"{text} holds {len(edited)} edited heads: name the file of one, that `sofgan edit` made"
        )
    if edited:
        return edited[0]
    raise argparse.ArgumentTypeError(
        f"{text} holds no edited head: files of `sofgan edit` do, and what is made of such heads"
    )
