"""Controls of a page that both show something and change it."""

from collections.abc import Callable

import viser


def on_visitor(handle: viser.GuiInputHandle, act: Callable[[], None]) -> None:
    """Act when a visitor changes a control, and not when the page itself does to show what is."""

    @handle.on_update
    def _(event: viser.GuiEvent) -> None:
        if event.client is not None:
            act()
