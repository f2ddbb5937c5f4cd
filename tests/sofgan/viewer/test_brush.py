"""The brush without a browser: where a drag paints, what the head is fitted to, and what is undone."""

import io
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sofgan.__main__ import main
from sofgan.apps import edit, edited_heads
from sofgan.apps.drawn_maps import unpacked
from sofgan.apps.edited_heads import MARK
from sofgan.errors import InputError
from sofgan.labels import EYEGLASS, HAIR
from sofgan.viewer.canvas import SIDE, compose, layout, place_on_map
from sofgan.viewer.session import MOST_UNDONE, Session, Shot
from sofgan.viewer.strokes import drawn

SIZE = 64


def png_of(labels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(labels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def session(engine, monkeypatch):
    for name, value in {"CODE_STEPS": 3, "PLANE_STEPS": 4, "POINTS": 3000}.items():
        monkeypatch.setattr(edit, name, value)
    made = Session(engine, lambda shot: None, lambda text: None, threading.Semaphore(2))
    made.size = SIZE
    yield made
    made.close()


@pytest.mark.parametrize("aspect", [0.6, 1.7, 3.0])
def test_a_place_on_the_page_is_that_pixel_of_the_map(aspect):
    labels = np.zeros((32, 32), np.uint8)
    labels[20, 5] = HAIR
    shot = Shot(None, labels, np.zeros((32, 32, 3), np.uint8), True)
    page = compose(shot, aspect)
    rows, columns = np.nonzero((page == (100, 70, 70)).all(-1))
    screen = (columns.mean() + 0.5) / page.shape[1], (rows.mean() + 0.5) / page.shape[0]
    place = place_on_map(screen, aspect)
    assert np.multiply(place, 32) == pytest.approx((5.5, 20.5), abs=0.05)
    assert place_on_map((0.001, 0.5), aspect) is None and place_on_map(screen, aspect, with_map=False) is None
    places = layout(aspect, 2)
    left, top = places.corners[1]  # the picture is not painted on
    beside = (left + SIDE / 2) / places.width, (top + SIDE / 2) / places.height
    assert place_on_map(beside, aspect) is None


def test_a_stroke_covers_what_lies_within_its_radius():
    labels = np.zeros((20, 20), np.uint8)
    stroke = drawn(labels, HAIR, (0.25, 0.5), (0.75, 0.5), 2.0)
    assert not labels.any() and set(np.unique(stroke)) == {0, HAIR}
    rows, columns = np.nonzero(stroke)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 11, 3, 16)
    dab = drawn(labels, HAIR, (0.525, 0.525), (0.525, 0.525), 0.5)
    assert np.argwhere(dab).tolist() == [[10, 10]]


def test_strokes_are_painted_on_the_heads_own_map_and_undone_one_by_one(session, engine):
    session.turn(20, 0)
    own = engine.view(engine.head(0), session.scene.camera_of(engine, SIZE)).labels
    for start in ((0.1, 0.1), (0.9, 0.9)):
        session.begin_stroke()
        session.stroke(HAIR, start, start, 3.0)
        session.stroke(EYEGLASS, (0.5, 0.5), (0.5, 0.5), 1.0)
    expected = own
    for start in ((0.1, 0.1), (0.9, 0.9)):
        expected = drawn(drawn(expected, HAIR, start, start, 3.0), EYEGLASS, (0.5, 0.5), (0.5, 0.5), 1.0)
    assert (unpacked(session.scene.drawn) == expected).all()
    assert session.undo() and (unpacked(session.scene.drawn)[-4:] == own[-4:]).all()
    assert session.undo() and not session.scene.drawn and not session.undo()
    assert session.wait() and session.scene.yaw == 20


def test_the_head_follows_the_painted_map_for_good(session, engine, tmp_path):
    session.change(head_psi=0.5, morph=0.3)
    before = session.scene
    session.begin_stroke()
    session.stroke(HAIR, (0.25, 0.5), (0.25, 0.8), 3.0)
    painted = session.scene
    found = session.fit()
    scene = session.scene
    assert scene.head.startswith(MARK) and (scene.morph, scene.head_psi, scene.drawn) == (0.0, 1.0, "")
    assert scene.name == "an edited head" and (scene.code_of(engine) == found.head).all()
    session.turn(30, 0)
    assert session.scene.head == scene.head  # unlike a drawn map, it has all sides
    (tmp_path / "saved.png").write_bytes(session.export("picture", ".png"))
    out = tmp_path / "again.png"
    words = [
        "replay",
        "--models",
        "starter",
        "--threads",
        "1",
        "--out",
        str(out),
        str(tmp_path / "saved.png"),
    ]
    assert main(words) == 0 and out.read_bytes() == (tmp_path / "saved.png").read_bytes()
    assert session.undo() and session.scene == painted
    assert session.undo() and session.scene == before


def test_nothing_painted_and_another_head_meanwhile_are_told(session, monkeypatch):
    with pytest.raises(InputError, match="nothing was painted"):
        session.fit()
    session.begin_stroke()
    session.stroke(HAIR, (0.25, 0.5), (0.25, 0.8), 3.0)
    plain = edit.edit_head

    def meanwhile(*arguments, **more):
        session.change(head="5")
        return plain(*arguments, **more)

    monkeypatch.setattr("sofgan.viewer.session.edit_head", meanwhile)
    with pytest.raises(InputError, match="another head was chosen"):
        session.fit()
    assert session.scene.head == "5"


def test_what_is_painted_during_a_fit_stays_and_is_undone_after_the_fit(session, engine, monkeypatch):
    none = edited_heads.rounded(torch.zeros(edited_heads.addition_shape(engine.sof)))

    def meanwhile(*_, **__):
        session.begin_stroke()
        session.stroke(EYEGLASS, (0.5, 0.5), (0.6, 0.5), 2.0)
        return SimpleNamespace(head=edited_heads.edited(engine.head(0), none))

    monkeypatch.setattr("sofgan.viewer.session.edit_head", meanwhile)
    session.draw(png_of(np.full((SIZE, SIZE), HAIR, np.uint8)))
    first = session.scene
    session.fit()
    scene, last = session.scene, drawn(unpacked(first.drawn), EYEGLASS, (0.5, 0.5), (0.6, 0.5), 2.0)
    assert scene.head.startswith(MARK) and (unpacked(scene.drawn) == last).all()
    assert session.undo() and session.scene.head == "0" and (unpacked(session.scene.drawn) == last).all()
    assert session.undo() and session.scene == first and not session.undo()


def test_only_so_many_strokes_are_kept(session):
    for _ in range(MOST_UNDONE + 3):
        session.begin_stroke()
    assert len(session.strokes) == MOST_UNDONE


def meanwhile(session, call, change=lambda: None) -> list:
    """What two calls at once give, both of which wait for the scene, which is changed before they have it."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(call())) for _ in range(2)]
    with session._lock:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.3)  # They can't end yet.
        change()
    for thread in threads:
        thread.join()
    return found


def test_two_clicks_at_once_undo_one_stroke(session):
    session.begin_stroke()
    assert sorted(meanwhile(session, session.undo)) == [False, True]


def test_a_stroke_does_not_bring_back_a_map_that_the_camera_took_away(session):
    session.begin_stroke()

    def turn() -> None:
        session.scene = session.scene.turned(30.0, 0.0, 1.0)

    meanwhile(session, lambda: session.stroke(HAIR, (0.2, 0.2), (0.8, 0.8), 2.0), turn)
    assert not session.scene.drawn


def test_a_scene_is_not_shown_anew_after_a_newer_one(session, monkeypatch):
    put, newer = [], session.scene.turned(30.0, 0.0, 1.0)
    monkeypatch.setattr(session._worker, "put", put.append)
    meanwhile(session, session.redraw, lambda: setattr(session, "scene", newer))
    assert [scene for scene, _ in put] == [newer, newer]


def test_visitors_undo_their_own_strokes(session, engine):
    other = Session(engine, lambda shot: None, lambda text: None, threading.Semaphore(1))
    session.begin_stroke()
    assert not other.undo() and session.scene.drawn and not other.scene.drawn
    other.close()


class FakeGui:
    """Controls that only hold values."""

    def __getattr__(self, name):
        return lambda *arguments, **more: SimpleNamespace(
            value=more.get("initial_value"), on_click=lambda f: f, __enter__=None
        )

    def add_folder(self, *_):
        import contextlib

        return contextlib.nullcontext()


def test_a_drag_paints_from_place_to_place_and_beside_the_map_not_at_all():
    pytest.importorskip("viser")
    from sofgan.viewer.brush import Brush

    done = []
    session = SimpleNamespace(
        begin_stroke=lambda: done.append("begin"), stroke=lambda *values: done.append(values), undo=None
    )
    client = SimpleNamespace(gui=FakeGui())
    brush = Brush(client, session, lambda screen: place_on_map(screen, 2.0), done.append, lambda: None)
    brush.radius.value = 2.0
    places = layout(2.0, 2)
    left, top = places.corners[0]

    def at(x, y):
        return (left + x * SIDE) / places.width, (top + y * SIDE) / places.height

    brush.dragged("start", at(0.2, 0.2), at(0.3, 0.2))
    brush.dragged("update", at(0.2, 0.2), at(0.5, 0.4))
    brush.dragged("update", at(0.2, 0.2), (0.99, 0.01))  # beside the map
    brush.dragged("end", at(0.2, 0.2), at(0.6, 0.4))
    strokes = [np.round(np.concatenate(one[1:3]), 6).tolist() for one in done[1:]]
    assert done[0] == "begin" and all(one[0] == HAIR and one[3] == 2.0 for one in done[1:])
    assert strokes == [[0.2, 0.2, 0.3, 0.2], [0.3, 0.2, 0.5, 0.4], [0.5, 0.4, 0.6, 0.4]]
    done.clear()
    brush.dragged("start", (0.99, 0.01), at(0.3, 0.2))
    brush.dragged("update", (0.99, 0.01), at(0.5, 0.2))
    assert not done


class FakeScene:
    """Keeps what is to be called at a drag."""

    def add_mesh_simple(self, *_, **__):
        return SimpleNamespace(on_drag=lambda act: setattr(self, "drag", act))


def test_a_slow_stroke_keeps_nobody_waiting_and_what_fails_is_told():
    """The first renders the head's map, for seconds; viser's loop, which calls, serves all visitors."""
    pytest.importorskip("viser")
    from sofgan.viewer.brush import Brush

    goes_on, done, told = threading.Event(), [], []

    def begin() -> None:
        assert goes_on.wait(10)
        done.append("begin")

    session = SimpleNamespace(begin_stroke=begin, stroke=lambda *_: done.append("stroke"), undo=None)
    client = SimpleNamespace(gui=FakeGui(), scene=FakeScene())
    brush = Brush(client, session, lambda screen: screen, told.append, lambda: None)
    brush.radius.value = 2.0
    brush._switch()

    def drag(phase: str, place) -> None:
        event = SimpleNamespace(phase=phase, start_screen_pos=place, end_screen_pos=place)
        with pytest.raises(StopIteration):
            client.scene.drag(event).send(None)

    drag("start", (0.2, 0.2))
    drag("end", (0.3, 0.2))
    assert not done
    goes_on.set()
    brush._painter.submit(lambda: None).result(10)
    assert done == ["begin", "stroke", "stroke"] and not told
    session.stroke = None
    drag("start", (0.4, 0.4))
    brush._painter.submit(lambda: None).result(10)
    assert len(told) == 1 and "NoneType" in told[0]
    brush.close()
