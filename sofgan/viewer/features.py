"""Sliders of known features of heads, such as a smile."""

import threading
from functools import partial

import viser

from sofgan.viewer.controls import on_visitor
from sofgan.viewer.session import Session

AMOUNTS, WORN = (-2.0, 2.0, 0.1), (-1.0, 1.0, 0.05)  # least, most, step; of what is there or not


class Features:
    """A folder of sliders, which is there once it is known what codes tell.

    Attributes:
        sliders: by the feature's name.
    """

    def __init__(self, gui: viser.GuiApi, session: Session):
        self.session, self.sliders = session, {}
        self._folder = gui.add_folder("Features", visible=False)
        self._gui = gui
        threading.Thread(target=self._fill, name="features", daemon=True).start()

    def _fill(self) -> None:
        directions = self.session.engine.directions()
        if not directions or not self.session.is_open:
            return
        with self._folder:
            for name, direction in directions.items():
                slider = self._gui.add_slider(
                    name.replace("_", " ").capitalize(), *(WORN if direction.measure == "AUC" else AMOUNTS), 0.0,
                    hint=f"{direction.unit}; 0: as the head has it",
                )  # fmt: skip
                on_visitor(slider, partial(self._change, name, slider))
                self.sliders[name] = slider
            none = self._gui.add_button("As the head has them")
        none.on_click(lambda _: self._reset())
        self._folder.visible = True

    def follow(self) -> None:
        """Show the features of the session's scene."""
        features = dict(self.session.scene.features)
        for name, slider in list(self.sliders.items()):  # They may still be added, by another thread.
            slider.value = features.get(name, 0.0)

    def _change(self, name: str, slider: viser.GuiInputHandle) -> None:
        self.session.feature(name, slider.value)

    def _reset(self) -> None:
        self.session.change(features=())
        self.follow()
