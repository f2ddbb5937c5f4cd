"""The page in a real browser, Debian's Chromium without a screen: what a visitor does and sees."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from benchmarks.inputs.browser import browser
from sofgan.__main__ import main
from sofgan.apps import edit
from sofgan.apps.edited_heads import MARK
from sofgan.apps.engine import Engine
from sofgan.apps.results import read_record
from sofgan.commands import view
from sofgan.errors import InputError
from sofgan.labels import BACKGROUND, CLOTH, HAIR, SKIN, colorize, resize

pytest.importorskip("viser")
import viser
from viser import _viser

from sofgan.viewer import server, uploads
from sofgan.viewer.canvas import SIDE, layout
from sofgan.viewer.server import MOST_VISITORS, Viewer
from sofgan.viewer.while_open import WhileOpen
from tests.drawn_faces import draw_face
from tests.photo_fits import DrawnParser, fit_in_few_steps

SECONDS = 90  # that a page may take, of a browser that draws by the CPU beside other tests
OFF = 3.0  # mean difference of what is shown and what was painted: scaled, packed as JPEG, scaled again


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def viewer():
    made = Viewer(Engine.starter(), port=free_port())
    yield made
    made.stop()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    try:
        made = browser(1300, 800)
    except InputError as error:
        pytest.skip(str(error))
    made.downloads = tmp_path_factory.mktemp("downloads")
    yield made
    made.quit()


class Tab:
    """A page in a window of its own, and the server's side of it."""

    def __init__(self, driver, viewer):
        known = set(viewer.pages)
        self.driver = driver
        driver.switch_to.new_window("window")
        self.window = driver.current_window_handle
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(driver.downloads)}
        )
        driver.get(viewer.url)
        # Over the map there would be a warning that this browser has no GPU.
        driver.execute_script(
            "const style = document.createElement('style');"
            "style.textContent = '[class*=Notifications] { display: none !important }';"
            "document.head.append(style)"
        )
        self.page = until(lambda: next((viewer.pages[one] for one in set(viewer.pages) - known), None))

    def canvas(self):
        self.driver.switch_to.window(self.window)
        canvases = self.driver.find_elements("tag name", "canvas")
        return max(canvases, key=lambda one: one.rect["width"] * one.rect["height"])

    def tiles(self) -> list[np.ndarray]:
        """Label map and picture as the browser shows them, (T, T, 3) float each."""
        rect = self.canvas().rect
        screen = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        places = layout(rect["width"] / rect["height"], 2)
        scale = rect["width"] / places.width
        boxes = []
        for left, top in places.corners:
            x, y = rect["x"] + left * scale, rect["y"] + top * scale
            boxes.append((round(x), round(y), round(x + SIDE * scale), round(y + SIDE * scale)))
        return [np.asarray(screen.crop(box).resize((128, 128)), float) for box in boxes]

    def shown(self) -> list[np.ndarray]:
        """The tiles, once they show the session's scene fine."""

        def look():
            shot = self.page.shot
            if not (shot and shot.fine and shot.scene == self.page.session.scene):
                return None
            pair = (Image.fromarray(one).resize((128, 128)) for one in (colorize(shot.labels), shot.picture))
            tiles, expected = self.tiles(), [np.asarray(one, float) for one in pair]
            off = [float(np.abs(tile - one).mean()) for tile, one in zip(tiles, expected)]
            return tiles if max(off) < OFF else None

        return until(look)

    def click(self, text: str) -> None:
        self.driver.switch_to.window(self.window)
        button = self.driver.find_element("xpath", f"//button[normalize-space(.)={text!r}]")
        self.driver.execute_script("arguments[0].click()", button)

    def slide(self, name: str) -> None:
        """Move a slider to its end."""
        self.driver.switch_to.window(self.window)
        path = f"//*[normalize-space(text())={name!r}]/following::*[@role='slider'][1]"
        thumb = self.driver.find_element("xpath", path)
        self.driver.execute_script("arguments[0].focus()", thumb)
        thumb.send_keys("\ue010")  # End

    def upload(self, button: str, path) -> None:
        """Give a file to an upload button."""
        self.driver.switch_to.window(self.window)
        field = f"//button[normalize-space(.)={button!r}]/preceding::input[@type='file'][1]"
        self.driver.find_element("xpath", field).send_keys(str(path))


def until(told, seconds: float = SECONDS):
    """What a function gives, once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (value := told()) is not None:
            return value
        time.sleep(0.1)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.fixture(scope="module")
def tabs(driver, viewer):
    made = [Tab(driver, viewer) for _ in range(2)]
    for tab in made:
        tab.shown()
    return made


def labels_of(tab) -> np.ndarray:
    return resize(tab.page.shot.labels, 128)


def test_the_map_shows_the_classes_and_the_picture_a_head(tabs):
    names, picture = tabs[0].shown()
    labels = labels_of(tabs[0])
    for label in (SKIN, HAIR, CLOTH):
        assert np.median(names[labels == label], 0).std() > 5
    assert (
        len({tuple(np.median(names[labels == label], 0)) for label in (BACKGROUND, SKIN, HAIR, CLOTH)}) == 4
    )
    assert picture.std() > 20


def test_a_drag_turns_the_head_here_and_not_on_the_other_page(driver, tabs):
    from selenium.webdriver import ActionChains

    first, second = tabs
    before, other = first.shown(), second.shown()
    yaw = first.page.session.scene.yaw
    canvas = first.canvas()
    ActionChains(driver).move_to_element(canvas).click_and_hold().move_by_offset(90, 0).move_by_offset(
        30, 10
    ).release().perform()
    until(lambda: True if abs(first.page.session.scene.yaw - yaw) > 5 else None)
    time.sleep(0.5)
    after = first.shown()
    assert np.abs(after[0] - before[0]).mean() > 8 and np.abs(after[1] - before[1]).mean() > 5
    assert all(np.abs(now - then).mean() < 1 for now, then in zip(second.shown(), other))
    assert second.page.session.scene.yaw == 0


def test_a_regions_style_changes_that_region_and_others_hardly(tabs):
    first, second = tabs
    before, other, labels = first.shown()[1], second.shown()[1], labels_of(first)
    first.click("Next style")
    until(lambda: True if dict(first.page.session.scene.regions) == {"hair": 1} else None)

    def changed():
        """The picture's change, once the hair has changed: of so few pixels that `shown` might take it for noise."""
        change = np.abs(first.shown()[1] - before).mean(-1)
        return change if change[labels == HAIR].mean() > 8 else None

    change = until(changed)
    assert change[labels == HAIR].mean() > 5 * max(change[labels == part].mean() for part in (SKIN, CLOTH))
    assert np.abs(second.shown()[1] - other).mean() < 1 and second.page.session.scene.regions == ()
    first.click("Look's own")
    until(lambda: True if not first.page.session.scene.regions else None)
    until(lambda: True if np.abs(first.shown()[1] - before).mean() < 0.3 else None)


def test_a_picture_is_saved_as_it_is_shown(driver, tabs):
    first = tabs[0]
    shown = first.shown()[1]
    first.click("Picture")
    path = until(lambda: next(driver.downloads.glob("picture*.png"), None))
    time.sleep(0.2)
    saved = np.asarray(Image.open(path).resize((128, 128)), float)
    assert np.abs(saved - shown).mean() < 6
    assert path.read_bytes() == first.page.session.export("picture", ".png")
    assert read_record(path)["arguments"]["scene"] == first.page.session.scene.to_mapping()


def test_another_head_and_look_are_asked_for(tabs):
    first = tabs[0]
    before = first.shown()
    first.click("Another head")
    until(lambda: True if first.page.session.scene.head == "1" else None)
    head = first.shown()
    assert np.abs(head[0] - before[0]).mean() > 3
    first.click("Another look")
    until(lambda: True if first.page.session.scene.look == 1 else None)
    look = first.shown()
    assert np.abs(look[1] - head[1]).mean() > 8 and np.abs(look[0] - head[0]).mean() < 2


def test_one_of_six_looks_is_chosen(tabs):
    first = tabs[0]
    look = first.page.session.scene.look
    first.click("Show the next six")
    seed = str(look + 3)
    until(lambda: True if seed in first.page.controls["six"].options else None)
    until(lambda: first.driver.find_elements("xpath", f"//button[normalize-space(.)={seed!r}]") or None)
    first.click(seed)
    until(lambda: True if first.page.session.scene.look == look + 3 else None)
    assert first.page.controls["look"].value == look + 3


def test_a_label_map_is_dropped_in_and_painted(driver, tabs, tmp_path):
    first = tabs[0]
    edited = first.page.shot.labels.copy()
    first.shown()
    edited[:, : edited.shape[1] // 2] = BACKGROUND
    Image.fromarray(colorize(edited)).save(tmp_path / "edited.png")
    (tmp_path / "other.png").write_bytes(b"no picture")
    driver.switch_to.window(first.window)
    field = driver.find_elements("css selector", "input[type=file]")[-1]
    field.send_keys(str(tmp_path / "edited.png"))
    until(lambda: True if first.page.session.scene.drawn else None)
    names, _ = first.shown()
    assert (first.page.shot.labels == edited).all() and names[:, :60].mean() < 1 < names[:, 68:].mean()
    driver.find_elements("css selector", "input[type=file]")[-1].send_keys(str(tmp_path / "other.png"))
    told = until(
        lambda: driver.find_elements("xpath", "//*[contains(text(), 'a label map is a PNG')]") or None
    )
    assert told and (first.page.shot.labels == edited).all()
    first.click("From the front")
    until(lambda: True if not first.page.session.scene.drawn else None)


def test_from_the_front_the_camera_is_in_front(driver, tabs):
    from selenium.webdriver import ActionChains

    first = tabs[0]

    def drag() -> float:
        chain = ActionChains(driver).move_to_element(first.canvas()).click_and_hold()
        chain.move_by_offset(60, 0).move_by_offset(20, 10).release().perform()
        time.sleep(1)  # The page tells of its camera again and again.
        return first.page.session.scene.yaw

    turned = drag()
    assert abs(drag() - turned) > 5
    first.click("From the front")
    time.sleep(1)
    scene = first.page.session.scene
    assert (scene.yaw, scene.pitch, scene.zoom) == pytest.approx((0, 0, 1), abs=0.05)
    assert np.subtract(first.page.client.camera.position, first.page.client.camera.look_at)[
        :2
    ] == pytest.approx((0, 0), abs=0.01)
    assert 3 < abs(drag()) < 80
    first.click("From the front")


def test_sliders_give_a_head_known_features_here_alone(tabs):
    first, second = tabs
    until(lambda: True if "As the head has them" in first.driver.page_source else None)
    sliders = first.page.features.sliders
    assert {"smile", "glasses", "hair_length"} <= set(sliders)
    before = first.shown()[0]
    first.slide("Glasses")
    until(lambda: True if dict(first.page.session.scene.features) == {"glasses": 1.0} else None)
    assert np.abs(first.shown()[0] - before).mean() > 1 and not second.page.session.scene.features
    assert sliders["glasses"].value == 1.0
    first.click("As the head has them")
    until(lambda: True if not first.page.session.scene.features else None)
    assert sliders["glasses"].value == 0.0 and np.abs(first.shown()[0] - before).mean() < 1


def test_a_brush_paints_and_the_head_follows_here_alone(driver, tabs, monkeypatch):
    from selenium.webdriver import ActionChains

    for name, value in {"CODE_STEPS": 3, "PLANE_STEPS": 4, "POINTS": 3000}.items():
        monkeypatch.setattr(edit, name, value)
    first, second = tabs
    first.click("From the front")
    before, other = first.shown(), second.page.session.scene
    scene = first.page.session.scene
    first.click("Brush on")
    until(lambda: True if first.page.brush.on else None)
    rect = first.canvas().rect
    places = layout(rect["width"] / rect["height"], 2)
    scale = rect["width"] / places.width
    (left, top), side = np.multiply(places.corners[0], scale), SIDE * scale
    x, y = round(left + 0.15 * side - rect["width"] / 2), round(top + 0.3 * side - rect["height"] / 2)
    drag = ActionChains(driver).move_to_element_with_offset(first.canvas(), x, y).click_and_hold()
    for _ in range(6):
        drag = drag.move_by_offset(0, round(0.06 * side)).pause(0.1)
    drag.release().perform()
    until(lambda: True if first.page.session.scene.drawn else None)
    painted = first.shown()
    was, now = (one[40:80, 14:25] for one in (before[0], painted[0]))
    assert (np.abs(now - colorize(np.uint8(HAIR))).max(-1) < 40).mean() > 0.4 and np.abs(
        now - was
    ).mean() > 20
    assert first.page.session.scene.yaw == scene.yaw and not second.page.session.scene.drawn
    first.click("Fit the head to it")
    until(lambda: True if first.page.session.scene.head.startswith(MARK) else None)
    first.shown()
    assert second.page.session.scene == other
    first.page.look_from(20.0, 5.0, 1.2)
    time.sleep(1)  # for what the page tells of its camera
    for _ in range(2):
        first.click("Undo")
    until(lambda: True if first.page.session.scene == scene else None)
    time.sleep(1)
    assert first.page.session.scene == scene  # The camera has come along.
    first.click("Brush off")
    until(lambda: None if first.page.brush.on else True)


def test_a_photo_without_a_parser_of_photos_is_told_so(driver, tabs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no models are
    monkeypatch.setattr(Engine, "is_starter", property(lambda engine: False))  # which has a parser
    draw_face(64).save("face.png")
    driver.switch_to.window(tabs[0].window)
    tabs[0].upload("Style from a photo", tmp_path / "face.png")
    until(lambda: driver.find_elements("xpath", "//*[contains(text(), 'no parser at models')]") or None)


def test_a_photo_is_turned_and_left_for_another_head(driver, tabs, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "photo_parser", lambda engine: DrawnParser())
    fit_in_few_steps(monkeypatch)
    draw_face(256).save(tmp_path / "face.png")
    first, second = tabs
    other, head = second.page.session.scene, first.page.session.scene.head
    first.slide("Morph")
    until(lambda: True if first.page.session.scene.morph == 1 else None)
    first.upload("Turn a photo", tmp_path / "face.png")
    person = until(lambda: first.page.session.person)
    until(lambda: True if first.page.session.scene.photo else None)
    names, picture = first.shown()
    assert np.abs(picture - np.asarray(Image.fromarray(person.picture).resize((128, 128)), float)).mean() < 8
    scene = first.page.session.scene
    assert scene.yaw == pytest.approx(person.engine.fitted.yaw, abs=0.01)
    assert first.page.controls["morph"].value == 0 and second.page.session.scene == other
    assert "the head of the photo, its look" in first.page.status.content
    first.click("Another head")
    until(lambda: True if first.page.session.scene.head == str(int(head) + 1) else None)
    assert np.abs(first.shown()[0] - names).mean() > 3
    first.click("Back to the photo")
    until(lambda: True if first.page.session.scene == scene else None)
    first.click("Another head")
    until(lambda: True if not first.page.session.scene.photo else None)


def test_views_are_kept_for_a_film(tabs):
    first = tabs[0]
    for count in (1, 2):
        first.click("Keep this view for a film")
        until(lambda count=count: True if len(first.page.session.views) == count else None)
    until(
        lambda: (
            first.driver.find_elements("xpath", "//button[contains(., 'Film through the 2 views')]") or None
        )
    )
    first.click("Forget the 2 views")
    until(lambda: True if not first.page.session.views else None)
    assert not tabs[1].page.session.views


def test_a_page_that_is_closed_ends_its_session(driver, viewer, tabs):
    tab = Tab(driver, viewer)
    tab.shown()
    driver.switch_to.window(tab.window)
    driver.close()
    until(lambda: True if tab.page not in viewer.pages.values() else None)
    until(lambda: True if not tab.page.session._worker._thread.is_alive() else None)
    driver.switch_to.window(tabs[0].window)
    assert len(viewer.pages) == 2 < MOST_VISITORS


def test_it_listens_on_this_machine_alone_and_takes_no_port_of_others(viewer, capsys):
    assert viewer.url.startswith("http://127.0.0.1:")
    port = viewer.server.get_port()
    with pytest.raises(InputError, match=f"127.0.0.1:{port} .*name another --port"):
        Viewer(viewer.engine, port=port)
    assert main(["view", "--models", "starter", "--threads", "1", "--port", str(port)]) == 1
    assert "name another --port" in capsys.readouterr().err
    with pytest.raises(OSError):  # Who listens everywhere is found there too.
        socket.create_connection(("127.0.0.2", port), 2).close()


def test_more_visitors_than_there_may_be_are_told_so(viewer, monkeypatch):
    monkeypatch.setattr(server, "MOST_VISITORS", len(viewer.pages))
    told = []
    gui = SimpleNamespace(add_markdown=told.append)
    pages = dict(viewer.pages)
    monkeypatch.setattr(viewer, "_is_invited", lambda client: True)
    viewer._came(SimpleNamespace(client_id=-1, gui=gui))
    assert viewer.pages == pages and f"{len(pages)} pages are open" in told[0]
    viewer._left(SimpleNamespace(client_id=-1))


def test_a_visitor_who_left_before_the_page_was_made_takes_no_place(viewer, monkeypatch):
    ended = []
    monkeypatch.setattr(server, "Page", lambda *_: SimpleNamespace(close=lambda: ended.append(True)))
    monkeypatch.setattr(viewer, "_is_invited", lambda client: True)
    pages, gone = dict(viewer.pages), SimpleNamespace(client_id=-1)  # The server knows no such client by now.
    viewer._left(gone)
    viewer._came(gone)
    assert viewer.pages == pages and ended == [True]


def address(viewer, token: str | None = None) -> str:
    """That of the websocket which the page connects to."""
    found = viewer.url.partition("?websocket=")[2]
    return found if token is None else found.replace(viewer.token, token)


CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (1.0, 0.0, 0.0, 0.0), "position": (0.0, 0.0, 4.0), "fov": 0.5, "near": 0.1,
    "far": 100.0, "image_height": 64, "image_width": 64, "look_at": (0.0, 0.0, 0.0), "up_direction": (0.0, 1.0, 0.0),
}  # fmt: skip


@contextmanager
def visitor(viewer, token: str | None = None, **how):
    """A connection as viser's client makes it, without a browser; with another token than the viewer's, where one is
    given."""
    protocol = f"viser-v{viser.__version__}"
    with connect(address(viewer, token), subprotocols=[protocol], max_size=None, **how) as made:
        made.send(msgspec.msgpack.encode(CAMERA))
        yield made


@pytest.mark.parametrize("token", ["", "x" * 22, None])
def test_who_has_no_token_gets_no_page(viewer, monkeypatch, token):
    """As a site that is open in the same browser: it knows the port at best."""
    made, told = [], threading.Event()
    page = SimpleNamespace(close=lambda: None, leave=lambda: None)
    monkeypatch.setattr(server, "Page", lambda *_: made.append(True) or page)
    came = viewer._came
    monkeypatch.setattr(viewer.server, "_client_connect_cb", [lambda client: (came(client), told.set())])
    with visitor(viewer, token, additional_headers={"Origin": "http://example.com"}):
        assert told.wait(SECONDS)
    assert made == ([True] if token is None else [])


def test_a_page_that_is_closed_amid_a_fit_is_told_nothing_more(viewer):
    """viser would warn of it."""
    began, left, known = threading.Event(), threading.Event(), set(viewer.pages)

    def slow(listener):
        began.set()
        assert left.wait(SECONDS)
        WhileOpen(listener, page.session._closed).items(1, 2)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with visitor(viewer):
            number = until(lambda: next(iter(set(viewer.pages) - known), None))
            page = viewer.pages[number]
            page.session.fit = slow
            fit = threading.Thread(target=page.brush._fit)
            fit.start()
            assert began.wait(SECONDS)
        until(lambda: None if number in viewer.pages else True)
        warned.clear()  # Pages of other tests may have been closed while they were built.
        left.set()
        fit.join(SECONDS)
        assert not fit.is_alive() and not page.session.is_open
    assert not [one for one in warned if "closed connection" in str(one.message)]


def test_no_visitor_can_make_it_public(viewer, monkeypatch):
    """viser gives whoever asks for it a tunnel through a server of its makers."""
    tunnels, heard = [], threading.Event()
    monkeypatch.setattr(_viser, "ViserTunnel", lambda *_: tunnels.append(True))
    asked = viewer.server.request_share_url

    def ask() -> None:
        try:
            asked()
        finally:
            heard.set()

    monkeypatch.setattr(viewer.server, "request_share_url", ask)
    with visitor(viewer) as made:
        made.send(msgspec.msgpack.encode({"type": "ShareUrlRequest"}))
        assert heard.wait(SECONDS) and not tunnels


@pytest.mark.parametrize(
    ("host", "port", "told"),
    [
        ("127.0.0.1", 70_000, "a port is a number up to 65535, not 70000"),
        ("203.0.113.1", 8080, "another --host"),  # of no machine: it stands in documents
        ("\udcff", 8080, "is no host's name"),
    ],
)
def test_what_is_no_address_is_told(host, port, told):
    with pytest.raises(InputError, match=told):
        server.check_free(host, port)


def test_a_missing_viser_is_told_with_the_command_that_installs_it(monkeypatch, capsys):
    monkeypatch.setattr(view, "find_spec", lambda name: None)
    assert main(["view"]) == 1
    assert "pip install --constraint constraints.txt --no-deps viser" in capsys.readouterr().err


def test_an_interrupt_ends_it_at_once_and_well(tmp_path):
    """Right after its start, while it makes quick views ready: a process that ends amid that would crash."""
    # Shells have jobs behind ignore it, which processes pass on. (Popen's own way to change that, preexec_fn, forks
    # this process with all its threads, whose libraries may then wait for one another for good.)
    heeding = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    heeding += "from sofgan.__main__ import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", heeding, "view", "--models", "starter", "--threads", "1"]
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    process = subprocess.Popen(
        [*words, "--port", str(free_port())], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    lines = []
    while not lines or "Ctrl+C" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], f"it ended: {lines}"
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=SECONDS)[0]
    *before, told = lines
    assert told.startswith("http://127.0.0.1:") and process.returncode == 0 and "Traceback" not in rest
    assert not any("://" in line for line in before)  # viser would tell an address without the token
