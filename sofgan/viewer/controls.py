"""Controls of a page that both show something and change it, and those that wait for a computation."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import viser

from sofgan.errors import UserError, sentence
from sofgan.viewer.bar import Bar

HIGHEST_SEED = 1_000_000  # that a page asks for
FAULT = "Something went wrong here: where the viewer runs, it is printed what."  # of what is no user's error


def on_visitor(handle: viser.GuiInputHandle, act: Callable[[], None]) -> Callable[[], None]:
    """Act when a visitor changes a control, and not when the page itself does to show what is.

    Returns:
        what else may act on the control's value: one at a time.
    """
    acting = threading.Lock()

    def alone() -> None:
        # viser calls from many threads: who reads the control first must not be the last to act on it.
        with acting:
            act()

    @handle.on_update
    def _(event: viser.GuiEvent) -> None:
        if event.client is not None:
            alone()

    return alone


@contextmanager
def busy(
    controls: Sequence[viser.GuiInputHandle],
    bar: viser.GuiInputHandle,
    tell: Callable[[str], None],
    is_open: Callable[[], bool],
) -> Iterator[Bar]:
    """A listener that moves a bar, while controls wait for a computation; an error in it is told.

    Only a user's error ends here: viser prints any other one.

    A page that was closed meanwhile is told nothing more: nobody sees it, and viser warns of it.

    Args:
        tell: is given the error's sentence, or `FAULT`.
        is_open: whether the page is.
    """
    for one in controls:
        one.disabled = True
    bar.value, bar.visible = 0.0, True
    try:
        yield Bar(bar)
    except UserError as error:
        if is_open():
            tell(sentence(error))
    except Exception:
        if is_open():
            tell(FAULT)
        raise
    finally:
        if is_open():
            bar.visible = False
            for one in controls:
                one.disabled = False
