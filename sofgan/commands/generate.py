"""`sofgan generate`: a grid of new heads in new looks."""

import argparse
from functools import partial

import numpy as np

from sofgan.apps.engine import MOST_DIGITS, Engine
from sofgan.apps.results import PICTURES
from sofgan.commands import common, kinds
from sofgan.errors import InputError
from sofgan.images import sheet
from sofgan.labels import colorize, resize
from sofgan.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--seed", type=kinds.whole, default=0, help="of the first head; the next ones follow")
    parser.add_argument("--heads", type=kinds.columns, default=6, help="rows")
    parser.add_argument("--looks", type=kinds.columns, default=6, help="columns, each look on all heads")
    parser.add_argument("--look-seed", type=kinds.whole, default=0, help="of the first look")
    parser.add_argument("--yaw", type=kinds.degrees, default=0.0, help="degrees")
    parser.add_argument("--pitch", type=kinds.pitch, default=0.0, help="degrees")
    parser.add_argument("--maps", action="store_true", help="a first column of label maps")
    common.add_size(parser)
    common.add_psi(parser)
    common.add_models(parser, "heads.png")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> np.ndarray:
    """The grid (H, W, 3) uint8.

    Raises:
        InputError: it is too large, or the last head's seed is.
    """
    kinds.check_pictures(arguments.heads * arguments.looks)
    if len(str(arguments.seed + arguments.heads - 1)) > MOST_DIGITS:
        raise InputError(
            f"--seed {arguments.seed} is too high for {arguments.heads} heads: seeds have {MOST_DIGITS} digits at most"
        )
    camera = engine.camera(arguments.yaw, arguments.pitch, arguments.size)
    codes = [engine.head(arguments.seed + n, arguments.head_psi) for n in range(arguments.heads)]
    looks = [engine.look(arguments.look_seed + n, arguments.psi) for n in range(arguments.looks)]
    pictures = engine.pictures(((code, look, camera) for code in codes for look in looks), progress)
    grid = sheet(pictures, arguments.looks)
    if arguments.maps:
        maps = np.stack([resize(engine.view(code, camera).labels, engine.siw.resolution) for code in codes])
        grid = np.concatenate((sheet(colorize(maps), 1), grid), 1)
    return grid


run = partial(common.finish, make, PICTURES)
