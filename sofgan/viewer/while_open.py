"""An end to long computations whose page was closed."""

import threading

from sofgan.errors import InputError
from sofgan.progress import Progress


class WhileOpen(Progress):
    """Listener that tells another how far a computation is, and ends the computation once the page is closed.

    Args:
        listener: the other.
        closed: is set when the page is.
    """

    def __init__(self, listener: Progress, closed: threading.Event):
        self._listener, self._closed = listener, closed

    def see(self) -> None:
        """See that the page is open.

        Raises:
            InputError: it was closed.
        """
        if self._closed.is_set():
            raise InputError("the page was closed")

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:
        """Tell how far it is.

        Raises:
            InputError: the page was closed.
        """
        self.see()
        self._listener.items(done, total, unit, note)
