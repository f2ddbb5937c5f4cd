"""The page in a real browser, Debian's Chromium without a screen and without a network."""

import json
import time

import numpy as np
import pytest

from benchmarks.inputs.browser import browser
from sofgan.__main__ import main
from sofgan.apps import photo as photos
from sofgan.apps import photo_head
from sofgan.apps.engine import Engine
from sofgan.apps.looks import REGION_NAMES, Look
from sofgan.apps.photo import read_photo
from sofgan.apps.results import read_record
from sofgan.commands import page as page_command
from sofgan.errors import InputError
from sofgan.files import sha256_file
from sofgan.labels import CLOTH, HAIR, NUM_CLASSES, SKIN, resize
from sofgan.page.build import Content, build
from sofgan.siw.mixing import class_to_group
from sofgan.starter.files import FOLDER, PARSER
from tests.drawn_faces import draw_face
from tests.photo_fits import DrawnParser, fit_in_few_steps

SECONDS = 90  # that a page may take, of a browser beside other tests
SIZE, LOOKS = 64, 6
# Waits for the page, and gives what an expression then is.
ASK = "const done = arguments[arguments.length - 1]; (async () => {{ {} }})().then(done, (e) => done(String(e)))"
DIFFERENCE = 2  # of 255, to torch's picture


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.starter()


@pytest.fixture(scope="module")
def page(engine, tmp_path_factory):
    """The page of two heads."""
    html = build(engine, Content(["0", "3"], LOOKS, size=SIZE, turns=False)).html
    yield from opened(html, tmp_path_factory)


@pytest.fixture(scope="module")
def person(engine, tmp_path_factory):
    """A photo's head, fitted in few steps."""
    path = tmp_path_factory.mktemp("photo") / "face.png"
    draw_face(256).save(path)
    with pytest.MonkeyPatch.context() as patch:
        fit_in_few_steps(patch)
        return photo_head.fit_photo(engine, read_photo(path, DrawnParser()))


@pytest.fixture(scope="module")
def photo_page(person, tmp_path_factory):
    """The page of that head."""
    content = Content([photo_head.PHOTO], LOOKS, size=SIZE, turns=False)
    yield from opened(build(person.engine, content).html, tmp_path_factory)


def opened(html: str, tmp_path_factory):
    """A page in a browser that has no network."""
    try:
        driver = browser(1240, 900)
    except InputError as error:
        pytest.skip(str(error))
    try:
        path = tmp_path_factory.mktemp("page") / "page.html"
        path.write_text(html)
        driver.set_script_timeout(SECONDS)
        driver.execute_cdp_cmd("Network.enable", {})
        nothing = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", nothing)
        driver.get(path.as_uri())
        yield Visitor(driver)
    finally:
        driver.quit()


class Visitor:
    """Who looks at the page."""

    def __init__(self, driver):
        self.driver = driver
        assert self.ask("await sofganPage.ready; return 'ready'") == "ready"

    def ask(self, body: str, *arguments):
        return self.driver.execute_async_script(ASK.format(body), *arguments)

    def settle(self) -> dict:
        """State, labels (S, S), picture (R, R, 3) int, and shares of regions, once all wishes are shown."""
        found = self.ask(
            "while (sofganPage.settled()) await sofganPage.settled(); const shown = sofganPage.shown();"
            "return JSON.stringify({...shown, labels: [...shown.labels], picture: [...shown.picture]})"
        )
        shown = json.loads(found)
        shown["labels"] = np.array(shown["labels"], np.uint8).reshape(SIZE, SIZE)
        picture = np.array(shown["picture"])
        side = round((len(picture) / 4) ** 0.5)
        shown["picture"] = picture.reshape(side, side, 4)[..., :3]
        return shown

    def canvas(self, name: str) -> np.ndarray:
        """What a canvas holds, (S, S, 3) int."""
        found = self.ask(
            f"const one = document.getElementById('{name}');"
            "return [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]"
        )
        side = round((len(found) / 4) ** 0.5)
        return np.array(found).reshape(side, side, 4)[..., :3]

    def paint(self, labels: np.ndarray, look: Look) -> np.ndarray:
        found = self.ask(
            "const [labels, side, styles] = arguments;"
            "return [...(await sofganPage.paint(labels, side, styles)).picture]",
            labels.ravel().tolist(), len(labels), look.w.flatten().tolist(),
        )  # fmt: skip
        side = round((len(found) / 4) ** 0.5)
        return np.array(found).reshape(side, side, 4)[..., :3]

    def click(self, identifier: str) -> None:
        self.driver.find_element("id", identifier).click()


def mixed_look(engine: Engine) -> Look:
    """A style of its own for each region, none of them the page's."""
    look = engine.look(50)
    for number, name in enumerate(REGION_NAMES):
        look = look.restyled(name, engine.look(51 + number))
    return look


def test_it_opens_without_a_network_and_loads_nothing(page):
    assert page.ask("return document.getElementById('trouble').hidden") is True
    loaded = page.ask("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in loaded if not name.startswith("blob:")] == []
    shown = page.settle()
    assert {0, SKIN, HAIR, CLOTH} <= set(shown["labels"].flat) and shown["picture"].std() > 20
    assert (page.canvas("picture") == shown["picture"]).all()


def test_a_view_is_the_engines(page, engine):
    for yaw, pitch, zoom in ((0, 0, 1), (35, -10, 1), (-60, 20, 1.4)):
        page.ask(
            "const [yaw, pitch, zoom] = arguments; await sofganPage.change({yaw, pitch, zoom})",
            yaw,
            pitch,
            zoom,
        )
        camera = engine.camera(yaw, pitch, SIZE, zoom)
        expected = engine.quick_view(engine.head(0), camera).labels
        assert (page.settle()["labels"] == expected).mean() > 0.995
    page.ask("await sofganPage.change({yaw: 0, pitch: 0, zoom: 1})")


@pytest.mark.parametrize("plain", [False, True])
def test_a_picture_is_torchs(page, engine, plain):
    started = page.ask("return (await sofganPage.restart(arguments[0])).vectors", plain)
    assert started is not plain
    turned = engine.quick_view(engine.head(3), engine.camera(25, 8, 128)).labels
    noise = np.random.default_rng(0).integers(0, NUM_CLASSES, (SIZE, SIZE), np.uint8)
    for labels in (turned, noise):
        for look in (engine.look(40), mixed_look(engine)):
            difference = np.abs(page.paint(labels, look) - engine.paint(labels, look).astype(int))
            assert difference.max() <= DIFFERENCE
    page.ask("await sofganPage.restart(false)")


def test_a_look_is_that_of_the_same_seed(page, engine):
    found = page.ask("return [...sofganPage.stylesOf({look: 4, psi: 0.6, own: {hair: 5}})]")
    expected = engine.look(4, 0.6).restyled("hair", engine.look(5, 0.6)).w.flatten()
    assert np.abs(np.array(found) - expected.numpy()).max() < 1e-5


def test_a_drag_turns_the_head(page):
    from selenium.webdriver import ActionChains

    before = page.settle()
    canvas = page.driver.find_element("id", "picture")
    drag = ActionChains(page.driver).move_to_element(canvas).click_and_hold()
    drag.move_by_offset(60, 0).move_by_offset(20, 10).release().perform()
    after = page.settle()
    assert after["state"]["yaw"] < -20 and after["state"]["pitch"] > 2
    assert (after["labels"] != before["labels"]).mean() > 0.05
    assert np.abs(after["picture"] - before["picture"]).mean() > 5
    assert (page.canvas("picture") == after["picture"]).all()
    canvas.send_keys("\ue014" * 2)  # the arrow to the right
    assert page.settle()["state"]["yaw"] == pytest.approx(after["state"]["yaw"] - 10)
    page.ask("await sofganPage.change({yaw: 0, pitch: 0})")


def test_a_regions_style_changes_that_region_and_others_hardly(page):
    before = page.settle()
    labels = resize(before["labels"], len(before["picture"]))
    page.driver.find_element("css selector", "[aria-label='next style of hair']").click()
    after = page.settle()
    assert after["state"]["own"] == {"hair": 1}
    change = np.abs(after["picture"] - before["picture"]).mean(-1)
    assert change[labels == HAIR].mean() > 5
    assert change[labels == HAIR].mean() > 5 * max(change[labels == part].mean() for part in (SKIN, CLOTH))
    row = page.driver.find_element("css selector", "#regions li.restyled")
    assert "hair" in row.text and row.find_element("css selector", "output").text == "1"
    page.click("reset")
    assert (page.settle()["picture"] == before["picture"]).all()


def test_another_look_and_another_head_are_asked_for(page):
    before = page.settle()
    page.click("next")
    look = page.settle()
    assert look["state"]["look"] == 1 and (look["labels"] == before["labels"]).all()
    assert np.abs(look["picture"] - before["picture"]).mean() > 8
    page.click("before")
    page.driver.find_element("css selector", "[aria-label='head 3']").click()
    head = page.settle()
    assert head["state"]["head"] == 1 and (head["labels"] != before["labels"]).mean() > 0.02
    page.driver.find_element("css selector", "[aria-label='head 0']").click()
    assert (page.settle()["picture"] == before["picture"]).all()


def test_heads_are_seen_in_thumbnails_of_their_own(page):
    end = time.monotonic() + SECONDS
    found = "return [...document.querySelectorAll('#heads canvas')].map((one) => one.toDataURL())"
    side = page.settle()["picture"].shape[0]
    sides = "return [...document.querySelectorAll('#heads canvas')].map((one) => one.width)"
    while page.ask(sides) != [side, side] and time.monotonic() < end:
        time.sleep(0.1)
    first, second = page.ask(found)
    assert first != second


def test_it_turns_by_itself_until_it_is_touched(page):
    page.click("turn")
    end = time.monotonic() + SECONDS
    while abs(page.settle()["state"]["yaw"]) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    page.driver.find_element("id", "picture").click()
    shown = page.settle()
    time.sleep(0.5)
    assert page.settle()["state"]["yaw"] == shown["state"]["yaw"] != 0
    page.driver.find_element("id", "picture").click()  # now that it stands still
    middle = shown["labels"][SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1]
    chosen = page.driver.find_element("css selector", "#regions li.chosen span").text
    assert chosen in {REGION_NAMES[class_to_group()[label]] for label in middle.flat}
    page.ask("await sofganPage.change({yaw: 0})")


def test_a_photos_page_opens_as_the_photo_was_taken(photo_page, person):
    shown, own = photo_page.settle(), person.engine
    fitted = own.fitted
    camera = own.camera(fitted.yaw, fitted.pitch, SIZE)
    assert abs(fitted.yaw) > 0.1 and own.camera(0, 0, SIZE).intrinsics[1, 2] != 0.5
    view = own.quick_view(own.head(photo_head.PHOTO), camera).labels
    assert (shown["labels"] == view).mean() > 0.995
    expected = own.paint(shown["labels"], own.found).astype(int)
    assert np.abs(shown["picture"] - expected).max() <= DIFFERENCE
    look = photo_page.driver.find_element("id", "look").text
    assert look == f"the photo’s, or 0 to {LOOKS - 1}"
    assert not photo_page.driver.find_element("id", "heads").is_displayed()


def test_the_verb_makes_the_page_of_a_photo(person, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(page_command, "photo_parser", lambda engine: DrawnParser())
    monkeypatch.setattr(page_command, "fit_photo", lambda *_, **__: person)
    monkeypatch.chdir(tmp_path)
    draw_face(256).save(tmp_path / "me.png")
    words = ["--models", "starter", "--threads", "1", "--out", str(tmp_path / "me.html")]
    assert main(["page", *words, "--photo", str(tmp_path / "me.png"), "--looks", "3"]) == 0
    html = (tmp_path / "me.html").read_text()
    assert 'id="photo-look"' in html and "have learned one photo" in html
    asked = read_record(tmp_path / "me.html")["arguments"]
    assert asked["photo"] == "me.png" and str(tmp_path) not in html
    assert asked["photo_sha256"] == [sha256_file(tmp_path / "me.png")]
    replay = ["replay", *words[:-1], str(tmp_path / "again.html"), "me.html"]
    assert main(replay) == 0 and (tmp_path / "again.html").read_bytes() == (tmp_path / "me.html").read_bytes()
    assert read_record("me.html")["models"][PARSER] == sha256_file(FOLDER / PARSER)
    (tmp_path / PARSER).write_bytes(b"of other faces")
    with monkeypatch.context() as patch:
        patch.setattr(photos, "STARTER_FOLDER", tmp_path)
        assert main(replay) == 1 and f"another {PARSER!r}" in capsys.readouterr().err
    draw_face(256, width=0.21).save(tmp_path / "me.png")
    assert main(replay) == 1
    assert main(["page", *words, "--photo", str(tmp_path / "none.png")]) == 1


def test_a_photos_regions_take_other_styles_and_it_is_gone_back_to(photo_page, person):
    before, own = photo_page.settle(), person.engine
    photo_page.driver.find_element("css selector", "[aria-label='next style of hair']").click()
    after = photo_page.settle()
    assert after["state"]["own"] == {"hair": 0}  # after the photo's come those of seeds
    look = own.found.restyled("hair", own.look(0, after["state"]["psi"]))
    assert np.abs(after["picture"] - own.paint(after["labels"], look).astype(int)).max() <= DIFFERENCE
    photo_page.click("reset")
    photo_page.click("next")
    seed = photo_page.settle()
    assert seed["state"]["look"] == 0
    expected = own.paint(seed["labels"], own.look(0, seed["state"]["psi"])).astype(int)
    assert np.abs(seed["picture"] - expected).max() <= DIFFERENCE
    photo_page.click("before")
    assert (photo_page.settle()["picture"] == before["picture"]).all()
