"""`sofgan edit`: someone paints into one view's label map, and the head follows on all sides."""

import argparse
from pathlib import Path

import numpy as np

from sofgan.apps import edited_heads
from sofgan.apps.drawn_maps import packed, read_map, unpacked
from sofgan.apps.edit import edit_head
from sofgan.apps.engine import Engine
from sofgan.apps.results import PICTURES
from sofgan.commands import common, kinds
from sofgan.errors import InputError, MissingInput
from sofgan.images import sheet
from sofgan.labels import colorize, resize
from sofgan.progress import Progress

SHOWN = 512  # pixels at least of the map that is written to be painted in
YAWS = (-40.0, -20.0, 0.0, 20.0, 40.0)  # degrees, of the sides
OTHERS = tuple(str(seed) for seed in range(8))  # heads whose map might have been painted in by mistake
NEARER = 0.5  # share of the differing pixels that another map may have at most, to be told of
SHEET = (
    "from the top: the map before, as painted, as the head has it, pictures before and after; five sides before; "
    "after; their maps before; after"
)


RECORDED = {"wanted": "", "edited": ""}  # beside its arguments: the painted map, and the head that was found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("map", type=Path, help="the view's label map with what was painted into it, a PNG")
    parser.add_argument(
        "--start", action="store_true", help="write the head's own map to that file instead, to paint in"
    )
    common.add_head(parser)
    parser.add_argument("--yaw", type=kinds.degrees, default=0.0, help="degrees, of the map's camera")
    parser.add_argument("--pitch", type=kinds.pitch, default=0.0, help="degrees")
    parser.add_argument("--look", type=kinds.whole, default=0, help="seed of the look that is painted")
    parser.add_argument("--seed", type=kinds.whole, default=0, help="of what the fit draws")
    common.add_size(parser)
    common.add_psi(parser)
    common.add_models(parser, "edited.png")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> np.ndarray:
    """The sheet (5 R, 5 R, 3) uint8: the map before, as painted, as the head has it, and the pictures before and after;
    below, pictures of five sides before and after, and their maps. With `start` the map before alone, to paint in.

    The head is found once; the arguments then hold it, and another call shows it.
    """
    head = engine.head(arguments.head, arguments.head_psi)
    camera = engine.camera(arguments.yaw, arguments.pitch, arguments.size)
    before = engine.view(head, camera).labels
    if arguments.start:
        return colorize(resize(before, arguments.size * -(-SHOWN // arguments.size)))
    wanted = unpacked(arguments.wanted)
    if not getattr(arguments, "edited", ""):
        if wanted.shape != (camera.size, camera.size):
            raise InputError(f"the record's label map has other pixels than {camera.size} along a side")
        if begun := _likelier_beginning(engine, arguments, before, wanted):
            common.note(f"the map is much nearer to that of {begun}: was it begun with that?")
        found = edit_head(engine, head, camera, wanted, arguments.seed, progress)
        arguments.edited = edited_heads.to_text(engine.sof, found.head)
        print(
            f"{found.followed:.1%} of the painted pixels and {found.kept:.1%} of the others are as in the map"
        )
    edited, look = engine.head(arguments.edited), engine.look(arguments.look, arguments.psi)
    after = engine.view(edited, camera).labels
    first = [*(_shown(engine, labels) for labels in (before, wanted, after))]
    first += [engine.paint(labels, look) for labels in (before, after)]
    sides = [engine.camera(arguments.yaw + yaw, arguments.pitch, arguments.size) for yaw in YAWS]
    maps = [[engine.view(one, side).labels for side in sides] for one in (head, edited)]
    pictures = [[engine.paint(labels, look) for labels in row] for row in maps]
    rows = [first, *pictures, *([_shown(engine, labels) for labels in row] for row in maps)]
    return sheet(np.stack([tile for row in rows for tile in row]), len(YAWS))


def _likelier_beginning(
    engine: Engine, arguments: argparse.Namespace, before: np.ndarray, wanted: np.ndarray
) -> str:
    """The arguments of another head or yaw, if one's map is much nearer to the painted one; else "".

    Painting programs drop the record that says which head a map is of, and a map of another head is fitted as a large
    edit of this one without an error.
    """
    others = [(f"--head {name}", name, arguments.yaw) for name in OTHERS if name != arguments.head]
    others += [(f"--yaw {yaw:g}", arguments.head, yaw) for yaw in YAWS if yaw != arguments.yaw]
    differing = {}
    for words, name, yaw in others:
        camera = engine.camera(yaw, arguments.pitch, arguments.size)
        shown = engine.view(engine.head(name, arguments.head_psi), camera).labels
        differing[words] = (shown != wanted).mean()
    nearest = min(differing, key=differing.__getitem__)
    return nearest if differing[nearest] < NEARER * (before != wanted).mean() else ""


def _shown(engine: Engine, labels: np.ndarray) -> np.ndarray:
    return colorize(resize(labels, engine.siw.resolution))


def run(arguments: argparse.Namespace) -> None:
    """Edit the head and write the sheet, or with --start the map.

    Raises:
        MissingInput: there is no such map.
        InputError: it can't be used, the sheet can't be written, or with --start there is a file already.
    """
    path = arguments.map
    arguments.map = path.name  # as records hold it, and the map itself
    if arguments.start:
        if path.is_file():
            raise InputError(
                f"{path} is there already, and may have been painted in: remove it, or name another file"
            )
        arguments.out = path
    elif not path.is_file():
        raise MissingInput(
            f"no file {path}: the same command with --start writes the head's map to it, to paint in"
        )
    else:
        arguments.wanted = packed(read_map(path.read_bytes(), arguments.size))
    common.finish(make, PICTURES, arguments)
    if not arguments.start:
        print(SHEET)
