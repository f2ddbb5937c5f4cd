"""The one way into a stage: a user's error ends it in one sentence on stderr and exit status 1, wherever it runs.

    if __name__ == "__main__":
        enter(main)

A traceback is for faults of this project, or for who sets SOFGAN_DEBUG. Whatever stops a stage that DVC runs, its last
outs, which DVC has removed before, are told of (`stages.execution.recovery`). MLflow's run ends with the same sentence.
"""

import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from sofgan.errors import UserError, debugging, sentence
from stages.execution import recovery

# Folder where processes that train together leave their errors (stages.execution.torchrun).
ERRORS = "SOFGAN_TORCHRUN_ERRORS"
MARK = ": error: "  # between a stage's name and its sentence; `pipelines` reads it
FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def enter(main: Callable[[], None]) -> None:
    """Run a stage's `main`; ends the process with status 1 where it fails, by SIGINT where it is interrupted."""
    name, item = stage_and_item()
    full_name = f"{name}@{item}" if item else name
    try:
        main()
    except KeyboardInterrupt:
        if ERRORS not in os.environ:
            _say(f"{full_name}: interrupted", recovery.advice(os.environ.get("DVC_STAGE")))
        # As Python itself ends then: who started this sees that it was interrupted.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except Exception as error:
        said = words(error)
        text = None if said and not debugging() else traceback.format_exc().rstrip()
        if said:
            from stages.tracking import run  # It imports this module.

            run.note_failure(name, item, said)
        if folder := os.environ.get(ERRORS):
            _leave(Path(folder), said, text)
        else:
            tell(full_name, said, text)
        sys.exit(1)


def tell(full_name: str, said: str | None, text: str | None) -> None:
    """Print a failure: its traceback, if there is one, its sentence, if it has one, and what became of the outs."""
    own = f"{full_name}{MARK}{said}" if said else None
    _say(text, own, recovery.advice(os.environ.get("DVC_STAGE")))


def words(error: BaseException) -> str | None:
    """The sentence of an error that the user can mend; None for a fault of this project."""
    if isinstance(error, UserError):
        return sentence(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        return (
            f"the memory is full ({sentence(error)}): a smaller batch or fewer pictures of this stage in params.yaml, "
            "or fewer processes (runtime.workers), need less"
        )
    if not isinstance(error, OSError):
        return None
    path = os.fspath(error.filename) if isinstance(error.filename, str | os.PathLike) else ""
    if error.errno in FULL:
        where = f" for {path}" if path else ""
        return (
            f"no space is left on the disk{where}: free some (`dvc gc --workspace` drops from DVC's cache what is in "
            "use no more), then start again"
        )
    if error.errno in FORBIDDEN and path:
        return f"{path} may not be used: {error.strerror}; change its permissions, or those of its folder"
    if error.errno == errno.ENOENT and path and (maker := recovery.maker(path)):
        return f"{path} is not there: `dvc repro {maker}` makes it, `dvc pull` fetches it where it was pushed"
    return None


def stage_and_item() -> tuple[str, str | None]:
    """Name and batch of the stage that this process is: as dvc says, else by the command line."""
    if full_name := os.environ.get("DVC_STAGE"):
        name, _, item = full_name.partition("@")
        return name, item or None
    spec = sys.modules["__main__"].__spec__
    name = spec.name.rpartition(".")[2] if spec else Path(sys.argv[0]).stem
    item = next((after for word, after in zip(sys.argv, sys.argv[1:]) if word == "--batch"), None)
    return name, item


def _leave(folder: Path, said: str | None, text: str | None) -> None:
    """Leave a failure for torchrun's process, which tells one for all."""
    path = folder / f"{os.environ.get('RANK', '0')}.json"
    path.write_text(json.dumps({"said": said, "text": text}))


def _say(*texts: str | None) -> None:
    for text in texts:
        if text:
            print(text, file=sys.stderr, flush=True)
