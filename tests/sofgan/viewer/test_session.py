"""A visitor's session without a browser: what it shows, in which order, and that it shares nothing with others."""

import base64
import io
import json
import struct
import threading
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from sofgan.__main__ import main
from sofgan.apps import painted_mesh
from sofgan.apps.drawn_maps import packed, read_map, unpacked
from sofgan.apps.engine import Engine
from sofgan.errors import InputError
from sofgan.labels import HAIR, SKIN, colorize, resize
from sofgan.viewer import exports
from sofgan.viewer.canvas import BACKGROUND, compose
from sofgan.viewer.newest import Newest
from sofgan.viewer.scene import Scene, angles_of
from sofgan.viewer.session import COARSE, Session

SIZE = 64


class Visitor:
    """A session, and all that it showed and told."""

    def __init__(self, engine: Engine):
        self.shots, self.told = [], []
        self.session = Session(engine, self.shots.append, self.told.append, threading.Semaphore(2))
        self.session.size = SIZE

    def after(self, wish, *arguments, **fields):
        """The last shot after a wish."""
        wish(*arguments, **fields)
        assert self.session.wait()
        return self.shots[-1]


@pytest.fixture
def visitor(engine):
    made = []

    def new() -> Visitor:
        made.append(Visitor(engine))
        return made[-1]

    yield new
    for one in made:
        one.session.close()


def test_only_the_newest_of_many_wishes_is_worked_on():
    began, goes_on, done = threading.Event(), threading.Event(), []

    def work(item, overtaken):
        began.set()
        goes_on.wait(10)
        done.append((item, overtaken()))

    worker = Newest(work, done.append)
    worker.put(0)
    assert began.wait(10)
    for item in range(1, 6):
        worker.put(item)
    goes_on.set()
    assert worker.wait(10) and done == [(0, True), (5, False)]
    worker.close()


def test_a_wish_that_fails_is_told_and_the_next_one_is_worked_on():
    done, failed = [], []
    worker = Newest(lambda item, overtaken: done.append(10 / item), lambda error: failed.append(type(error)))
    for item in (0, 5):
        worker.put(item)
        assert worker.wait(10)
    assert failed == [ZeroDivisionError] and done == [2.0]
    worker.close()
    assert not worker._thread.is_alive()


def test_a_worker_waits_for_a_newer_wish_as_long_as_it_is_told():
    told = []
    worker = Newest(lambda item, overtaken: told.append(overtaken(10.0 if item == 1 else 0.01)), told.append)
    worker.put(1)
    worker.put(2)
    assert worker.wait(5) and told[-1] is False and set(told[:-1]) <= {True}
    worker.close()


def test_a_scene_is_plain_data():
    scene = Scene(head="3", morph=0.4).restyled("hair", 7).restyled("lips", 2).turned(20, -5, 1.5)
    assert Scene.of(json.loads(json.dumps(scene.to_mapping()))) == scene
    assert scene.restyled("hair", None).regions == (("lips", 2),)
    with pytest.raises(InputError, match="no region 'nose'"):
        scene.restyled("nose", 1)
    far = scene.turned(300, -90, 50)
    assert (far.yaw, far.pitch, far.zoom) == (90.0, -40.0, 3.0)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (30, 10), (-70, -20)])
def test_angles_are_those_of_the_framing(engine, yaw, pitch):
    framing = engine.framing
    place = framing.cam2world(np.radians(yaw), np.radians(pitch))[:3, 3] - (0, framing.target_y, 0)
    assert np.allclose(angles_of(place, framing.distance), (yaw, pitch, 1.0), atol=1e-3)
    assert np.allclose(angles_of(place / 2, framing.distance), (yaw, pitch, 2.0), atol=1e-3)


def test_a_head_is_shown_coarse_first_and_fine_then(engine, visitor):
    one = visitor()
    last = one.after(one.session.change, head="11")
    assert [shot.fine for shot in one.shots] == [False, True] and len(one.shots[0].labels) == COARSE
    exact = engine.view(engine.head(11), engine.camera(0, 0, SIZE)).labels
    assert (last.labels == exact).all() and last.scene == one.session.scene
    assert (last.picture == engine.paint(exact, engine.look(0, 0.7))).all()
    # Now it is baked: what follows is coarse by a grid alone, at all pixels.
    turned = one.after(one.session.turn, 25.0, 5.0)
    coarse = one.shots[-2]
    assert not coarse.fine and turned.fine and len(coarse.labels) == SIZE
    assert (turned.labels != last.labels).mean() > 0.03 and (coarse.labels == turned.labels).mean() > 0.97


def test_a_regions_style_changes_that_region_and_others_hardly(visitor):
    one = visitor()
    before = one.after(one.session.change, head="2")
    after = one.after(one.session.restyle, "hair", 5)
    labels = resize(before.labels, len(before.picture))
    change = np.abs(after.picture.astype(float) - before.picture).mean(-1)
    assert (
        change[labels == HAIR].mean() > 8
        and change[labels == HAIR].mean() > 6 * change[labels == SKIN].mean()
    )
    assert before.colors()["hair"] != after.colors()["hair"] and after.colors()["hat"] is None
    own = one.after(one.session.restyle, "hair", None)
    assert (own.picture == before.picture).all()


def test_visitors_share_no_state(visitor):
    first, second = visitor(), visitor()
    before = second.after(second.session.change, head="1")
    first.after(first.session.change, head="4", look=3)
    first.after(first.session.turn, 30.0, 0.0)
    count = len(second.shots)
    again = second.after(second.session.redraw)
    assert again.scene == before.scene == second.session.scene != first.session.scene
    assert (again.picture == before.picture).all() and len(second.shots) == count + 2


def test_a_wish_for_what_is_shown_shows_nothing_anew(visitor):
    one = visitor()
    one.after(one.session.turn, 10.0, 0.0)
    count = len(one.shots)
    one.after(one.session.turn, 10.0, 0.0)
    assert len(one.shots) == count


def test_what_can_not_be_shown_is_told_in_a_sentence(visitor):
    one = visitor()
    one.session.change(head="nobody")
    assert one.session.wait() and "'nobody' is neither a seed" in one.told[0]
    assert one.after(one.session.change, head="1").fine


@pytest.mark.parametrize(("kind", "suffix"), [("picture", ".png"), ("film", ".gif"), ("mesh", ".glb")])
def test_a_saved_file_is_made_again_by_its_record(visitor, workdir, monkeypatch, kind, suffix):
    monkeypatch.setattr(exports, "FRAMES", 4)
    monkeypatch.setattr(painted_mesh, "RESOLUTION", 48)
    monkeypatch.setattr(painted_mesh, "ANGLES", painted_mesh.ANGLES[::4])
    one = visitor()
    one.session.size = 16
    one.session.change(head="3", other_head="5", morph=0.5)
    one.session.restyle("cloth", 9)
    content = one.session.export(kind, suffix)
    (workdir / f"saved{suffix}").write_bytes(content)
    words = ["replay", f"saved{suffix}", "--models", "starter", "--threads", "1"]
    assert main([*words, "--out", f"again{suffix}"]) == 0
    assert (workdir / f"again{suffix}").read_bytes() == content
    if kind == "mesh":
        assert len(trimesh.load(f"saved{suffix}").to_mesh().faces) > 1000
    with pytest.raises(InputError, match="ends in"):
        one.session.export(kind, ".txt")


def png_of(values: np.ndarray, mode: str | None = None) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(values)
    (image.convert(mode, palette=Image.Palette.ADAPTIVE) if mode else image).save(out, "PNG")
    return out.getvalue()


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks and one of pixels."""
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in (*chunks, (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return content


def test_a_drawn_map_is_painted_until_the_camera_moves(visitor, workdir):
    one = visitor()
    before = one.after(one.session.change, head="2")
    edited = before.labels.copy()
    edited[: SIZE // 2][edited[: SIZE // 2] == SKIN] = HAIR
    assert (unpacked(packed(edited)) == edited).all()
    drawn = one.after(one.session.draw, png_of(colorize(edited)))
    assert (drawn.labels == edited).all() and drawn.fine
    assert (drawn.picture == one.session.engine.paint(edited, one.session.engine.look(0, 0.7))).all()
    (workdir / "saved.png").write_bytes(one.session.export("picture", ".png"))
    assert main(["replay", "saved.png", "--models", "starter", "--threads", "1", "--out", "again.png"]) == 0
    assert (np.asarray(Image.open("again.png")) == drawn.picture).all()
    with pytest.raises(InputError, match="a drawn map is one view"):
        one.session.export("film", ".gif")
    assert (one.after(one.session.turn, 0.0, 0.0).labels == edited).all()  # It has not moved.
    back = one.after(one.session.turn, 1.0, 0.0)
    assert not back.scene.drawn and (back.labels == before.labels).mean() > 0.95
    one.after(one.session.draw, png_of(edited))  # as ids
    assert (one.after(one.session.change, head="2", look=1).labels == before.labels).mean() > 0.95


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"%PDF-1.7", "a label map is a PNG"),
        (png_of(np.full((64, 64), SKIN, np.uint8))[:60], "or it is damaged"),
        (png_of(np.full((64, 64), 200, np.uint8)), "ids up to 16, this one 200"),
        (png_of(np.full((8, 64), SKIN, np.uint8)), "sides of 16 to 2048 pixels, not 64 x 8"),
        (png_of(np.full((64, 64, 3), 130, np.uint8)), "100% of the pixels have a color that is no class'"),
        (b"x" * 5_000_000, "4 MB at most, this file has 5,000,000"),
        (png_of(np.full((64, 32), SKIN, np.uint8)), "a label map is square, not 32 x 64 pixels"),
        (png_of(np.full((64, 64), 300, np.uint16)), "ids up to 16, this one 300"),
        # What PIL has errors of other kinds for: a billion pixels, and text that unpacks to megabytes.
        (png_with((b"IHDR", struct.pack(">IIBBBBB", 32000, 32000, 8, 0, 0, 0, 0))), "a label map is a PNG"),
        (
            png_with(
                (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)),
                (b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000))),
            ),
            "a label map is a PNG",
        ),
    ],
)
def test_what_is_no_label_map_is_told(content, told):
    with pytest.raises(InputError, match=told):
        read_map(content, 64)


def test_maps_are_read_in_any_way_they_are_saved(engine):
    labels = engine.view(engine.head(0), engine.camera(0, 0, 64)).labels
    near = np.clip(colorize(resize(labels, 128)).astype(int) + 5, 0, 255).astype(np.uint8)
    for content in (
        png_of(labels),
        png_of(labels.astype(np.uint16)),
        png_of(colorize(labels)),
        png_of(colorize(labels), "P"),
        png_of(near, "RGBA"),
    ):
        assert (read_map(content, 64) == labels).all()
    assert read_map(png_of(labels), 32).shape == (32, 32)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((16, 16, 3), np.uint8),
        np.full((16, 16), 99, np.uint8),
        np.zeros((16, 8), np.uint8),
        np.zeros((16, 16), bool),
    ],
)
def test_a_records_map_that_is_none_is_told(values):
    with pytest.raises(InputError, match="for a label map is none"):
        unpacked(base64.b64encode(png_of(values)).decode())


def test_a_map_of_many_colors_takes_little_memory():
    places = np.arange(512)
    values = np.stack(
        np.broadcast_arrays(places[:, None] % 256, places % 256, places[:, None] // 256 + 2), -1
    )
    content = png_of(values.astype(np.uint8))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="a color that is no class'"):
            read_map(content, 64)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_soft_edges_take_a_class_that_is_beside_them():
    """Halfway from hair to skin lies the color of a class of neither."""
    labels = np.full((64, 64), HAIR, np.uint8)
    labels[:, 32:] = SKIN
    soft = Image.fromarray(colorize(labels)).resize((512, 512), Image.Resampling.BILINEAR)
    assert len(np.unique(np.asarray(soft).reshape(-1, 3), axis=0)) > 2
    found = read_map(png_of(np.asarray(soft)), 512)
    assert set(np.unique(found)) == {HAIR, SKIN} and (found == resize(labels, 512)).mean() > 0.98
    noise = np.random.default_rng(0).integers(-2, 3, (64, 64, 3))
    assert (read_map(png_of((colorize(labels) + noise).astype(np.uint8)), 64) == labels).all()


def test_a_film_goes_through_the_views_that_were_kept(visitor, engine, monkeypatch):
    monkeypatch.setattr(exports, "FRAMES", 4)
    one = visitor()
    one.session.size = 32
    for yaw, pitch, zoom in ((-30, 0, 1.0), (20, 10, 1.3)):
        one.session.turn(yaw, pitch, zoom)
        one.session.keep_view()
    assert one.session.views == [(-30.0, 0.0, 1.0), (20.0, 10.0, 1.3)]
    through = exports.film(engine, Scene(), 32, views=one.session.views).frames
    first = engine.picture(engine.head(0), engine.look(0, 0.7), engine.camera(-30, 0, 32))
    assert len(through) == 4 and (through[0] == first).all() and (through[2] != first).any()
    around = exports.film(engine, Scene(), 32, views=one.session.views[:1]).frames
    assert (around[0] == around[2]).all() and (around[0] != first).any()


def test_a_film_keeps_to_the_views_that_it_began_with(visitor, monkeypatch):
    one, seen = visitor(), []
    one.session.keep_view()

    def film(engine, scene, size, progress, views):
        one.session.views.clear()  # The visitor forgets them meanwhile.
        seen.extend(views)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setitem(exports.MAKERS, "film", film)
    one.session.export("film", ".png")
    assert seen == [(0.0, 0.0, 1.0)]


def test_previews_are_the_head_in_those_looks(visitor, engine):
    one = visitor()
    one.after(one.session.change, head="2")
    shown = one.session.previews([4, 5])
    labels = engine.view(engine.head(2), engine.camera(0, 0, COARSE)).labels
    assert (shown[1] == engine.paint(labels, engine.look(5, 0.7))).all() and (shown[0] != shown[1]).any()


@pytest.mark.parametrize(("aspect", "beside"), [(1.6, True), (3.0, True), (0.6, False)])
def test_a_page_shows_map_and_picture_in_its_own_shape(visitor, aspect, beside):
    one = visitor()
    shot = one.after(one.session.change, head="1")
    # Maps of one class and pictures of one color are found again wherever they are.
    plain = replace(shot, labels=np.full((8, 8), SKIN, np.uint8), picture=np.full((8, 8, 3), 200, np.uint8))
    page = compose(plain, aspect)
    assert page.shape[1] / page.shape[0] == pytest.approx(aspect, rel=0.01)
    places = [
        np.argwhere((page == color).all(-1)) for color in (colorize(plain.labels)[0, 0], plain.picture[0, 0])
    ]
    (top, left), (other_top, other_left) = (place.min(0) for place in places)
    assert len(places[0]) == len(places[1]) and np.ptp(places[0], 0).tolist() == [511, 511]
    assert (other_left > left and other_top == top) if beside else (other_top > top and other_left == left)
    assert (page[0, 0] == BACKGROUND).all()
    alone = compose(plain, aspect, with_map=False)
    assert not (alone == colorize(plain.labels)[0, 0]).all(-1).any()
