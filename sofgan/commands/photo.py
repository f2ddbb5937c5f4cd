"""`sofgan photo`: a person's photo as a head that turns: a film, a sheet, and a report of the fit."""

import argparse
import json
from pathlib import Path

from sofgan.apps.engine import Engine
from sofgan.apps.photo import photo_parser, read_photo
from sofgan.apps.photo_head import PhotoHead, fit_photo
from sofgan.apps.results import FILMS, PICTURES, Film, encode
from sofgan.commands import common, kinds
from sofgan.errors import InputError
from sofgan.progress import Progress

FILM, SHEET, REPORT = "turned.webp", "sheet.png", "report.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", help="a photo: JPEG, PNG, WebP, TIFF, BMP or GIF")
    parser.add_argument(
        "--yaw", type=kinds.degrees, default=35.0, help="degrees that the film turns to either side"
    )
    parser.add_argument("--frames", type=kinds.frames, default=36, help="of the film")
    parser.add_argument("--fps", type=kinds.fps, default=18, help="frames a second")
    parser.add_argument("--seed", type=kinds.whole, default=0, help="of what the fit draws")
    common.add_models(parser, "photo", f"folder to write {FILM}, {SHEET} and {REPORT} into")


def turned(engine: Engine, arguments: argparse.Namespace, progress: Progress) -> PhotoHead:
    """The photo's head."""
    photo = read_photo(arguments.file, photo_parser(engine))
    common.know_photos(arguments, [photo], [arguments.file])
    arguments.file = Path(arguments.file).name  # where it lies is nobody's business
    return fit_photo(engine, photo, arguments.seed, progress)


def report_of(record: dict, report: dict) -> dict:
    """A record and a fit's report in one; the record's `camera` is the framing, so the photo's gets another name."""
    fit = {("photo_camera" if name == "camera" else name): value for name, value in report.items()}
    return record | fit


def run(arguments: argparse.Namespace) -> None:
    """Fit the photo and write the files.

    Raises:
        InputError: the file is a folder, or the folder to write is named as a picture or can't be written; or as
            `read_photo`.
    """
    common.check_file(arguments.file, "a photo")
    if (ending := arguments.out.suffix.lower()) in (*FILMS, *PICTURES):
        raise InputError(
            f"--out {arguments.out} ends in {ending}, but a folder is wanted, for {FILM}, {SHEET} and {REPORT}"
        )
    for name in (FILM, SHEET, REPORT):
        common.check_out(arguments.out / name)
    engine, line = common.engine_of(arguments), common.Line()
    head = turned(engine, arguments, line)
    frames = head.film(arguments.frames, arguments.yaw, line)
    record = common.asked_of(engine, arguments)
    head.report["remarks"] += head.cut_off(arguments.yaw)
    files = {
        FILM: encode(Film(frames, arguments.fps), ".webp", record),
        SHEET: encode(head.sheet(arguments.yaw), ".png", record),
        REPORT: (json.dumps(report_of(record, head.report), indent=1) + "\n").encode(),
    }
    for name, content in files.items():
        common.write(arguments.out / name, content)
    for remark in head.report["remarks"]:
        common.note(remark)
    print(f"map's mIoU {head.report['map_miou']}, picture's distance {head.report['picture_distance']}")
