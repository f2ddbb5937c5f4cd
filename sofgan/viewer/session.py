"""A visitor's session: the scene, and a worker that shows it, first coarse, then fine. It has no user interface."""

import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sofgan.apps.drawn_maps import packed, read_map, unpacked
from sofgan.apps.edit import Edit, edit_head
from sofgan.apps.edited_heads import MARK, to_text
from sofgan.apps.engine import Engine
from sofgan.apps.looks import style_text
from sofgan.apps.photo import photo_look
from sofgan.apps.photo_head import PHOTO, PhotoHead, fit_photo
from sofgan.apps.results import encode, record_of
from sofgan.apps.settle import settle
from sofgan.apps.style_fit import region_colors
from sofgan.errors import InputError, UserError, sentence
from sofgan.labels import resize
from sofgan.progress import SILENT, Progress
from sofgan.viewer.exports import LARGEST, MAKERS
from sofgan.viewer.newest import Newest
from sofgan.viewer.scene import HEAD, MAP, PLAIN, Scene
from sofgan.viewer.shot import Shot
from sofgan.viewer.strokes import Place, drawn
from sofgan.viewer.uploads import uploaded_photo
from sofgan.viewer.while_open import WhileOpen

COARSE = 48  # pixels of a head's map before it is baked
REST = 0.15  # seconds without a new wish after which a scene is shown fine
MOST_UNDONE = 20  # strokes and fits


class Session:
    """One visitor's scene, photo and edits. Calls return at once, but for `export`.

    Args:
        engine: may serve several sessions: what it keeps depends on no visitor. Of a photo that a visitor gives, the
            session has an engine of its own.
        show: is given each shot, by the worker's thread.
        tell: is given a sentence where a scene can't be shown.
        places: as many sessions as it has are shown at a time.
        fits: as many as it has are fitted at a time; None: this session's own.

    Attributes:
        scene: as it was asked for last.
        views: yaw, pitch and zoom of each view that was kept for a film.
        strokes: what each stroke and fit can be undone to: fields of the scene.
        person: head of the photo that was given last.
    """

    def __init__(
        self,
        engine: Engine,
        show: Callable[[Shot], None],
        tell: Callable[[str], None],
        places: threading.Semaphore,
        fits: threading.Semaphore | None = None,
    ):
        self.engine, self.scene = engine, Scene()
        self.size = min(engine.siw.generator.config.label_size, LARGEST)
        self.views: list[tuple[float, float, float]] = []
        self.strokes: list[dict] = []
        self.person: PhotoHead | None = None
        self._show, self._tell, self._places = show, tell, places
        self._fits = fits or threading.Semaphore()
        self._lock = threading.Lock()  # of the scene, person and strokes: wishes come from several threads
        self._closed = threading.Event()
        self._worker = Newest(self._render, self._failed, "session")

    @property
    def is_open(self) -> bool:
        """Whether the page is there: what it is told then is seen."""
        return not self._closed.is_set()

    def leave(self) -> None:
        """Know that the page is gone, for which long computations end; `close` waits for them."""
        self._closed.set()

    def change(self, **fields) -> None:
        """Change fields of the scene. Another head takes the place of a drawn map, another look that of a photo's."""

        def changed(scene: Scene) -> Scene:
            other = replace(scene, **fields)
            if "look" in fields:
                other = replace(other, photo_look=False)
            if other.head != PHOTO and not other.head.startswith(MARK):
                # A photo's field has learned one head, and unlearned others.
                other = replace(other, photo="", photo_look=False)
            return replace(other, drawn="") if fields.keys() & set(HEAD) else other

        self._alter(changed)

    def restyle(self, region: str, seed: int | None) -> None:
        """Give a region the style of a seed; None: the look's own again."""
        self._alter(lambda scene: scene.restyled(region, seed))

    def restyle_by_photo(self, region: str, content: bytes, progress: Progress = SILENT) -> None:
        """Give a region the style that it has in a person's photo, settled on the head as it is seen.

        Args:
            content: of its file, in any format that `sofgan photo` reads.

        Raises:
            InputError: it is too large, no photo of a face, or doesn't show the region.
            MissingInput: there is no parser of photos beside the models.
        """
        (scene, engine), size = self._now(), self.engine.siw.resolution
        progress = WhileOpen(progress, self._closed)
        with self._fits:
            photo = uploaded_photo(content, self.engine)
            colors = region_colors(photo.shown(size), resize(photo.labels, size))
            if region not in colors:
                raise InputError(f"the photo shows too little of the region {region}")
            look = scene.look_of(engine).restyled(region, photo_look(engine, photo, progress))
            labels = scene.labels_of(engine, self.size)
            look = settle(engine.siw, look, [labels], {region: colors[region]}, progress=progress)
        self._alter(lambda now: now.restyled(region, style_text(look, region)))

    def turn_photo(self, content: bytes, progress: Progress = SILENT) -> PhotoHead:
        """Show the head of a person's photo in the look of the photo, from where it was taken.

        Args:
            content: as of `restyle_by_photo`.

        Raises:
            InputError: it is too large, or no photo of a face.
            MissingInput: there is no parser of photos beside the models.
        """
        progress = WhileOpen(progress, self._closed)
        with self._fits:
            progress.see()
            person = fit_photo(self.engine, uploaded_photo(content, self.engine), progress=progress)
        angles = person.engine.fitted.yaw, person.engine.fitted.pitch

        def given(scene: Scene) -> Scene:
            progress.see()
            self.person = person
            self.strokes.clear()  # They may be of the photo before, whose engine is gone.
            return scene.of_photo(person.photo.sha256, *angles)

        self._alter(given)
        return person

    def to_photo(self) -> None:
        """Show the photo's head again, as the photo shows it; nothing where none was given."""

        def back(scene: Scene) -> Scene:
            if (person := self.person) is None:
                return scene
            fitted = person.engine.fitted
            return scene.of_photo(person.photo.sha256, fitted.yaw, fitted.pitch)

        self._alter(back)

    def engine_of(self, scene: Scene) -> Engine:
        """The engine that a scene is shown by."""
        return self.person.engine if scene.photo and self.person else self.engine

    def feature(self, name: str, amount: float) -> None:
        """Give the head so much more of a known feature, in the place of a drawn map."""
        self._alter(lambda scene: replace(scene.featured(name, amount), drawn=""))

    def turn(self, yaw: float, pitch: float, zoom: float = 1.0) -> None:
        """Move the camera: degrees, and a factor."""
        self._alter(lambda scene: scene.turned(yaw, pitch, zoom))

    def draw(self, content: bytes) -> None:
        """Paint a label map in the place of the head's, until the camera moves or another head is asked for.

        Args:
            content: of its PNG file, see `read_map`.

        Raises:
            InputError: it can't be used.
        """
        self.change(drawn=packed(read_map(content, self.size)))

    # The brush.

    def begin_stroke(self) -> None:
        """Begin one, on the map that was drawn or else on the head's own; `undo` goes back to here."""
        while not self._begin(*self._now()):
            pass  # Meanwhile another map came to be shown: the stroke begins on that.

    def _begin(self, scene: Scene, engine: Engine) -> bool:
        """Begin a stroke on a scene's map; whether that is still the one to be shown."""
        labels, begun = packed(scene.labels_of(engine, self.size)), []

        def with_map(now: Scene) -> Scene:
            if now.differs(scene, MAP):
                return now
            begun.append(True)
            self._remember(now)
            return replace(now, drawn=labels)

        self._alter(with_map)
        return bool(begun)

    def stroke(self, label: int, start: Place, end: Place, radius: float) -> None:
        """Paint a class on the map from one place to another, in map widths; the radius is in pixels of the map."""

        def painted(scene: Scene) -> Scene:  # The camera may move meanwhile, and take the map away.
            if not scene.drawn:
                return scene
            return replace(scene, drawn=packed(drawn(unpacked(scene.drawn), label, start, end, radius)))

        self._alter(painted)

    def fit(self, progress: Progress = SILENT) -> Edit:
        """Take the head that follows the drawn map in the place of the head, for all views; `undo` goes back.

        What is painted meanwhile stays, on the new head.

        Raises:
            InputError: nothing was drawn; as `sofgan.apps.edit.edit_head`; or another head was chosen meanwhile.
        """
        scene, engine = self._now()
        progress = WhileOpen(progress, self._closed)
        if not scene.drawn:
            raise InputError("nothing was painted: switch the brush on and drag over the label map")
        camera = scene.camera_of(engine, self.size)
        with self._fits:
            found = edit_head(engine, scene.code_of(engine), camera, unpacked(scene.drawn), progress=progress)
        text = to_text(engine.sof, found.head)

        def followed(now: Scene) -> Scene:
            progress.see()
            if now.differs(scene, HEAD):
                raise InputError("another head was chosen while this one was fitted: paint again")
            newer = now.drawn if now.drawn != scene.drawn else ""
            self._remember(now if newer else scene)
            return replace(now, head=text, drawn=newer, **PLAIN)

        self._alter(followed)
        return found

    def undo(self) -> bool:
        """Go back to before the last stroke or fit; whether there was one."""
        found: list[dict] = []

        def back(scene: Scene) -> Scene:  # Clicks come from several threads: the last stroke is one's alone.
            if not self.strokes:
                return scene
            found.append(self.strokes.pop())
            other = replace(scene, **found[0])
            # A photo's look comes and goes with its head: on the same one another look stays, which is no stroke.
            return other if other.photo != scene.photo else replace(other, photo_look=scene.photo_look)

        self._alter(back)
        return bool(found)

    def _remember(self, scene: Scene) -> None:
        self.strokes.append({name: getattr(scene, name) for name in (*MAP, "photo_look")})
        del self.strokes[:-MOST_UNDONE]

    def keep_view(self) -> None:
        """Keep the camera for a film."""
        scene = self.scene
        self.views.append((scene.yaw, scene.pitch, scene.zoom))

    def previews(self, seeds: Sequence[int]) -> np.ndarray:
        """Pictures (N, R, R, 3) uint8 of the scene in other looks, of those seeds; its map may be of few pixels."""
        scene, engine = self._now()
        with self._places:
            labels = scene.labels_of(engine, COARSE)
            return np.stack([engine.paint(labels, engine.look(seed, scene.psi)) for seed in seeds])

    def redraw(self) -> None:
        """Show the scene anew."""
        with self._lock:  # A newer scene must not be overtaken by the one that it was.
            self._worker.put((self.scene, self.engine_of(self.scene)))

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until the scene is shown fine; whether it is within so many seconds."""
        return self._worker.wait(seconds)

    def close(self) -> None:
        """End the worker and, as soon as they tell how far they are, computations; forget the photo."""
        self.leave()
        self._worker.close()
        with self._lock:
            self.person = None
            self.strokes.clear()

    def export(self, kind: str, suffix: str, progress: Progress = SILENT) -> bytes:
        """A file of the scene with a record by which `sofgan replay` makes it again.

        Args:
            kind: picture, film or mesh.
            suffix: ending of its format, such as ".png".

        Raises:
            InputError: a file with that ending can't hold it.
        """
        # Of this moment: a visitor goes on while a film is made.
        (scene, engine), views = self._now(), list(self.views)
        arguments = {"scene": scene.to_mapping(), "kind": kind, "size": self.size, "views": views}
        progress = WhileOpen(progress, self._closed)
        made = MAKERS[kind](engine, scene, self.size, progress, views)
        progress.see()
        return encode(made, suffix, record_of("view", arguments, self.engine))

    def _alter(self, how: Callable[[Scene], Scene]) -> None:
        with self._lock:
            scene = how(self.scene)
            if scene == self.scene:
                return
            self.scene = scene
            self._worker.put((scene, self.engine_of(scene)))

    def _now(self) -> tuple[Scene, Engine]:
        """The scene, and the engine that it is shown by: another photo takes both away."""
        with self._lock:
            return self.scene, self.engine_of(self.scene)

    def _render(self, wish: tuple[Scene, Engine], overtaken: Callable[..., bool]) -> None:
        scene, engine = wish
        code, look = scene.code_of(engine), scene.look_of(engine)
        with self._places:
            if engine.is_baked(code) and not scene.drawn:
                labels = engine.quick_view(code, scene.camera_of(engine, self.size)).labels
            else:
                labels = scene.labels_of(engine, min(COARSE, self.size))
            self._show(Shot(scene, labels, engine.paint(labels, look), bool(scene.drawn)))
        if scene.drawn or overtaken(REST):
            return
        with self._places:
            labels = scene.labels_of(engine, self.size)
            if not overtaken():
                self._show(Shot(scene, labels, engine.paint(labels, look), True))
        if engine.can_bake and not engine.is_baked(code) and not overtaken(REST):
            with self._places:
                engine.baked(code)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, UserError):
            traceback.print_exception(error)
        self._tell(sentence(error))
