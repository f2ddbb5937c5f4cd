"""The part of a page that shows the regions' colors, and gives single regions other styles."""

from collections.abc import Callable

import viser

from sofgan.apps.looks import REGION_NAMES
from sofgan.apps.photo_head import PHOTO
from sofgan.viewer.controls import HIGHEST_SEED, busy, on_visitor
from sofgan.viewer.scene import Scene
from sofgan.viewer.session import Session
from sofgan.viewer.shot import Shot

NEXT, OWN, ALL_OWN = "Next style", "Look's own", "All own"
SWATCH = (
    "display:inline-block;width:1em;height:1em;border-radius:.2em;margin-right:.4em;vertical-align:-.15em;"
)
LIST = "display:grid;grid-template-columns:repeat({},1fr);gap:.2em;padding:.3em .8em;font-size:.75em;white-space:nowrap"
UNSEEN = "background:repeating-linear-gradient(45deg,#888 0 2px,transparent 2px 5px);"


class Regions:
    """Controls of the regions on a page.

    Args:
        gui, session: the page's visitor.
        tell: is given a sentence where something can't be done.
    """

    def __init__(self, gui: viser.GuiApi, session: Session, tell: Callable[[str], None]):
        self.session, self._tell = session, tell
        with gui.add_folder("Regions"):
            self.swatches = gui.add_html("")
            self.region = gui.add_dropdown("Region", REGION_NAMES, initial_value="hair")
            self.seed = gui.add_number(
                "Style of seed", session.scene.look, min=0, max=HIGHEST_SEED, step=1,
                hint="the region takes this look's style",
            )  # fmt: skip
            self.buttons = gui.add_button_group("", (NEXT, OWN, ALL_OWN))
            self.photo = gui.add_upload_button(
                "Style from a photo", mime_type="image/*", hint="of a face that shows the region; a minute"
            )
            self.bar = gui.add_progress_bar(0.0, visible=False)
        self.region.on_update(lambda _: self.follow())
        self._seeded = on_visitor(self.seed, lambda: self._restyle(int(self.seed.value)))
        self.buttons.on_click(lambda _: self._press())
        self.photo.on_upload(lambda _: self._by_photo())

    def show(self, shot: Shot) -> None:
        """Show the colors that regions have in a shot."""
        self.swatches.content = swatches(shot)

    def follow(self) -> None:
        """Show the style of the chosen region in the session's scene."""
        self.seed.value = seed_of(self.session.scene, self.region.value)

    def _restyle(self, seed: int | None) -> None:
        self.session.restyle(self.region.value, seed)

    def _press(self) -> None:
        if self.buttons.value == NEXT:
            self.seed.value = int(self.seed.value) + 1
            self._seeded()
            return
        if self.buttons.value == OWN:
            self._restyle(None)
        else:
            self.session.change(regions=())
        self.seed.value = self.session.scene.look

    def _by_photo(self) -> None:
        with busy([self.photo], self.bar, self._tell, lambda: self.session.is_open) as listener:
            self.session.restyle_by_photo(self.region.value, self.photo.value.content, listener)


def seed_of(scene: Scene, region: str) -> int:
    """Seed of a region's style; the look's where it has a photo's or none of its own."""
    style = dict(scene.regions).get(region)
    return style if isinstance(style, int) else scene.look


def swatches(shot: Shot) -> str:
    """HTML list of the regions: mean color of each in the shot, hatched where it shows none, and the seed of its
    style."""
    seeds, cells, columns = dict(shot.scene.regions), [], 3
    for region, color in shot.colors().items():
        fill = UNSEEN if color is None else f"background:rgb{color};"
        name = f"<b>{region}</b>" if region in seeds else region
        style = seeds.get(region, PHOTO if shot.scene.photo_look else shot.scene.look)
        if isinstance(style, str):
            style, columns = PHOTO, 2  # The word takes more room than a seed.
        cells.append(f'<div><span style="{SWATCH}{fill}"></span>{name} <small>{style}</small></div>')
    return f'<div style="{LIST.format(columns)}">{"".join(cells)}</div>'
