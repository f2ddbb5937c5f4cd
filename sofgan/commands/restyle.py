"""`sofgan restyle`: a grid of one head, whose regions take the styles of other looks."""

import argparse
from pathlib import Path

import numpy as np

from sofgan.apps.engine import Engine
from sofgan.apps.looks import REGION_NAMES, region_index
from sofgan.apps.photo import photo_look, photo_parser, read_photo
from sofgan.apps.results import PICTURES
from sofgan.apps.settle import settle
from sofgan.apps.style_fit import region_colors
from sofgan.commands import common, kinds
from sofgan.images import sheet
from sofgan.labels import resize
from sofgan.progress import Progress
from sofgan.siw.mixing import class_to_group

RECORDED = {common.PHOTOS: []}  # beside its arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_head(parser)
    parser.add_argument("--look", type=kinds.whole, default=0, help="seed of the look that is kept elsewhere")
    parser.add_argument(
        "--others", type=kinds.whole, nargs="+", default=[1, 2, 3], help="seeds of looks, a row each"
    )
    parser.add_argument(
        "--photos",
        nargs="+",
        default=[],
        help="people's photos, a row each, in place of --others: the photo, and then its look",
    )
    parser.add_argument(
        "--regions", nargs="+", default=["skin", "lips", "hair", "cloth", "background"],
        help=f"a column each, after the look itself, with all regions in the last one; joined with +: several at once, "
        f"as in hair+brow; of {', '.join(REGION_NAMES)}",
    )  # fmt: skip
    parser.add_argument("--yaw", type=kinds.degrees, default=0.0, help="degrees")
    parser.add_argument("--pitch", type=kinds.pitch, default=0.0, help="degrees")
    common.add_size(parser)
    common.add_psi(parser)
    common.add_models(parser, "restyled.png")


def make(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> np.ndarray:
    """The grid (H, W, 3) uint8: the look itself, a region restyled in each column, and all of them; of photos, each row
    begins with the photo as it was aligned."""
    columns = [column.split("+") for column in arguments.regions]
    for name in (name for column in columns for name in column):
        region_index(name)  # A wrong name is told before anything is made.
    camera = engine.camera(arguments.yaw, arguments.pitch, arguments.size)
    code, look = engine.head(arguments.head, arguments.head_psi), engine.look(arguments.look, arguments.psi)
    shown = engine.view(code, camera).labels
    absent = sorted({name for column in columns for name in column} - regions_of(shown))
    if absent:
        common.note(f"the head shows no {' and no '.join(absent)} from here, so nothing of that changes")
    if photos := arguments.photos:
        for path in photos:
            common.check_file(path, "a photo")
        parser, size = photo_parser(engine), engine.siw.resolution
        aligned = [read_photo(path, parser) for path in photos]
        common.know_photos(arguments, aligned, photos)
        # For the record: a replay is run where the command was, or else where the photos are.
        arguments.photos = [Path(name).name if Path(name).is_absolute() else name for name in photos]
        others = [photo_look(engine, photo, progress) for photo in aligned]
        seen = [region_colors(photo.shown(size), resize(photo.labels, size)) for photo in aligned]
        for path, colors in zip(photos, seen):
            if unseen := sorted({name for column in columns for name in column} - {*colors, *absent}):
                common.note(f"{path} shows no {' and no '.join(unseen)}: that style is a guess")
    else:
        others, seen = [engine.look(seed, arguments.psi) for seed in arguments.others], []
    scenes = []
    for number, other in enumerate(others):
        scenes.append((code, look, camera))
        for column in columns:
            changed = look
            for name in column:
                changed = changed.restyled(name, other)
            if seen:  # Beside the look's other styles, a photo's would be painted in another color.
                wanted = {name: seen[number][name] for name in column if name in seen[number]}
                changed = settle(engine.siw, changed, [shown], wanted, progress=progress)
            scenes.append((code, changed, camera))
        scenes.append((code, other, camera))
    pictures = engine.pictures(scenes, progress)
    if not photos:
        return sheet(pictures, len(columns) + 2)
    rows = pictures.reshape(len(aligned), len(columns) + 2, *pictures.shape[1:])
    first = np.stack([photo.shown(size) for photo in aligned])
    return sheet(np.concatenate([first[:, None], rows], 1).reshape(-1, *pictures.shape[1:]), len(columns) + 3)


def regions_of(labels: np.ndarray) -> set[str]:
    """Names of the regions in a label map."""
    return {REGION_NAMES[group] for group in class_to_group("cpu")[np.unique(labels).astype(int)].tolist()}


def run(arguments: argparse.Namespace) -> None:
    """Make the grid and write it."""
    common.finish(make, PICTURES, arguments)
    photo = ["the photo"] if arguments.photos else []
    print(f"columns: {', '.join([*photo, 'the look itself', *arguments.regions, 'all regions'])}")
