"""`sofgan orbit`: a film around one head, whose end joins its beginning."""

import argparse
from functools import partial

import numpy as np

from sofgan.apps import camera_paths
from sofgan.apps.engine import Engine
from sofgan.apps.results import FILMS, Film, check_film
from sofgan.commands import common, kinds
from sofgan.labels import colorize, resize
from sofgan.progress import Progress

RECORDED = {"angles": []}  # beside its arguments: what the file of keyframes holds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_head(parser)
    parser.add_argument(
        "--looks", type=kinds.whole, nargs="+", default=[0], help="seeds of looks, side by side"
    )
    parser.add_argument("--path", choices=("orbit", "spiral"), default="orbit", help="of the camera")
    parser.add_argument(
        "--keyframes", default="", help="YAML list of {yaw, pitch, zoom} to go through, in its place"
    )
    parser.add_argument("--yaw", type=kinds.degrees, default=40.0, help="degrees to either side")
    parser.add_argument(
        "--pitch", type=kinds.pitch, default=8.0, help="degrees: height of an orbit, half of a spiral's"
    )
    parser.add_argument("--frames", type=kinds.frames, default=48, help="of the film")
    parser.add_argument("--fps", type=kinds.fps, default=24, help="frames a second")
    parser.add_argument("--map", action="store_true", help="the label map at the left")
    common.add_size(parser)
    common.add_psi(parser)
    common.add_models(parser, "orbit.webp")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> Film:
    """The film."""
    if arguments.keyframes:
        if not getattr(arguments, "angles", None):  # A record has them, wherever the file is now.
            arguments.angles = camera_paths.read_keyframes(arguments.keyframes)
        keyframes = camera_paths.keyframes_of(arguments.angles, arguments.keyframes)
        angles = camera_paths.through(keyframes, arguments.frames)
    else:
        path = {"orbit": camera_paths.orbit, "spiral": camera_paths.spiral}[arguments.path]
        angles = path(arguments.frames, arguments.yaw, arguments.pitch)
    kinds.check_pictures(len(arguments.looks) * len(angles))
    side = engine.siw.resolution
    width = side * (len(arguments.looks) + arguments.map)
    check_film(arguments.out.suffix.lower(), width, side, arguments.fps)  # now, not after all is painted
    code = engine.head(arguments.head, arguments.head_psi)
    looks = [engine.look(seed, arguments.psi) for seed in arguments.looks]
    cameras = [engine.camera(one.yaw, one.pitch, arguments.size, one.zoom) for one in angles]
    pictures = engine.pictures(((code, look, camera) for camera in cameras for look in looks), progress)
    columns = list(pictures.reshape(len(cameras), len(looks), *pictures.shape[1:]).swapaxes(0, 1))
    if arguments.map:
        maps = np.stack([resize(engine.view(code, camera).labels, side) for camera in cameras])
        columns.insert(0, colorize(maps))
    return Film(np.concatenate(columns, 2), arguments.fps)


run = partial(common.finish, make, FILMS)
