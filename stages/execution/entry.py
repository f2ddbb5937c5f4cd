"""The one way into a stage: a user's error ends it in one sentence on stderr and exit status 1, wherever it runs.

    if __name__ == "__main__":
        enter(main)

A traceback is for faults of this project, or for who sets SOFGAN_DEBUG. Whatever stops a stage that DVC runs, its last
outs, which DVC has removed before, are told of (`stages.execution.recovery`). MLflow's run ends with the same sentence.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from sofgan.errors import debugging
from stages.execution import recorded, recovery
from stages.execution.error_sentences import words
from stages.tracking import run

# Folder where processes that train together leave their errors (stages.execution.torchrun).
ERRORS = "SOFGAN_TORCHRUN_ERRORS"
MARK = ": error: "  # between a stage's name and its sentence; `pipelines` reads it


def enter(main: Callable[[], None]) -> None:
    """Run a stage's `main`; ends the process with status 1 where it fails, by SIGINT where it is interrupted."""
    name, item = stage_and_item()
    full_name = f"{name}@{item}" if item else name
    try:
        recorded.begin()
        main()
        recorded.check()
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


def stage_and_item() -> tuple[str, str | None]:
    """Name of the stage, and its batch or method, that this process is: as dvc says, else by the command line."""
    if full_name := os.environ.get("DVC_STAGE"):
        name, _, item = full_name.partition("@")
        return name, item or None
    spec = sys.modules["__main__"].__spec__
    name = spec.name.rpartition(".")[2] if spec else Path(sys.argv[0]).stem
    item = next(
        (after for word, after in zip(sys.argv, sys.argv[1:]) if word in ("--batch", "--method")), None
    )
    return name, item


def _leave(folder: Path, said: str | None, text: str | None) -> None:
    """Leave a failure for torchrun's process, which tells one for all."""
    path = folder / f"{os.environ.get('RANK', '0')}.json"
    path.write_text(json.dumps({"said": said, "text": text}))


def _say(*texts: str | None) -> None:
    for text in texts:
        if text:
            print(text, file=sys.stderr, flush=True)
