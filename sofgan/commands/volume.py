"""`sofgan volume`: a head as a volume, the paper's Fig. 2."""

import argparse
from functools import partial

import numpy as np

from sofgan.apps.engine import Engine
from sofgan.apps.results import PICTURES
from sofgan.apps.volume_picture import volume_picture
from sofgan.commands import common, kinds
from sofgan.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_head(parser)
    parser.add_argument(
        "--head-psi", type=kinds.psi, default=1.0, help="towards the mean head: 1 not at all, 0 fully"
    )
    parser.add_argument("--yaw", type=kinds.degrees, default=30.0, help="degrees")
    parser.add_argument("--pitch", type=kinds.pitch, default=6.0, help="degrees")
    parser.add_argument("--size", type=kinds.pixels, default=160, help="pixels of a tile")
    common.add_models(parser, "volume.png")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> np.ndarray:  # noqa: ARG001
    """The sheet (H, W, 3) uint8."""
    prepared = engine.prepared(engine.head(arguments.head, arguments.head_psi))
    yaw, pitch = np.radians(arguments.yaw), np.radians(arguments.pitch)
    return np.array(volume_picture(engine.sof, prepared, yaw, pitch, arguments.size))


run = partial(common.finish, make, PICTURES)
