"""A visitor's page: what it shows and what can be moved on it, by viser. All else is the session's."""

import html
import threading

import numpy as np
import viser

from sofgan.apps.engine import Engine
from sofgan.errors import UserError, sentence
from sofgan.images import sheet
from sofgan.viewer.brush import Brush
from sofgan.viewer.canvas import compose, place_on_map
from sofgan.viewer.controls import HIGHEST_SEED, on_visitor
from sofgan.viewer.features import Features
from sofgan.viewer.portrait import Portrait
from sofgan.viewer.regions import Regions
from sofgan.viewer.saving import Saving
from sofgan.viewer.scene import angles_of, position_of
from sofgan.viewer.session import Session
from sofgan.viewer.shot import Shot
from sofgan.viewer.strokes import Place

JPEG_QUALITY = 90
PREVIEWS = 6  # looks that are shown beside each other


class Page:
    """One visitor's.

    Args:
        client: the visitor.
        engine, places, fits: see `Session`.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        engine: Engine,
        places: threading.Semaphore,
        fits: threading.Semaphore,
    ):
        self.client, self.engine = client, engine
        self.session = Session(engine, self._show, self._tell, places, fits)
        self.shot: Shot | None = None
        self._aspect = client.camera.aspect
        self._moving = threading.RLock()  # of the camera: who reads it first must not be the last to write
        self._add_controls()
        client.camera.on_update(self._moved)
        self._moved(client.camera)
        self.session.redraw()

    def leave(self) -> None:
        """Tell the visitor, who is gone, nothing more."""
        self.session.leave()

    def close(self) -> None:
        """End the session."""
        self.brush.close()
        self.session.close()

    # What is shown.

    def _show(self, shot: Shot) -> None:
        self.shot = shot
        if not self.session.is_open:
            return
        image = compose(shot, self._aspect, self.with_map.value)
        self.client.scene.set_background_image(image, "jpeg", jpeg_quality=JPEG_QUALITY)
        scene = shot.scene
        what = "a drawn map" if scene.drawn else html.escape(scene.name)
        self.status.content = (
            f"{'Fine' if shot.fine else 'Coarse'}: {what}, {scene.look_name}, "
            f"yaw {round(scene.yaw)}°, pitch {round(scene.pitch)}°, zoom {scene.zoom:.2f}"
        )
        if shot.fine:
            self.regions.show(shot)

    def _tell(self, text: str) -> None:
        if self.session.is_open:  # Nobody would see it else, and viser warns of it.
            self.client.add_notification("This did not work", text, color="red")

    def _place(self, screen: Place) -> Place | None:
        """Where on the label map a place of the page lies."""
        return place_on_map(screen, self._aspect, self.with_map.value)

    def _moved(self, camera: viser.CameraHandle) -> None:
        with self._moving:
            yaw, pitch, zoom = angles_of(camera.position - camera.look_at, self.engine.framing.distance)
            self.session.turn(yaw, pitch, zoom)
            if camera.aspect != self._aspect:
                self._aspect = camera.aspect
                self.session.redraw()

    def look_from(self, yaw: float, pitch: float, zoom: float = 1.0) -> None:
        """Move the camera to these angles, in degrees."""
        framing, camera = self.engine.framing, self.client.camera
        with self._moving:
            with self.client.atomic():
                camera.up_direction = (0.0, 1.0, 0.0)
                camera.position = position_of(yaw, pitch, zoom, framing)
                camera.look_at = (0.0, framing.target_y, 0.0)  # which a new position takes along
            self.session.turn(yaw, pitch, zoom)

    def follow(self) -> None:
        """Have camera and controls show the scene, which others than they have changed."""
        scene = self.session.scene
        self.look_from(scene.yaw, scene.pitch, scene.zoom)
        shown = {"head_psi": scene.head_psi, "morph": scene.morph, "look": scene.look}
        if scene.head.isdecimal():  # Edited heads have no seed: the last one stays.
            shown["head"] = int(scene.head)
        for name, value in shown.items():
            self.controls[name].value = value
        self.regions.follow()
        self.features.follow()

    # What can be moved.

    def _add_controls(self) -> None:
        gui, self.controls = self.client.gui, {}
        gui.add_markdown(f"Drag to turn the head, scroll to zoom.\n\nModels: {self.engine.source}.")
        self.status = gui.add_markdown("")
        self.portrait = Portrait(self.client, self.session, self.follow, self._tell)
        self._add_head(gui)
        self.features = Features(gui, self.session)
        self._add_look(gui)
        self.regions = Regions(gui, self.session, self._tell)
        self._add_view(gui)
        self.brush = Brush(self.client, self.session, self._place, self._tell, self.follow)
        self.saving = Saving(self.client, self.session, self._tell)

    def _add_head(self, gui: viser.GuiApi) -> None:
        scene, change = self.session.scene, self.session.change
        with gui.add_folder("Head"):
            head = gui.add_number("Seed", int(scene.head), min=0, max=HIGHEST_SEED, step=1)
            another = gui.add_button("Another head")
            psi = gui.add_slider(
                "Psi", 0.0, 1.2, 0.05, scene.head_psi, hint="1: as drawn, 0: the average head"
            )
            other = gui.add_number("Other seed", int(scene.other_head), min=0, max=HIGHEST_SEED, step=1)
            morph = gui.add_slider("Morph", 0.0, 1.0, 0.02, scene.morph, hint="towards the other head")
        self.controls |= {"head": head, "other_head": other, "head_psi": psi, "morph": morph}
        changed = on_visitor(head, lambda: change(head=str(int(head.value))))
        on_visitor(other, lambda: change(other_head=str(int(other.value))))
        on_visitor(psi, lambda: change(head_psi=psi.value))
        on_visitor(morph, lambda: change(morph=morph.value))

        @another.on_click
        def _(_) -> None:
            head.value = int(head.value) + 1
            changed()

    def _add_look(self, gui: viser.GuiApi) -> None:
        session, change = self.session, self.session.change
        scene = session.scene
        with gui.add_folder("Look"):
            look = gui.add_number("Seed", scene.look, min=0, max=HIGHEST_SEED, step=1)
            another = gui.add_button("Another look")
            psi = gui.add_slider("Psi", 0.0, 1.2, 0.05, scene.psi, hint="1: as drawn, 0: the average style")
            six = gui.add_button("Show the next six")
            with gui.add_folder("The next six, on this head", visible=False) as shown:
                sheet_of_six = gui.add_image(np.zeros((2, 3, 3), np.uint8))
                choice = gui.add_button_group("Seed", ("0",))
        self.controls |= {"look": look, "look_psi": psi, "six": choice}
        changed = on_visitor(look, lambda: change(look=int(look.value)))
        on_visitor(psi, lambda: change(psi=psi.value))

        def choose(seed: int) -> None:
            look.value = seed
            changed()

        @another.on_click
        def _(_) -> None:
            choose(int(look.value) + 1)

        @choice.on_click
        def _(_) -> None:
            choose(int(choice.value))

        @six.on_click
        def _(_) -> None:
            seeds = range(int(look.value) + 1, int(look.value) + 1 + PREVIEWS)
            previews = sheet(session.previews(seeds), 3)
            if not session.is_open:
                return
            sheet_of_six.image = previews
            choice.options = tuple(map(str, seeds))
            shown.visible = True

    def _add_view(self, gui: viser.GuiApi) -> None:
        with gui.add_folder("View"):
            self.with_map = gui.add_checkbox("Label map", True)
            front = gui.add_button("From the front")
            drawn = gui.add_upload_button(
                "Paint a label map", mime_type="image/png",
                hint="a PNG of class ids, or in the colors of the map; drag to go back to the head",
            )  # fmt: skip
        self.with_map.on_update(lambda _: self.session.redraw())

        @front.on_click
        def _(_) -> None:
            self.look_from(0.0, 0.0)

        @drawn.on_upload
        def _(_) -> None:
            try:
                self.session.draw(drawn.value.content)
            except UserError as error:
                self._tell(sentence(error))
