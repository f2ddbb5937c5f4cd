"""A dvc that is at work in the project's folder, while which parameters and lists of code stay as they are.

DVC records what a stage depends on as it is when the stage ends. What changed meanwhile would count as what its outs
were made with, and they would never be made anew.
"""

import json
from pathlib import Path

import psutil

from sofgan.errors import UserError


def dvc_at_work(root: Path) -> str | None:
    """The command of a dvc process that reads or writes something of the project now, if there is one."""
    path = root / ".dvc/tmp/rwlock"
    try:
        held = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:  # It is being written.
        return "dvc"
    readers = (reader for several in held.get("read", {}).values() for reader in several)
    holders = (*held.get("write", {}).values(), *readers)
    return next((holder["cmd"] for holder in holders if psutil.pid_exists(holder["pid"])), None)


def refuse_while_at_work(root: Path, error: type[UserError]) -> None:
    """See that no dvc is at work in the project.

    Raises:
        UserError: one is; of the kind given.
    """
    if command := dvc_at_work(root):
        raise error(f"dvc is at work ({command}); try again when it has ended")
