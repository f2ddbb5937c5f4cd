"""Picture of what `sofgan page` makes, for docs/view.md, as Debian's Chromium shows it.

    apt-get install --no-install-recommends chromium chromium-driver fonts-dejavu-core
    pip install --constraint constraints.txt --editable '.[screenshots]'
    python -m docs.pictures.page
    python -m docs.pictures.page --models models --photo data/raw/portraits/ffhq/00008.png --out page_photo.png

It opens a page of the starter model, with one head turned and its cloth and background restyled; or that of a photo,
here of an invented person of the demo, turned, in its own look.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import harness
from benchmarks.inputs.browser import opened_page
from docs.pictures.viewer import small
from sofgan.apps.engine import Engine
from sofgan.apps.photo import photo_parser, read_photo
from sofgan.apps.photo_head import PHOTO, fit_photo
from sofgan.files import write_bytes
from sofgan.page.build import Content, build

WIDTH, HEIGHT = 1240, 1010
HEADS, SCENE = (
    ("8", "1", "2", "3"),
    {"yaw": 30, "pitch": 4, "look": 5, "own": {"cloth": 31, "background": 12}},
)
TURNED = {"yaw": -25, "pitch": 4}  # degrees, of a photo's head
SECONDS = 90  # for the page to be shown
SETTLE_S = 6  # for its thumbnails


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = argparse.ArgumentParser(prog="python -m docs.pictures.page", description=__doc__.splitlines()[0])
    found.add_argument("--models", default="starter", help="folder of the models, or starter")
    found.add_argument("--photo", type=Path, help="of a person, whose head is shown")
    found.add_argument("--out", type=Path, default=Path("docs/images/page.png"))
    return found


def main(arguments) -> None:
    """Write the picture."""
    engine, heads, scene = Engine.open(arguments.models), HEADS, SCENE
    if arguments.photo:
        photo = read_photo(arguments.photo, photo_parser(engine))
        engine, heads, scene = fit_photo(engine, photo).engine, [PHOTO], TURNED
    page = build(engine, Content(heads, turns=False)).html
    with opened_page(page, (WIDTH, HEIGHT), SECONDS) as driver:
        driver.execute_async_script("sofganPage.change(arguments[0]).then(arguments[1])", scene)
        time.sleep(SETTLE_S)
        write_bytes(arguments.out, small(driver.get_screenshot_as_png()))
        print(arguments.out)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
