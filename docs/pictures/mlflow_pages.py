"""Pictures of two runs compared in MLflow's own pages, for the documentation.

    apt-get install --no-install-recommends chromium chromium-driver fonts-dejavu-core
    pip install --constraint constraints.txt --editable '.[screenshots]'
    python -m docs.pictures.mlflow_pages RUN RUN [--uri sqlite:///mlflow.db] [--out docs/images]

RUN is the name of a parent run, such as `repro-1a2b3c4` or an experiment's. Writes into --out:

    mlflow_compare.png   the compare page: both runs, the parameters that differ, metrics that differ
    mlflow_parallel.png  its parallel coordinates, of these parameters and --metrics
    mlflow_images.png    the charts page: pictures that --stage logged as --images, at the last step

A headless Chromium does what a visitor would: it opens a page, types, clicks. For a database a server is started
on the loopback address, and ended; --uri http://127.0.0.1:5000 takes one that runs.
"""

import argparse
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# mlflow reads it when it is imported: nothing is sent home.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from benchmarks import harness
from sofgan.errors import InputError, MissingInput
from sofgan.files import atomic_path

try:
    from selenium import webdriver
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver import ActionChains, Chrome
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.remote.webelement import WebElement
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:  # --help can do without it.
    webdriver = Chrome = WebElement = None

HOST = "127.0.0.1"
WIDTH, IMAGES_WIDTH = 1400, 1180  # of the window; the latter so that thumbnails fill their columns
SCALE = 1.25  # pixels of a picture by those of the page
SERVER_SECONDS, PAGE_SECONDS = 120.0, 60.0
SETTLED_SECONDS = 1.5  # A page that looks the same for so long is drawn.
COLORS = 256  # of a picture's palette
METRICS = ["evaluation/control_miou_frequent", "evaluation/fd_lite0", "evaluation/fd_parser"]
IMAGES = ["samples/grid", "samples/restyle"]
MACHINE = "runtime."  # Parameters of the machine, on which results do not depend.
# What a visitor chooses once: the pages for training, and no assistant over them.
CHOICES = """
localStorage.setItem('mlflow.workflowType_v1', '"machine_learning"');
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
document.addEventListener('DOMContentLoaded', () => document.head.insertAdjacentHTML(
    'beforeend', '<style>[data-assistant-ui], .modebar-container { display: none !important }' +
    ' * { caret-color: transparent !important }</style>'));
"""
CARD = "[data-testid=experiment-view-compare-runs-card]"
TURN = 200  # pixels that a turn of the wheel scrolls
GRID = "Image grid"  # What MLflow calls a chart of several keys.
EXPANDER = "button[data-component-id*=runnamecellrenderer]"


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, check=False)
    found.add_argument("runs", nargs=2, metavar="RUN", help="names of two parent runs; the newest of a name")
    found.add_argument("--uri", default="sqlite:///mlflow.db", help="MLflow's database or server")
    found.add_argument("--experiment", default="sofgan")
    found.add_argument("--metrics", nargs="+", default=METRICS, help="axes of the parallel coordinates")
    found.add_argument("--stage", default="train_siw", help="whose pictures")
    found.add_argument("--images", nargs="+", default=IMAGES, help="their keys")
    found.add_argument("--out", type=Path, default="docs/images")
    return found


def main(args) -> None:
    if webdriver is None:
        raise MissingInput(
            "selenium is not installed: pip install --constraint constraints.txt --editable '.[screenshots]'"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    with server(args.uri) as address:
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name(args.experiment).experiment_id
        runs = [find_run(client, experiment, name) for name in args.runs]
        nested = stage_filter(client, experiment, runs, args.stage)
        with browser() as page:
            for name, picture in (
                ("compare", lambda: compare(page, address, experiment, runs, args.metrics)),
                ("parallel", lambda: parallel(page, address, experiment, runs, args.metrics)),
                ("images", lambda: images(page, address, experiment, nested, args.images)),
            ):
                path = args.out / f"mlflow_{name}.png"
                save(path, picture())
                print(f"{path}  {path.stat().st_size / 1000:.0f} kB", flush=True)


def find_run(client: MlflowClient, experiment: str, name: str) -> Run:
    """The newest parent run of that name."""
    found = client.search_runs([experiment], f"attributes.run_name = '{name}'")
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    if not parents:
        raise InputError(f"no parent run is called {name}")
    return parents[0]


def stage_filter(client: MlflowClient, experiment: str, runs: list[Run], stage: str) -> str:
    """A search that finds the stage's runs of these parents and no others, as short as it can be."""
    short = f"tags.`dvc.stage` = '{stage}'"
    found = client.search_runs([experiment], short)
    parents = {run.info.run_id for run in runs}
    ids = [run.info.run_id for run in found if run.data.tags.get("mlflow.parentRunId") in parents]
    if not ids:
        raise InputError(f"{stage} ran in neither of them")
    return short if len(ids) == len(found) else f"attributes.run_id IN ({str(ids)[1:-1]})"


def differing(runs: list[Run]) -> list[str]:
    """Names of the parameters that tell the runs apart."""
    one, other = (run.data.params for run in runs)
    names = sorted(one.keys() | other.keys())
    return [name for name in names if one.get(name) != other.get(name) and not name.startswith(MACHINE)]


# The pages.


def compare(page: Chrome, address: str, experiment: str, runs: list[Run], metrics: list[str]) -> bytes:
    """Details of the runs, and what differs, from the first of `metrics` on as far as the table shows it."""
    open_compare(page, address, experiment, runs)
    for switch in page.find_elements("css selector", "[role=switch][aria-label$='Show diff only']"):
        switch.click()
    collapse(page, "Visualizations")
    settle(page)
    # The table draws the rows that it shows and no others: turn the wheel until the wanted one is there.
    table = panel(page, "Metrics")
    names, values = table.find_elements("css selector", ".ReactVirtualized__Grid")[:2]
    name = f".//a[normalize-space()='{metrics[0]}']/.."
    for _ in range(int(values.get_property("scrollHeight")) // TURN + 1):
        if names.find_elements("xpath", name):
            break
        turn_wheel(page, values, TURN)
    else:
        raise InputError(f"{metrics[0]} was not logged, or is the same in both runs")
    # MLflow 3.17 moves the names one turn of the wheel later than the values: without a last small one they
    # would stand beside those of other metrics.
    turn_wheel(page, values, 1)
    turn_wheel(page, values, round(edges(page, names.find_element("xpath", name))[0] - edges(page, names)[0]))
    turn_wheel(page, values, 1)
    if abs(names.get_property("scrollTop") - values.get_property("scrollTop")) > 1:
        raise InputError("names and values of the table of metrics are out of step")
    return shot(page, page.find_element("css selector", "main [class*=breadcrumb]"), table)


def turn_wheel(page: Chrome, over: WebElement, pixels: int) -> None:
    """Scroll what is under the pointer."""
    ActionChains(page).scroll_from_origin(ScrollOrigin.from_element(over), 0, pixels).perform()
    time.sleep(0.5)


def parallel(page: Chrome, address: str, experiment: str, runs: list[Run], metrics: list[str]) -> bytes:
    """A line a run over the parameters that differ and some metrics."""
    open_compare(page, address, experiment, runs)
    page.find_element("css selector", "[data-testid=clear-button]").click()
    choose(page, "Metrics:", metrics)
    choose(page, "Parameters:", differing(runs))
    settle(page)
    return shot(
        page, page.find_element("css selector", "main [class*=breadcrumb]"), panel(page, "Visualizations")
    )


def images(page: Chrome, address: str, experiment: str, nested: str, keys: list[str]) -> bytes:
    """Pictures of the runs that a search finds, at their last step: a row a key, a column a run.

    The list of runs stays beside them: stage runs go by the stage's name alone, and colours tell whose they are.
    """
    page.set_window_size(IMAGES_WIDTH, 1500)
    wanted = urllib.parse.quote(nested)
    page.get(f"{address}/#/experiments/{experiment}/runs?compareRunsMode=CHART&searchFilter={wanted}")
    shown(page, EXPANDER)
    shown(page, "[aria-label='Toggle sidebar']").click()
    settle(page)
    for number in range(len(page.find_elements("css selector", EXPANDER))):
        page.find_elements("css selector", EXPANDER)[number].click()
        settle(page)
    shown(page, "input[placeholder='Search metric charts']").send_keys(keys[0])
    settle(page)

    # All pictures in one chart, without the runs' parameters, which fill it otherwise.
    menu(page, keys[0], "edit")
    shown(page, "[role=dialog] [role=switch]").click()
    shown(page, "[role=dialog] [role=combobox]").click()
    for key in keys[1:]:
        shown(page, f"//*[@role='option' and normalize-space()='{key}']", "xpath").click()
    shown(page, "[role=dialog] [role=combobox]").click()
    last = page.find_element("css selector", "[role=dialog] [role=slider]").get_attribute("aria-valuemax")
    step = shown(page, "[role=dialog] input[type=number]")
    step.send_keys(Keys.CONTROL, "a", Keys.NULL, last, Keys.ENTER)
    shown(page, "[data-testid$=chart-modal-confirm]").click()
    settle(page)
    menu(page, GRID, "move-to-top")  # MLflow may have made a chart anew in place of the one that was edited.
    settle(page)

    # As wide as the page, and as high as one row of it.
    grip = chart(page, GRID).find_element("xpath", "..//*[@data-testid='draggable-card-resize-handle']")
    pull = ActionChains(page).move_to_element(grip).click_and_hold()
    for _ in range(10):
        pull.move_by_offset(int(page.execute_script("return innerWidth") - grip.rect["x"] - 60) // 10, 4)
    pull.release().perform()
    return shot(page, page.find_element("css selector", "[data-testid=search-box]"), chart(page, GRID))


def open_compare(page: Chrome, address: str, experiment: str, runs: list[Run]) -> None:
    page.set_window_size(WIDTH, 1800)
    query = {"runs": json.dumps([run.info.run_id for run in runs]), "experiments": json.dumps([experiment])}
    page.get("about:blank")  # The page remembers what was chosen before.
    page.get(f"{address}/#/compare-runs?{urllib.parse.urlencode(query)}")
    shown(page, ".pcp-plot canvas")
    settle(page)


def panel(page: Chrome, title: str) -> WebElement:
    """A part of the compare page."""
    return page.find_element(
        "xpath", f"//*[contains(@class, 'collapse-header') and normalize-space()='{title}']/.."
    )


def collapse(page: Chrome, title: str) -> None:
    panel(page, title).find_element("css selector", "[role=button]").click()


def choose(page: Chrome, label: str, options: list[str]) -> None:
    """Pick options of a list with a label."""
    box = page.find_element(
        "xpath", f"//div[text()='{label}']/following-sibling::div[contains(@class, '-select')]"
    )
    box.click()
    field = box.find_element("css selector", "input")
    for option in options:
        field.send_keys(option)
        shown(page, f"//*[@aria-selected and @title='{option}']", "xpath").click()
    field.send_keys(Keys.ESCAPE)


def chart(page: Chrome, title: str) -> WebElement:
    """The card of a chart."""
    cards = page.find_elements("css selector", CARD)
    return next(card for card in cards if card.find_elements("xpath", f".//*[text()='{title}']"))


def menu(page: Chrome, title: str, choice: str) -> None:
    """Choose from the menu of a chart."""
    chart(page, title).find_element("css selector", "[data-testid$=card-menu]").click()
    item = shown(page, f"[role=menuitem][data-testid$={choice}]")
    if item.get_attribute("aria-disabled") == "true":
        item.send_keys(Keys.ESCAPE)
    else:
        item.click()


# The browser and the server.


@contextmanager
def browser() -> Iterator[Chrome]:
    """A headless Chromium with a profile of its own.

    Raises:
        InputError: there is none here. Selenium is not left to look for one, as it would download it.
    """
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        raise InputError(
            "Type: apt-get install --no-install-recommends chromium chromium-driver fonts-dejavu-core"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    options.add_argument("--headless=new")
    options.add_argument("--hide-scrollbars")
    options.add_argument(f"--force-device-scale-factor={SCALE}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # It refuses to have one for root.
    page = webdriver.Chrome(options, Service(programs[1]))
    try:
        page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CHOICES})
        page.set_page_load_timeout(PAGE_SECONDS)
        yield page
    finally:
        page.quit()


def shown(page: Chrome, selector: str, by: str = "css selector") -> WebElement:
    """The first element that matches, once one is to be seen."""
    waiting = WebDriverWait(page, PAGE_SECONDS, ignored_exceptions=[StaleElementReferenceException])
    return waiting.until(
        lambda _: next((found for found in page.find_elements(by, selector) if found.is_displayed()), None),
        f"no {selector} on the page",
    )


def settle(page: Chrome) -> None:
    """Wait until the page looks the same for a while."""
    end, last, since = time.monotonic() + PAGE_SECONDS, b"", time.monotonic()
    while time.monotonic() < end:
        picture = page.get_screenshot_as_png()
        if picture != last:
            last, since = picture, time.monotonic()
        elif time.monotonic() - since > SETTLED_SECONDS:
            return
        time.sleep(0.3)
    raise InputError("the page does not come to rest")


def shot(page: Chrome, first: WebElement, last: WebElement) -> bytes:
    """The page's whole width, from the top of one element to the bottom of another."""
    page.execute_script("document.activeElement.blur(); document.querySelector('main').scrollTop = 0")
    page.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 1, "y": 1})
    settle(page)
    left = page.execute_script("return document.querySelector('main').getBoundingClientRect().x") + 4
    top, bottom = max(0.0, edges(page, first)[0] - 16), edges(page, last)[1] + 8
    picture = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")
    corners = [round(SCALE * place) for place in (left, top, picture.width / SCALE, bottom)]
    if corners[3] > picture.height:
        raise InputError(f"the window is too low: {corners[3]} of {picture.height} pixels")
    output = io.BytesIO()
    picture.crop(corners).save(output, "PNG")
    return output.getvalue()


def edges(page: Chrome, element: WebElement) -> list[float]:
    """Top and bottom of an element in the window."""
    return page.execute_script(
        "const box = arguments[0].getBoundingClientRect(); return [box.top, box.bottom]", element
    )


def save(path: Path, picture: bytes) -> None:
    """Write it with a palette, a third of the size; by k-means, as small portraits lose hues otherwise."""
    with Image.open(io.BytesIO(picture)) as image, atomic_path(path) as temporary:
        image.quantize(COLORS, kmeans=4, dither=Image.Dither.NONE).save(temporary, "PNG", optimize=True)


@contextmanager
def server(uri: str) -> Iterator[str]:
    """Address of an MLflow server: the one that is named, or one of its own for a database."""
    if uri.startswith(("http://", "https://")):
        yield uri.rstrip("/")
        return
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--no-serve-artifacts"]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    with tempfile.TemporaryFile() as log:
        # A group of its own, as its workers outlive it otherwise.
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + SERVER_SECONDS
            while not answers(f"{address}/health"):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise InputError(f"MLflow's server did not start:\n{log.read().decode()}")
                time.sleep(0.3)
            yield address
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
