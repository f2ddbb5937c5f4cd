"""A bar on a page that tells how far a computation is."""

from dataclasses import dataclass

import viser

from sofgan.progress import Progress


@dataclass
class Bar(Progress):
    """Listener that moves a page's bar."""

    bar: viser.GuiInputHandle

    def items(self, done: int, total: int, unit: str = "items", note: str = "") -> None:  # noqa: ARG002
        """Move the bar."""
        self.bar.value = 100.0 * done / total
