"""`sofgan page`: one HTML file in which heads are turned and restyled, without a server."""

import argparse
from functools import partial

from sofgan.apps.engine import Engine
from sofgan.apps.results import Page
from sofgan.commands import common
from sofgan.page.build import Content, build
from sofgan.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
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
    content = Content(
        arguments.heads, arguments.looks, arguments.look, arguments.psi, arguments.head_psi, arguments.size,
        arguments.title,
    )  # fmt: skip
    return build(engine, content, progress)


run = partial(common.finish, make)
