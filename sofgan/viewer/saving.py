"""The part of a page that saves pictures, films and meshes, and keeps views for a film."""

from collections.abc import Callable

import viser

from sofgan.viewer.controls import busy
from sofgan.viewer.session import Session

AROUND = "Film around the head"
FILMS = (".mp4", ".webp", ".gif")


class Saving:
    """Controls that save what a page shows.

    Args:
        client, session: the page's visitor.
        tell: is given a sentence where something can't be done.
    """

    def __init__(self, client: viser.ClientHandle, session: Session, tell: Callable[[str], None]):
        self.client, self.session, self._tell = client, session, tell
        gui = client.gui
        with gui.add_folder("Save"):
            picture = gui.add_button("Picture")
            suffix = gui.add_dropdown("Film as", FILMS, initial_value=FILMS[0])
            keep = gui.add_button("Keep this view for a film")
            self.forget = gui.add_button("Forget the views", visible=False)
            self.film = gui.add_button(AROUND)
            mesh = gui.add_button("Mesh")
            self.bar = gui.add_progress_bar(0.0, visible=False)
        self.buttons = (picture, self.film, mesh)
        keep.on_click(lambda _: self._keep())
        self.forget.on_click(lambda _: self._forget())
        picture.on_click(lambda _: self._save("picture", ".png"))
        self.film.on_click(lambda _: self._save("film", suffix.value))
        mesh.on_click(lambda _: self._save("mesh", ".glb"))

    def _save(self, kind: str, ending: str) -> None:
        with busy(self.buttons, self.bar, self._tell, lambda: self.session.is_open) as listener:
            content = self.session.export(kind, ending, listener)
            self.client.send_file_download(f"{kind}{ending}", content, save_immediately=True)

    def _keep(self) -> None:
        self.session.keep_view()
        self._tell_views()

    def _forget(self) -> None:
        self.session.views.clear()
        self._tell_views()

    def _tell_views(self) -> None:
        count = len(self.session.views)
        self.forget.visible = count > 0
        self.forget.label = f"Forget the {count} views" if count > 1 else "Forget the view"
        self.film.label = f"Film through the {count} views" if count > 1 else AROUND
