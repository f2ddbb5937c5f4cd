"""Long computations in pieces, of which a run that was stopped keeps those that are done."""

from dataclasses import dataclass
from pathlib import Path

from sofgan.parallel import Mapper
from sofgan.progress import SILENT, Progress


@dataclass(frozen=True)
class Pieces:
    """Workers on the pieces of a computation, the folder that keeps these, and a listener. None of it changes a result.

    Attributes:
        folder: is there, is seen by all workers at the same path, and holds pieces of this very computation alone
            (`sofgan.fingerprint.kept_folder`). Its owner removes it.
        mapper: works off pieces, in order; None: the calling process does.
        progress: listener.
    """

    folder: Path
    mapper: Mapper | None = None
    progress: Progress = SILENT
