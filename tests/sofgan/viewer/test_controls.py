"""Controls without a browser: what is read last is written last, and whatever fails is told."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("viser")

from sofgan.errors import InputError
from sofgan.siw.portrait_camera import Framing
from sofgan.viewer.controls import busy, on_visitor
from sofgan.viewer.page import Page
from sofgan.viewer.scene import position_of


class Overtaken:
    """Keeps values; the first call waits for the second, if one comes, so that what it was given comes last."""

    def __init__(self):
        self.kept, self.came, self.second = [], threading.Event(), threading.Event()

    def __call__(self, value) -> None:
        if not self.came.is_set():
            self.came.set()
            self.second.wait(0.5)
        self.kept.append(value)
        self.second.set()

    def after(self, act, change) -> list:
        """What is kept where two threads act, as viser's pool does, and a value changes between."""
        first, second = (threading.Thread(target=act) for _ in range(2))
        first.start()
        assert self.came.wait(10)
        change()
        second.start()
        first.join(10)
        second.join(10)
        return self.kept


def test_a_page_keeps_the_cameras_last_place_whichever_thread_is_the_last():
    framing, turned = Framing(29.0, 0.0, 4.0), Overtaken()
    camera = SimpleNamespace(look_at=np.array((0.0, framing.target_y, 0.0)), aspect=1.0)

    def place(yaw: float) -> None:
        camera.position = np.array(position_of(yaw, 0.0, 1.0, framing))

    page = object.__new__(Page)
    page.engine, page._aspect, page._moving = SimpleNamespace(framing=framing), 1.0, threading.RLock()
    page.session = SimpleNamespace(turn=lambda yaw, *_: turned(round(yaw)))
    place(10.0)
    assert turned.after(lambda: page._moved(camera), lambda: place(40.0))[-1] == 40


def test_a_controls_last_value_is_kept_whichever_thread_is_the_last():
    acted, listeners = Overtaken(), []
    handle = SimpleNamespace(value=1, on_update=listeners.append)
    on_visitor(handle, lambda: acted(handle.value))
    event = SimpleNamespace(client=object())
    assert acted.after(lambda: listeners[0](event), lambda: setattr(handle, "value", 2))[-1] == 2


@pytest.mark.parametrize(
    ("error", "words"), [(InputError("no face"), "no face"), (KeyError("x"), "went wrong here")]
)
def test_whatever_ends_a_computation_is_told_on_an_open_page_alone(error, words):
    """A fault of ours goes on, to viser, which prints it."""
    for is_open in (True, False):
        told, bar, button = [], SimpleNamespace(), SimpleNamespace()
        ended = []
        try:
            with busy([button], bar, told.append, lambda: is_open):  # noqa: B023
                raise error
        except KeyError as one:
            ended.append(one)
        assert bool(ended) == isinstance(error, KeyError)
        assert len(told) == is_open and all(words in text for text in told)
        assert button.disabled != is_open and bar.visible != is_open


def test_a_page_that_is_gone_is_told_nothing():
    told, page = [], object.__new__(Page)
    page.client = SimpleNamespace(add_notification=lambda *words, **_: told.append(words))
    for is_open in (False, True):
        page.session = SimpleNamespace(is_open=is_open)
        page._tell("too late")
        assert len(told) == is_open
