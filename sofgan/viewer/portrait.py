"""The part of a page that takes a person's photo and turns it."""

from collections.abc import Callable

import viser

from sofgan.viewer.controls import busy
from sofgan.viewer.session import Session


class Portrait:
    """Controls of a person's photo on a page.

    Args:
        client, session: the page's visitor.
        shown: is called once the photo's head is the session's.
        tell: is given a sentence where something can't be done.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        session: Session,
        shown: Callable[[], None],
        tell: Callable[[str], None],
    ):
        self.session, self._shown, self._tell = session, shown, tell
        gui = client.gui
        with gui.add_folder("Your photo"):
            self.upload = gui.add_upload_button(
                "Turn a photo", mime_type="image/*", hint="of a person's face; about a minute"
            )
            self.bar = gui.add_progress_bar(0.0, visible=False)
            self.fit = gui.add_markdown("", visible=False)
            self.back = gui.add_button("Back to the photo", visible=False, hint="its head, look and view")
        self.upload.on_upload(lambda _: self._turn())
        self.back.on_click(lambda _: self._to_photo())

    def _turn(self) -> None:
        with busy([self.upload], self.bar, self._tell, lambda: self.session.is_open) as listener:
            person = self.session.turn_photo(self.upload.value.content, listener)
            remarks = [
                f"Mean IoU of the head's label map and the photo's: {person.report['map_miou']:.2f}.",
                *person.report["remarks"],
            ]
            self.fit.content = "\n\n".join(remarks)
            self.fit.visible, self.back.visible = True, True
            self._shown()

    def _to_photo(self) -> None:
        self.session.to_photo()
        self._shown()
