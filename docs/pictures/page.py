"""Picture of what `sofgan page` makes, for docs/view.md, as Debian's Chromium shows it.

    apt-get install --no-install-recommends chromium chromium-driver fonts-dejavu-core
    pip install --constraint constraints.txt --editable '.[screenshots]'
    python -m docs.pictures.page

It opens a page of the starter model, with one head turned and its cloth and background restyled.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import harness
from benchmarks.inputs.browser import opened_page
from docs.pictures.viewer import small
from sofgan.apps.engine import Engine
from sofgan.files import write_bytes
from sofgan.page.build import Content, build

WIDTH, HEIGHT = 1240, 1010
HEADS, SCENE = (
    ("8", "1", "2", "3"),
    {"yaw": 30, "pitch": 4, "look": 5, "own": {"cloth": 31, "background": 12}},
)
SECONDS = 90  # for the page to be shown
SETTLE_S = 6  # for its thumbnails


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = argparse.ArgumentParser(prog="python -m docs.pictures.page", description=__doc__.splitlines()[0])
    found.add_argument("--models", default="starter", help="folder of the models, or starter")
    found.add_argument("--out", type=Path, default=Path("docs/images/page.png"))
    return found


def main(arguments) -> None:
    """Write the picture."""
    page = build(Engine.open(arguments.models), Content(HEADS, turns=False)).html
    with opened_page(page, (WIDTH, HEIGHT), SECONDS) as driver:
        driver.execute_async_script("sofganPage.change(arguments[0]).then(arguments[1])", SCENE)
        time.sleep(SETTLE_S)
        write_bytes(arguments.out, small(driver.get_screenshot_as_png()))
        print(arguments.out)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
