"""Errors that a person who runs this can mend: said in one sentence, without a traceback."""

import os
import pickle
import sys
from collections.abc import Callable

DEBUG = "SOFGAN_DEBUG"  # set to anything: tracebacks of such errors too
CUT = 141  # exit status, as shells have it for SIGPIPE


class UserError(Exception):
    """An input, a setting or the machine is at fault; the message is one sentence that says what to do.

    Whatever is no such error is a fault of this project, and ends in a traceback. It travels between processes, so its
    only argument is the message.
    """


class MissingInput(UserError, FileNotFoundError):
    """A file or folder that is needed is not there."""


class InputError(UserError, ValueError):
    """An input that can't be used."""


def debugging() -> bool:
    """Whether tracebacks are wanted where a sentence would do."""
    return bool(os.environ.get(DEBUG))


def sentence(error: BaseException) -> str:
    """The error's message on one line; its type, where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def in_a_sentence(main: Callable[[], int | None]) -> int:
    """The exit status of a script's `main`: a user's error is told on stderr, without a traceback; nothing is where who
    reads the output has gone, as `head` has."""
    try:
        status = main() or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # where what is still kept is flushed to
        return CUT
    except UserError as error:
        if debugging():
            raise
        print(sentence(error), file=sys.stderr)
        return 1


def portable(error: Exception) -> Exception:
    """The error itself where another process can take it in, else a `RuntimeError` that has its type and message.

    What holds pointers (PyOpenGL's errors do) can't be sent, and what wants further arguments can't be made again.
    """
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # Foreign errors fail in any way.
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
