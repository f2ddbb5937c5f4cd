"""`sofgan page`: one HTML file in which heads are turned and restyled, without a server."""

import argparse
from functools import partial
from pathlib import Path

from sofgan.apps.engine import Engine
from sofgan.apps.photo import photo_parser, read_photo
from sofgan.apps.photo_head import PHOTO, fit_photo
from sofgan.apps.results import PAGES, Page
from sofgan.commands import common, kinds
from sofgan.page.build import Content, build
from sofgan.progress import Progress

RECORDED = {common.PHOTOS: []}  # beside its arguments
MOST_LOOKS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--photo",
        default="",
        help="a person's photo, whose head it shows in place of --heads; about a minute",
    )
    parser.add_argument(
        "--heads",
        nargs="+",
        type=kinds.head,
        default=["8", "2", "7", "10"],
        help="seeds, names of the field's heads, or files of `sofgan edit`",
    )
    parser.add_argument(
        "--looks", type=kinds.up_to(MOST_LOOKS), default=100, help="how many looks it carries: seeds from 0"
    )
    parser.add_argument("--look", type=kinds.whole, default=0, help="seed of the look that it opens with")
    parser.add_argument(
        "--title", type=kinds.text, default=Content.title, help=f"of the page ({Content.title})"
    )
    common.add_size(parser)
    common.add_psi(parser)
    common.add_models(parser, "page.html")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> Page:
    """The page.

    Raises:
        InputError: the photo is not that of the record; or as `read_photo` and `build`.
    """
    heads = arguments.heads
    if name := arguments.photo:
        common.check_file(name, "a photo")
        photo = read_photo(name, photo_parser(engine))
        common.know_photos(arguments, [photo], [name])
        # For the record, in a file that is made to be sent: where the photo lies is nobody's business.
        arguments.photo = Path(name).name
        engine, heads = fit_photo(engine, photo, progress=progress).engine, [PHOTO]
    content = Content(
        heads, arguments.looks, arguments.look, arguments.psi, arguments.head_psi, arguments.size,
        arguments.title,
    )  # fmt: skip
    return build(engine, content, progress)


run = partial(common.finish, make, PAGES)
