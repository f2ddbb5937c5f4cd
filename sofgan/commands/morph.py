"""`sofgan morph`: a film through several heads and looks, slow at each, whose end joins its beginning."""

import argparse
from functools import partial

import numpy as np
import torch

from sofgan.apps.edited_heads import blend
from sofgan.apps.engine import Engine
from sofgan.apps.results import FILMS, Film, check_film
from sofgan.commands import common, kinds
from sofgan.errors import InputError
from sofgan.progress import Progress
from sofgan.sof.sampling import ease


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--heads",
        nargs="+",
        type=kinds.head,
        default=["0", "1", "3"],
        help="seeds, names of the field's heads, or files of `sofgan edit`",
    )
    parser.add_argument(
        "--looks", type=kinds.whole, nargs="+", default=[],
        help="seeds, one for each head or one (one each: 0 1 2 ...)",
    )  # fmt: skip
    parser.add_argument("--frames", type=kinds.frames, default=24, help="from one head to the next")
    parser.add_argument("--fps", type=kinds.fps, default=24, help="frames a second")
    parser.add_argument(
        "--yaw",
        type=kinds.degrees,
        default=15.0,
        help="degrees that the camera turns to either side meanwhile",
    )
    common.add_size(parser)
    common.add_psi(parser)
    common.add_models(parser, "morph.webp")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> Film:
    """The film."""
    heads = arguments.heads
    seeds = arguments.looks or list(range(len(heads)))
    if len(seeds) not in (1, len(heads)):
        raise InputError(f"{len(seeds)} looks for {len(heads)} heads: name one for each, or one")
    codes = [engine.head(name, arguments.head_psi) for name in heads]
    looks = [engine.look(seed, arguments.psi) for seed in (seeds * len(heads) if len(seeds) == 1 else seeds)]
    shares = ease(torch.arange(arguments.frames) / arguments.frames).tolist()
    count = len(heads) * arguments.frames
    kinds.check_pictures(count)
    side = engine.siw.resolution
    check_film(arguments.out.suffix.lower(), side, side, arguments.fps)  # now, not after all is painted
    scenes = []
    for leg in range(len(heads)):
        after = (leg + 1) % len(heads)
        for step, share in enumerate(shares):
            turn = 2 * np.pi * (leg * arguments.frames + step) / count
            camera = engine.camera(arguments.yaw * np.sin(turn), 0.0, arguments.size)
            code = blend(codes[leg], codes[after], share)
            scenes.append((code, looks[leg].towards(looks[after], share), camera))
    return Film(engine.pictures(scenes, progress), arguments.fps)


run = partial(common.finish, make, FILMS)
