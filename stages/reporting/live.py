"""Heads that turn and are restyled on the report itself, as `sofgan page` makes them."""

from pathlib import Path

from sofgan.apps.engine import Engine
from sofgan.apps.results import PAGE_PLACE
from sofgan.page.build import Content, build
from stages import paths

HEADS, LOOKS = ("8", "2", "7"), 40


def live_page(root: Path) -> str:
    """An HTML document of the models that a project trained.

    Raises:
        MissingInput: one of them is not there.
        InputError: they are of kinds that a page can't show, or too large for it.
    """
    engine = Engine.load(root / paths.SIW.parent)
    return build(engine, Content(HEADS, LOOKS)).html.replace(PAGE_PLACE, "")
