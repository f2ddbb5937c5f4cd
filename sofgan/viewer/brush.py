"""The brush of a page: a class is painted on the label map by dragging over it, and the head is fitted to that."""

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import viser

from sofgan.errors import UserError, sentence
from sofgan.labels import HAIR, NAMES
from sofgan.viewer.controls import busy
from sofgan.viewer.session import Session
from sofgan.viewer.strokes import Place

RADIUS, RADII = 4.0, (0.5, 16.0)  # pixels of the map
FAR = 60.0  # head units: half of the side of what catches drags, around all cameras
ON, OFF = "Brush on", "Brush off"


class Brush:
    """Controls of the brush on a page.

    viser turns the camera by drags, but for those that begin on a node which asks for them: while the brush is on, an
    unseen box around everything does.

    Args:
        client, session: the page's visitor.
        place: of a place of the page, in its width and height, that on the label map; None beside the map.
        tell: is given a sentence where something can't be done.
        changed: is called where a head was fitted, or something undone.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        session: Session,
        place: Callable[[Place], Place | None],
        tell: Callable[[str], None],
        changed: Callable[[], None],
    ):
        self.client, self.session, self._place, self._tell = client, session, place, tell
        self._changed = changed
        # Of the first stroke the head's map is rendered: seconds, for which viser's own thread would serve nobody.
        self._painter = ThreadPoolExecutor(1, "brush")
        self._box: viser.SceneNodeHandle | None = None
        self._last: Place | None = None
        gui = client.gui
        with gui.add_folder("Paint on the map"):
            self.switch = gui.add_button(
                ON, hint="drags then paint on the label map, in place of turning the head"
            )
            self.label = gui.add_dropdown("Class", NAMES, initial_value=NAMES[HAIR])
            self.radius = gui.add_slider("Radius", *RADII, 0.5, RADIUS, hint="pixels of the map")
            self.undo = gui.add_button("Undo", hint="the last stroke or fit")
            self.fit = gui.add_button("Fit the head to it", hint="all sides then follow; some ten seconds")
            self.bar = gui.add_progress_bar(0.0, visible=False)
        self.switch.on_click(lambda _: self._switch())
        self.undo.on_click(lambda _: self._undo())
        self.fit.on_click(lambda _: self._fit())

    @property
    def on(self) -> bool:
        """Whether drags paint."""
        return self._box is not None

    def _switch(self) -> None:
        if self._box is not None:
            self._box.remove()
            self._box = None
            self.switch.label = ON
            return
        corners = np.array(np.meshgrid(*[(-FAR, FAR)] * 3, indexing="ij")).reshape(3, -1).T
        faces = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
        triangles = np.array([face[part : part + 2] + face[:1] for face in faces for part in (1, 2)])
        self._box = self.client.scene.add_mesh_simple(
            "/brush", corners, triangles, opacity=0.0, side="double", cast_shadow=False, receive_shadow=False
        )

        @self._box.on_drag
        async def _(event: viser.SceneNodeDragEvent) -> None:  # viser keeps the order of these alone.
            self._painter.submit(self._drag, event.phase, event.start_screen_pos, event.end_screen_pos)

        self.switch.label = OFF

    def close(self) -> None:
        """Forget drags that are not painted yet."""
        self._painter.shutdown(wait=False, cancel_futures=True)

    def _drag(self, phase: str, start: Place, end: Place) -> None:
        try:
            self.dragged(phase, start, end)
        except Exception as error:  # A pool would keep it to itself.
            self._tell(sentence(error))
            if not isinstance(error, UserError):
                traceback.print_exception(error)

    def dragged(self, phase: str, start: Place, end: Place) -> None:
        """Paint as a drag goes on, from where it began or was told of last.

        Args:
            phase: start, update or end.
            start, end: where the drag began and is now, in the page's width and height.
        """
        begins = phase == "start"
        first = self._place(start) if begins else self._last
        if begins:
            self._last = None
            if first is None:
                return
            self.session.begin_stroke()
        last = self._place(end)
        if first is not None and (begins or last is not None):
            label = NAMES.index(self.label.value)
            self.session.stroke(label, first, last or first, float(self.radius.value))
            self._last = last or first

    def _undo(self) -> None:
        if self.session.undo():
            self._changed()

    def _fit(self) -> None:
        with busy([self.fit], self.bar, self._tell, lambda: self.session.is_open) as listener:
            found = self.session.fit(listener)
            self._changed()
            self.client.add_notification(
                "The head follows", f"{found.followed:.0%} of what was painted, {found.kept:.0%} of the rest as it was",
                auto_close_seconds=6,
            )  # fmt: skip
