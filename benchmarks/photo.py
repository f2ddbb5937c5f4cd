"""People's photos, turned: how many finish, how like the photo head and picture are, and how long it takes.

Photos are those of a folder that neither the field nor the painter has seen: whichever of a record of inversions
(`--seen`, inversion.npz of the stage invert_masks) are left out. Printed are, over photos, the mean IoU of the fitted
map with the parser's, distances of regions' mean colors between photo and repainted view, against a third of those
between two photos, and seconds. `--sheets` keeps a sheet of each; `--starts` compares where styles begin; `--masks`,
a set in a layout of CelebAMask-HQ, scores the parser by masks that were drawn. Run from the project's root:

    python -m benchmarks.photo --models FOLDER --photos FOLDER [--seen FILE] [--sheets FOLDER]
        [--masks FOLDER] [--check]

Limits: all finish; median mIoU 0.80; the median color distance a third of that between photos; median 60 s.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import harness
from sofgan.apps.engine import Engine
from sofgan.apps.looks import Look
from sofgan.apps.photo import ALIGNED, photo_parser, read_photo
from sofgan.apps.photo_head import fit_photo
from sofgan.apps.style_fit import fit_look, region_colors
from sofgan.errors import InputError, UserError
from sofgan.files import write_png
from sofgan.images import to_network_range
from sofgan.labels import resize
from sofgan.parsing.parser import FaceParser
from sofgan.photos.decoding import decode_square
from sofgan.photos.layouts import find_source, read_labels
from sofgan.scores.segmentation import ConfusionMatrix

LEAST_MIOU, MOST_COLOR, MOST_SECONDS = 0.80, 1 / 3, 60.0
LEAST_PHOTOS = 3
MASKS = 200  # photos that the parser is scored by, at most


def parser():
    found = harness.parser(__doc__, threads=2, cpu_seconds=True)
    found.add_argument(
        "--models", type=Path, required=True, help="folder of a field, a painter and a parser, or `starter`"
    )
    found.add_argument("--photos", type=Path, required=True, help="folder of photos")
    found.add_argument("--seen", type=Path, help="inversion.npz, whose photos are left out")
    found.add_argument("--count", type=int, default=20, help="photos, spread over the folder")
    found.add_argument("--sheets", type=Path, help="folder to keep sheets in")
    found.add_argument(
        "--starts",
        type=int,
        default=0,
        help="steps of styles, that also begin at the average style, to compare",
    )
    found.add_argument("--masks", type=Path, help="photos with masks, to score the parser by")
    found.add_argument("--frames", type=int, default=36, help="of the film that each photo's seconds include")
    return found


def score_by_masks(face_parser: FaceParser, folder: Path) -> None:
    """Print how well a parser names the pixels of a set's photos, spread over it."""
    entries = [entry for entry in find_source(folder).entries if not entry.problem]
    chosen = np.unique(np.linspace(0, len(entries) - 1, min(MASKS, len(entries))).round().astype(int))
    confusion = ConfusionMatrix()
    for index in chosen.tolist():
        photo = decode_square(entries[index].file.read_bytes(), ALIGNED).copy()  # torch wants to be let write
        found = face_parser.parse(
            to_network_range(photo[None], face_parser.mean.device), ALIGNED, mirror=True
        )
        confusion.update(found[0], resize(read_labels(entries[index]), ALIGNED))
    ious = " ".join(f"{name} {iou:.2f}" for name, iou in confusion.per_class().items())
    print(
        f"parser on {len(chosen)} photos with masks: mIoU {confusion.miou():.3f}, "
        f"{confusion.accuracy():.3f} of pixels; {ious}"
    )


def main(arguments):
    paths = sorted(arguments.photos.glob("*.jpg"))
    if arguments.seen:
        with np.load(arguments.seen) as seen:
            known = {str(key).split("/")[-1] for key in seen["keys"]}
        paths = [path for path in paths if path.stem not in known]
    if not paths:
        raise InputError(f"no .jpg in {arguments.photos} that is not left out")
    if arguments.count < LEAST_PHOTOS:
        raise InputError(f"--count {arguments.count}: {LEAST_PHOTOS} are wanted, whose colors are compared")
    spread = np.unique(np.linspace(0, len(paths) - 1, min(arguments.count, len(paths))).round().astype(int))
    engine = Engine.open(arguments.models)
    face_parser = photo_parser(engine)
    if arguments.masks:
        score_by_masks(face_parser, arguments.masks)
    clock, seconds, mious, codes, distances, colors = harness.clock(arguments), [], [], [], [], []
    finished, starts = 0, {}
    for index in spread.tolist():
        path, began = paths[index], clock()
        try:
            head = fit_photo(engine, read_photo(path, face_parser))
        except UserError as error:
            print(f"{path.name}: {error}")
            continue
        head.film(arguments.frames, 35.0)
        finished += 1
        seconds.append(clock() - began)
        report, size = head.report, len(head.picture)
        mious.append(report["map_miou"])
        codes.append(report["map_miou_by_codes_alone"])
        distances.append(report["region_color_distance"])
        photo = np.array(Image.fromarray(head.photo.pixels).resize((size, size), Image.Resampling.LANCZOS))
        colors.append(region_colors(photo, resize(head.photo.labels, size)))
        print(
            f"{path.name}: mIoU {mious[-1]:.3f}, by codes {codes[-1]:.3f}, picture {report['picture_distance']:.3f}, "
            f"skin {distances[-1].get('skin', np.nan):.1f}, {seconds[-1]:.1f} s, {'; '.join(report['remarks'])}",
            flush=True,
        )
        if arguments.starts:
            for name, start in (
                ("average style", Look.of(engine.siw.generator.w_average)),
                ("looked up", None),
            ):
                found = fit_look(
                    engine.siw, head.engine.fitted.labels, photo, start, (arguments.starts, 0)
                ).distances
                starts.setdefault(name, []).append((found["start"] / 2, found["styles"] / 2))
        if arguments.sheets:
            write_png(arguments.sheets / f"{path.stem}.png", head.sheet(35.0))
    if not finished:
        raise InputError("none of the photos could be fitted")
    for name, values in starts.items():
        first, last = np.mean(values, 0)
        print(f"from the {name}: distance {first:.4f}, after {arguments.starts} steps of styles {last:.4f}")
    shares = []
    for name in sorted({name for one in colors for name in one}):
        own = [one[name] for one in distances if name in one]
        shown = np.array([one[name] for one in colors if name in one])
        if len(shown) < LEAST_PHOTOS:
            continue
        apart = np.linalg.norm(shown[:, None] - shown, axis=2)[np.triu_indices(len(shown), 1)]
        shares.append(np.mean(own) / apart.mean())
        print(
            f"{name}: color {np.mean(own):.1f} from the photo's, two photos' {apart.mean():.1f} apart ({len(own)})"
        )
    print(f"median mIoU by codes alone: {np.median(codes):.3f}; {finished} of {len(spread)} photos finish")
    return [
        harness.verdict("share of photos that finish", finished / len(spread), at_least=1.0),
        harness.verdict("median mIoU of the map", float(np.median(mious)), at_least=LEAST_MIOU),
        harness.verdict(
            "worst region's color distance by two photos'", float(max(shares)), at_most=MOST_COLOR
        ),
        harness.verdict("median seconds a photo", float(np.median(seconds)), at_most=MOST_SECONDS),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
