"""`sofgan page`: one HTML file in which heads are turned and restyled, without a server."""

import argparse
from functools import partial

from sofgan.apps.engine import Engine
from sofgan.apps.photo import photo_parser, read_photo
from sofgan.apps.photo_head import PHOTO, fit_photo
from sofgan.apps.results import Page
from sofgan.commands import common
from sofgan.page.build import Content, build
from sofgan.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--photo",
        default="",
        help="a person's photo, whose head it shows in place of --heads; about a minute",
    )
    parser.add_argument(
        "--heads", nargs="+", default=["8", "2", "7", "10"], help="seeds, or names of the field's heads"
    )
    parser.add_argument(
        "--looks", type=common.count, default=100, help="how many looks it carries: seeds from 0"
    )
    parser.add_argument("--look", type=common.whole, default=0, help="seed of the look that it opens with")
    parser.add_argument("--title", default=Content.title, help=f"of the page ({Content.title})")
    common.add_size(parser)
    common.add_psi(parser)
    common.add_models(parser, "page.html")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> Page:
    """The page."""
    heads = arguments.heads
    if photo := getattr(arguments, "photo", ""):  # Records of earlier versions have none.
        person = fit_photo(engine, read_photo(photo, photo_parser(engine)), progress=progress)
        engine, heads = person.engine, [PHOTO]
    content = Content(
        heads, arguments.looks, arguments.look, arguments.psi, arguments.head_psi, arguments.size,
        arguments.title,
    )  # fmt: skip
    return build(engine, content, progress)


run = partial(common.finish, make)
