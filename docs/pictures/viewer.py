"""Pictures of the viewer's page for docs/view.md, as Debian's Chromium shows it.

    apt-get install --no-install-recommends chromium chromium-driver fonts-dejavu-core
    pip install --constraint constraints.txt --editable '.[screenshots]'
    python -m docs.pictures.viewer
    python -m docs.pictures.viewer --models models --photo data/raw/portraits/ffhq/00008.png

It serves the starter model and opens its page: the head turned and its cloth restyled. With a photo, of an invented
person of the demo, that one is turned.
"""

import argparse
import io
import sys
import time
from pathlib import Path

from PIL import Image

from benchmarks import harness
from benchmarks.inputs.browser import browser
from sofgan import runtime
from sofgan.apps.engine import Engine
from sofgan.errors import InputError
from sofgan.files import write_bytes
from sofgan.viewer.server import Viewer

WIDTH, HEIGHT, PORT = 1400, 940, 8091
SECONDS = 300  # for a page to be shown, or a photo to be fitted
HEAD, LOOK, REGION, ANGLES = "8", 5, "cloth", (32.0, 6.0)  # camera's yaw and pitch, degrees
TURNED = (22.0, 4.0)  # degrees, by which the photo's view is turned


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    found = argparse.ArgumentParser(
        prog="python -m docs.pictures.viewer", description=__doc__.splitlines()[0]
    )
    found.add_argument("--models", default="starter", help="folder of the models, or starter")
    found.add_argument(
        "--photo", type=Path, help="of a person, which is turned in place of a head of the field"
    )
    found.add_argument("--out", type=Path, default=Path("docs/images"))
    return found


def main(arguments) -> None:
    """Write the pictures."""
    take(arguments.models, arguments.out, arguments.photo)


def take(models: str, out: Path, photo: Path | None = None) -> None:
    """Open a page, and write what it shows."""
    runtime.use_cpu(1)
    viewer = Viewer(Engine.open(models), port=PORT)
    driver = browser(WIDTH, HEIGHT)
    try:
        driver.get(viewer.url)
        page = _until(lambda: next(iter(viewer.pages.values()), None))
        # The warning that a browser without a GPU draws by the CPU is no part of the page.
        time.sleep(8)
        for button in driver.find_elements("css selector", ".mantine-Notification-closeButton"):
            button.click()
        if photo:
            name = "viewer_photo"
            driver.find_element("css selector", "input[type=file]").send_keys(str(photo.resolve()))
            fitted = _until(lambda: page.session.person).engine.fitted
            page.look_from(fitted.yaw + TURNED[0], fitted.pitch + TURNED[1])
        else:
            name = "viewer_restyled"
            page.session.change(head=HEAD, look=LOOK)
            page.follow()
            page.regions.region.value = REGION
            page.look_from(*ANGLES)
            button = driver.find_element("xpath", "//button[normalize-space(.)='Next style']")
            driver.execute_script("arguments[0].click()", button)
        time.sleep(3)
        _until(lambda: (page.shot and page.shot.fine and page.shot.scene == page.session.scene) or None)
        time.sleep(3)
        write_bytes(out / f"{name}.png", small(driver.get_screenshot_as_png()))
        print(out / f"{name}.png")
    finally:
        driver.quit()
        viewer.stop()


def _until(told):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if (value := told()) is not None:
            return value
        time.sleep(0.1)
    raise InputError(f"the page shows nothing within {SECONDS} s")


def small(png: bytes) -> bytes:
    """A screenshot in 256 colors."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("P", palette=Image.Palette.ADAPTIVE).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
