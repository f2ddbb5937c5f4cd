"""A worker that does what was asked for last."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Newest(Generic[Item]):
    """A thread that works on the newest item; items that newer ones overtake are never begun.

    Args:
        work: is given an item, and `overtaken`: whether a newer one waits by now, or comes within so many seconds.
        failed: is told what `work` raised; the thread goes on.
    """

    def __init__(
        self,
        work: Callable[[Item, Callable[..., bool]], None],
        failed: Callable[[Exception], None],
        name: str = "newest",
    ):
        self._work, self._failed = work, failed
        self._changed, self._item, self._waits, self._open = threading.Condition(), None, False, True
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Have an item worked on, in the place of any that waits; returns at once."""
        with self._changed:
            self._item, self._waits = item, True
            self._idle.clear()
            self._changed.notify()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing waits or is worked on, at most so long; whether it is so."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """End the thread, and wait for what it works on; what waits is dropped."""
        with self._changed:
            self._open, self._waits = False, False
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _overtaken(self, seconds: float = 0.0) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._waits or not self._open, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waits:
                    self._idle.set()
                while self._open and not self._waits:
                    self._changed.wait()
                if not self._open:
                    self._idle.set()
                    return
                item, self._item, self._waits = self._item, None, False  # What is done is not kept.
            try:
                self._work(item, self._overtaken)
            except Exception as error:  # Whatever it is, the visitor's next wish is worked on.
                self._failed(error)
