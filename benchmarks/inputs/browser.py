"""Debian's Chromium without a screen, for pictures, benchmarks and tests of pages."""

import shutil

from sofgan.errors import InputError

try:
    from selenium import webdriver
except ImportError:  # --help can do without it.
    webdriver = None

OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)  # fmt: skip


def browser(width: int, height: int, *more: str) -> "webdriver.Chrome":
    """A Chromium with a window of so many pixels, and further options; its caller quits it.

    Raises:
        InputError: it, its driver or selenium is not there.
    """
    if webdriver is None:
        raise InputError(
            "selenium is not installed: pip install --constraint constraints.txt --editable '.[screenshots]'"
        )
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        raise InputError("no browser: apt-get install --no-install-recommends chromium chromium-driver")
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, f"--window-size={width},{height}", *more):
        options.add_argument(option)
    options.binary_location = programs[0]
    return webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
