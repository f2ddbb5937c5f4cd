"""Sentences for errors that a user can mend, whatever stage they stop."""

import errno
import os

from sofgan.errors import UserError, sentence
from stages.execution import recovery

FULL = (errno.ENOSPC, errno.EDQUOT)


FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


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
