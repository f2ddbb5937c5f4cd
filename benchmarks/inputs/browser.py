"""Debian's Chromium without a screen, for pictures, benchmarks and tests of pages."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def opened_page(html: str, window: tuple[int, int], seconds: float) -> Iterator:
    """A browser with a page of `sofgan page` in it, once its first picture is painted; scripts may take so long."""
    driver = browser(*window)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "page.html")
            path.write_text(html, encoding="utf-8")
            driver.set_script_timeout(seconds)
            driver.get(path.as_uri())
            driver.execute_async_script("sofganPage.ready.then(arguments[0])")
            yield driver
    finally:
        driver.quit()
