"""torchrun with one message for a failure of processes that train together, not one of each.

Run as `python -m stages.execution.torchrun ARGUMENTS`, with torchrun's arguments.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from sofgan.errors import debugging
from stages.execution.entry import ERRORS, stage_and_item, tell


def main(arguments: list[str]) -> None:
    """Ends this process as a stage's own would end: with status 1 after a failure, by the signal that stopped it."""
    if not debugging():  # It logs each process that it stops.
        logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="sofgan-errors-") as folder:
        os.environ[ERRORS] = folder
        try:
            run.main(arguments)
        except ChildFailedError as failed:
            _tell(Path(folder), failed, arguments)
            sys.exit(1)
        except SignalException as stopped:
            number = stopped.sigval
        else:
            return
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _tell(folder: Path, failed: ChildFailedError, arguments: list[str]) -> None:
    """The first user's error; else the first traceback, as what stops one process stops the others by its silence."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(ValueError):  # Killed while it wrote.
            found.append(json.loads(path.read_text()))
    chosen = next((error for error in found if error["said"]), found[0] if found else None)
    name, item = stage_and_item()
    if not os.environ.get("DVC_STAGE") and "-m" in arguments:
        name = arguments[arguments.index("-m") + 1].rpartition(".")[2]
    full_name = f"{name}@{item}" if item else name
    if chosen:
        tell(full_name, chosen["said"], chosen["text"])
        return
    rank, failure = failed.get_first_failure()
    how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}"
    tell(
        full_name,
        f"process {rank} of those that train together ended by {how}, most often as memory was full",
        None,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
