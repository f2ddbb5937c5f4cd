"""`sofgan score A B`: how far the pictures of A are from those of B."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from sofgan import runtime
from sofgan.commands import common, kinds
from sofgan.errors import InputError
from sofgan.evaluation import set_scores
from sofgan.evaluation.picture_sets import PictureSet, open_files, open_painter, repetitions
from sofgan.evaluation.set_features import take_features
from sofgan.files import write_json
from sofgan.photos.compression import differences
from sofgan.progress import Progress
from sofgan.scores.features import LiteFeatures

MOST_PX = 4096  # that --size takes: no extractor sees more than 96
TOLD = 3  # pictures that are left out are named, the rest counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    # Behind --extractors, A and B would be taken for two more of them.
    parser.usage = "%(prog)s A B [options]"
    parser.add_argument(
        "a", type=Path, metavar="A", help="what is scored: a folder, a photo store, or siw.pt"
    )
    parser.add_argument(
        "b", type=Path, metavar="B", help="what it is compared with: a folder or a photo store"
    )
    parser.add_argument("--maps", type=Path, help="photo store whose label maps siw.pt paints")
    parser.add_argument(
        "--extractors",
        nargs="+",
        choices=list(LiteFeatures.SIZES),
        default=list(LiteFeatures.SIZES),
        help="networks whose features are compared (both)",
    )
    parser.add_argument("--count", type=kinds.count, help="pictures a side at most, drawn by the seed (all)")
    parser.add_argument(
        "--size",
        type=_pixels,
        help=f"pixels, {MOST_PX} at most, to which both are resized first (not at all)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for the figures")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where features of B are kept")
    parser.add_argument("--seed", type=kinds.whole, default=0, help="of draws, styles and halves")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
    parser.add_argument("--threads", type=kinds.threads, default=0, help="of the CPU; 0: one a core")


def run(arguments: argparse.Namespace) -> None:
    """Print the table, and write the figures.

    Raises:
        InputError: a side can't be used or has too few pictures, or nothing can be written where it should be.
    """
    if arguments.cache:
        common.check_folder(arguments.cache, "--cache")
    if arguments.json:
        common.check_out(arguments.json, "--json")
    runtime.use_cpu(arguments.threads or os.cpu_count() or 1)
    device, progress = common.device_of(arguments), common.Line()
    runtime.use_gpu(device, exact=True)
    sets = (
        _scored(arguments, device, progress),
        open_files(arguments.b, arguments.count, arguments.seed, progress),
    )
    names = dict.fromkeys(arguments.extractors)  # each once
    extractors = [LiteFeatures(name).to(device).eval() for name in names]
    taken = tuple(
        take_features(pictures, extractors, arguments.size, device, cache, progress)
        for pictures, cache in zip(sets, (None, arguments.cache))
    )
    scores = set_scores.score(sets, taken, extractors, arguments.size, arguments.seed, progress)
    left_out = {}
    for letter, pictures, side in zip("AB", sets, taken):
        print(f"{letter}: {pictures.name}, {pictures.summary.words}, {pictures.summary.sizes}")
        left_out[letter] = [*pictures.left_out, *side.damaged]
        _tell_left_out(letter, left_out[letter])
    if apart := differences(*(pictures.summary for pictures in sets)):
        print(f"Warning: A and B differ in {', '.join(apart)}, which moves scores by itself.")
    if again := repetitions(*sets):
        print(f"Warning: scores take pictures for independent ones, but {' and '.join(again)}.")
    for one in scores:
        print(f"\n{set_scores.table(one)}")
    if not scores[0].equal:
        print(f"\nNo floor: half of B is fewer than {set_scores.FEWEST} pictures.")
    if arguments.json:
        write_json(
            arguments.json,
            {
                "scores": set_scores.to_mapping(scores),
                "left_out": left_out,
                "differ_in": apart,
                "repeated": again,
            },
        )
        print(f"\n{arguments.json}")


def _pixels(text: str) -> int:
    if kinds.count(text) > MOST_PX:
        raise argparse.ArgumentTypeError(f"{text} is more than {MOST_PX}")
    return int(text)


def _scored(arguments: argparse.Namespace, device: str, progress: Progress) -> PictureSet:
    painter = arguments.a.suffix == ".pt"
    if painter and arguments.maps is None:
        raise InputError(f"{arguments.a} paints label maps: name a photo store that has some by --maps")
    if arguments.maps and not painter:
        raise InputError(f"--maps is for a generator, such as siw.pt; {arguments.a} is none")
    if painter:
        return open_painter(arguments.a, arguments.maps, arguments.count, arguments.seed, device)
    return open_files(arguments.a, arguments.count, arguments.seed, progress)


def _tell_left_out(letter: str, reasons: Sequence[str]) -> None:
    if reasons:
        more = f", and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
        print(f"{letter}: left out {len(reasons)}: {'; '.join(reasons[:TOLD])}{more}")
