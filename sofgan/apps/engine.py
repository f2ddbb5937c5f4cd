"""The engine of all that shows heads: it samples heads and looks, renders maps, paints pictures, and keeps what doesn't
change from view to view. It has no user interface.

Kept are, of each head, its planes and where it is solid, and for interactive views its baked grid; of each label map
its classes and SPADE's gains and shifts. `benchmarks.apps` says what each of these saves.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short_repr
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sofgan import runtime
from sofgan.apps import edited_heads
from sofgan.apps.attributes import (
    EXPRESSION,
    Direction,
    avatar_attributes,
    compact,
    fit_directions,
    read_parameters,
)
from sofgan.apps.baked import bake
from sofgan.apps.looks import Look
from sofgan.apps.quick_view import QuickHead, quick_head
from sofgan.cameras import Camera
from sofgan.errors import InputError, MissingInput, UserError
from sofgan.files import sha256_file
from sofgan.labels import check_ids, resize
from sofgan.seeds import torch_generator
from sofgan.siw.condition_views import draw_view
from sofgan.siw.generator import fixed_noise
from sofgan.siw.mixing import class_weights, one_hot
from sofgan.siw.model import Siw, load_siw, to_uint8
from sofgan.siw.portrait_camera import Framing, training_views
from sofgan.siw.shoulders import USUAL
from sofgan.sof.render import PreparedCode
from sofgan.sof.sampling import sample_codes
from sofgan.sof.sof import Sof, load_sof
from sofgan.starter.files import SCANS as STARTER_SCANS
from sofgan.starter.files import load_starter

FIELD, PAINTER = "sof_inverted.pt", "siw.pt"  # in the folder of models
MODELS, STARTER = "models", "starter"  # where models are looked for; what stands for those in the package
SCANS = "data/raw/scans"  # beside the folder of models: what is known of avatars
LEAST_RELIABILITY = 0.3  # of a direction, from 0, chance, to 1
HEADS_KEPT, QUICK_HEADS_KEPT, MAPS_KEPT = 16, 8, 16
Model = TypeVar("Model")
PSI = 0.7  # truncation of styles
MOST_DIGITS = 15  # of a seed
HOW_TO_MAKE = (
    "`make demo` or `dvc repro` makes it; --models names another folder, or `starter` (`Engine.starter()`)"
)


@dataclass(frozen=True)
class View:
    """One view of a head with shoulders: labels (S, S) uint8 and camera depth (S, S) float32, 0 where nothing is."""

    labels: np.ndarray
    depth: np.ndarray


class Kept:
    """The newest results of a computation, by key; several threads may ask."""

    def __init__(self, most: int):
        self.most, self.lock = most, threading.Lock()
        self.results: OrderedDict[Hashable, object] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        with self.lock:
            return key in self.results

    def get(self, key: Hashable, make: Callable[[], object]):
        """The result of that key, made where it isn't kept."""
        with self.lock:
            if key in self.results:
                self.results.move_to_end(key)
                return self.results[key]
        made = make()
        with self.lock:
            self.results[key] = made
            while len(self.results) > self.most:
                self.results.popitem(last=False)
        return made


def loaded(load: Callable[[Path, str], Model], path: Path, device: str) -> Model:
    """The model of a file, by the function that loads models of its kind.

    Raises:
        InputError: the file is of another kind of model, of another version, or damaged.
    """
    try:
        return load(path, device)
    except UserError:
        raise
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, RuntimeError) and "state_dict" not in str(error):
            raise  # It is the device that failed.
        what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path} is no such model, one of another version, or damaged: {what}") from error


class Engine:
    """A field and a painter, with what is kept of heads and maps.

    Attributes:
        digests: sha256 of the models' files, by name; {} where models were given.
        source: where the models are from, to be told.
        framing: cameras as the painter's photos have them.
        folder: where the models' files are; None where models were given.
        scans: folder of what is known of the avatars that the field was trained on; None: nothing.
        shoulders: (3,) their shape below all heads, see `sofgan.siw.shoulders`.
    """

    def __init__(
        self,
        sof: Sof,
        siw: Siw,
        digests: dict[str, str] | None = None,
        folder: Path | None = None,
        source: str = "given models",
    ):
        self.sof, self.siw, self.digests, self.folder = sof, siw, digests or {}, folder
        self.source = source
        self.scans: Path | None = Path(folder).parent / SCANS if folder else None
        whole = training_views(sof.intrinsics.cpu().numpy(), sof.radius)
        self.framing: Framing = siw.framing or whole
        self.shoulders: tuple[float, ...] = USUAL
        self._heads, self._quick, self._maps = Kept(HEADS_KEPT), Kept(QUICK_HEADS_KEPT), Kept(MAPS_KEPT)
        self._noise, self._directions = Kept(4), Kept(1)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "Engine":
        """The engine of the models in a folder.

        Raises:
            MissingInput: one of them is missing; the sentence says how to make it.
        """
        paths = [Path(folder, name) for name in (FIELD, PAINTER)]
        if missing := [str(path) for path in paths if not path.is_file()]:
            raise MissingInput(f"no model at {' and '.join(missing)}: {HOW_TO_MAKE}")
        runtime.use_gpu(device, exact=True)
        digests = {path.name: sha256_file(path) for path in paths}
        sof, siw = (loaded(load, path, device) for load, path in zip((load_sof, load_siw), paths))
        return cls(sof, siw, digests, Path(folder), str(folder))

    @classmethod
    def starter(cls, device: str = "cpu", why: str = "") -> "Engine":
        """The engine of the starter in this package; `why` it is used is told with its source."""
        runtime.use_gpu(device, exact=True)
        starter = load_starter(device)
        source = "the starter model of the package, learned from the embedded avatars alone"
        source += f" ({why})" if why else ""
        engine = cls(starter.sof, starter.siw, starter.digests, source=source)
        engine.scans = STARTER_SCANS
        return engine

    @classmethod
    def open(cls, folder: str | Path | None = None, device: str = "cpu") -> "Engine":
        """The engine of a folder's models, or of the starter where "starter" is asked for.

        Without a folder it is that of `models`, if both are there, else the starter's.

        Raises:
            MissingInput: a model is missing in the folder that was named.
        """
        if folder is not None:
            return cls.starter(device) if str(folder) == STARTER else cls.load(folder, device)
        if missing := [name for name in (FIELD, PAINTER) if not Path(MODELS, name).is_file()]:
            return cls.starter(device, f"{MODELS}/ has no {' and no '.join(missing)}")
        return cls.load(MODELS, device)

    # Heads, looks and cameras.

    def head(self, name: str | int, psi: float = 1.0) -> Tensor:
        """Code (Z,) of a head, or the tensor of an edited one.

        Args:
            name: a seed (a whole number), by which a new head is drawn, the name of one of the field's own, or the text
                of an edited head (`sofgan.apps.edited_heads`).
            psi: towards the mean of the field's heads: 1 not at all, 0 fully.

        Raises:
            InputError: it is none of these.
        """
        text = str(name)
        if text.startswith(edited_heads.MARK):
            code = edited_heads.from_text(self.sof, text)
        elif text.isdecimal() and len(text) <= MOST_DIGITS:
            code = sample_codes(self.sof, 1, torch_generator(int(text), "apps", "head"))[0]
        elif text in self.sof.instance_names:
            code = self.sof.codes[self.sof.instance_names.index(text)]
        else:
            some = ", ".join(self.sof.instance_names[:3])
            raise InputError(
                f"{short_repr(text)} is neither a seed, a whole number of {MOST_DIGITS} digits at most, nor one of the "
                f"field's {len(self.sof.instance_names)} heads, such as {some}"
            )
        return edited_heads.blend(self.sof.codes.mean(0), code, psi)

    def look(self, seed: int, psi: float = 1.0) -> Look:
        """The look of a seed, one style for all regions; psi pulls it towards the average style."""
        z = self.siw.sample_z(1, torch_generator(seed, "apps", "look"))
        return Look.of(self.siw.map_styles(z, psi)[0])

    def camera(self, yaw: float, pitch: float, size: int, zoom: float = 1.0) -> Camera:
        """The portrait's camera, turned.

        Args:
            yaw, pitch: degrees; positive to the head's left and up.
            zoom: factor of the focal length.
        """
        camera = self.framing.camera(np.radians(yaw), np.radians(pitch), size)
        intrinsics = camera.intrinsics.copy()
        intrinsics[[0, 1], [0, 1]] *= zoom
        return Camera(camera.cam2world, intrinsics, size)

    def directions(self) -> dict[str, Direction]:
        """Directions in code space of what is known of the avatars that the field was trained on and can be read from
        codes, such as hair length, by name; {} where nothing is known of them. Kept: the first call takes seconds."""
        return self._directions.get("directions", self._find_directions)

    def _find_directions(self) -> dict[str, Direction]:
        if self.scans is None:
            return {}
        attributes = avatar_attributes(read_parameters(self.sof.instance_names, self.scans))
        wanted = {name: one for name, one in attributes.items() if not name.startswith(f"{EXPRESSION}_")}
        found = fit_directions(self.sof.codes, wanted, compact(self.sof.features()))
        return {name: one for name, one in found.items() if one.reliability >= LEAST_RELIABILITY}

    # Views and pictures.

    def prepared(self, code: Tensor) -> PreparedCode:
        """The planes of a code, or of an edited head, and where it is solid; kept."""
        return self._heads.get(
            _bytes(code), lambda: self.sof.prepare(edited_heads.representation(self.sof, code))
        )

    def view(self, code: Tensor, camera: Camera) -> View:
        """The view of a code (Z,) with its shoulders, as the field has it."""
        labels, depth = draw_view(self.sof, self.prepared(code), camera, self.shoulders)
        return View(labels, depth)

    def quick_view(self, code: Tensor, camera: Camera) -> View:
        """Nearly the same view, several times as fast: from a baked grid, for which a head takes half a second once.

        A field with a learned marcher can't be baked: then it is `view`.
        """
        return (
            View(*self.baked(code).view(camera, self.shoulders)) if self.can_bake else self.view(code, camera)
        )

    @property
    def can_bake(self) -> bool:
        """Whether the field has quick views."""
        return self.sof.config.marcher.kind == "volume"

    @property
    def is_starter(self) -> bool:
        """Whether these are the models of the package."""
        return self.folder is None and bool(self.digests)

    @property
    def psi(self) -> float:
        """Truncation of styles by which looks are shown where nothing else is asked for: of the starter, which learned
        few, none."""
        return 1.0 if self.is_starter else PSI

    def is_baked(self, code: Tensor) -> bool:
        """Whether a code's quick views need no more baking."""
        return _bytes(code) in self._quick

    def baked(self, code: Tensor) -> QuickHead:
        """A code's baked grid; kept."""
        prepared = self.prepared(code)
        return self._quick.get(_bytes(code), lambda: quick_head(bake(self.sof, prepared)))

    @torch.inference_mode()
    def paint(self, labels: np.ndarray, look: Look, noise_seed: int = 0) -> np.ndarray:
        """A label map (S, S) painted: (R, R, 3) uint8.

        Raises:
            LabelError: the map holds a value that is no class.
        """
        generator = self.siw.generator
        ids, hot, spade = self._maps.get(
            (labels.shape, labels.dtype.str, labels.tobytes()), lambda: self._map(labels)
        )
        w, style_of_class = look.styles()
        weights = class_weights(ids, style_of_class, len(w)) if len(w) > 1 else None
        noise = self._noise.get(noise_seed, lambda: fixed_noise(generator, noise_seed))
        return to_uint8(generator.synthesize(hot, w[None], weights, noise, spade).clamp(-1, 1))[0]

    def _map(self, labels: np.ndarray) -> tuple[Tensor, Tensor, list]:
        """Classes, their shares, and SPADE's gains and shifts of a map."""
        size = self.siw.generator.config.label_size
        small = np.ascontiguousarray(resize(check_ids(labels, "the map to paint"), size))
        ids = torch.from_numpy(small).to(self.siw.device).long()[None]
        hot = one_hot(ids)
        return ids, hot, self.siw.generator.spade_maps(hot)

    def picture(self, code: Tensor, look: Look, camera: Camera) -> np.ndarray:
        """A head, painted as it is seen from a camera: (R, R, 3) uint8."""
        return self.paint(self.view(code, camera).labels, look)

    def pictures(self, scenes: Iterable[tuple[Tensor, Look, Camera]], progress=None) -> np.ndarray:
        """Pictures (N, R, R, 3) uint8 of scenes, by the threads of `sofgan.runtime.use_cpu`.

        A view takes ten times as long as a picture of it, so scenes that differ in their look alone share one.
        """
        scenes, made = list(scenes), []
        for some in _with_few_views(scenes):
            for code in {_bytes(code): code for code, _, _ in some}.values():
                self.prepared(code)  # Before several threads want the same.
            seen = {_view_of(scene): scene for scene in some}
            views = runtime.map_pieces(
                lambda scene: self.view(scene[0], scene[2]), list(seen.values()), self.siw.device
            )
            labels = {key: view.labels for key, view in zip(seen, views)}
            shown = [(labels[_view_of(scene)], scene[1]) for scene in some]
            for picture in runtime.map_pieces(lambda pair: self.paint(*pair), shown, self.siw.device):
                made.append(picture)
                if progress:
                    progress.items(len(made), len(scenes), "pictures")
        return np.stack(made)


def _bytes(code: Tensor) -> bytes:
    return code.detach().cpu().numpy().tobytes()


def _view_of(scene: tuple[Tensor, Look, Camera]) -> tuple:
    """What a scene's view depends on: its head and its camera."""
    code, _, camera = scene
    return _bytes(code), camera.cam2world.tobytes(), camera.intrinsics.tobytes(), camera.size


def _with_few_views(scenes: list[tuple[Tensor, Look, Camera]]) -> Iterator[list[tuple[Tensor, Look, Camera]]]:
    """Scenes in their order, in groups of no more views than heads and maps are kept."""
    group: list[tuple[Tensor, Look, Camera]] = []
    views: set[tuple] = set()
    for scene in scenes:
        if len(views | {_view_of(scene)}) > min(HEADS_KEPT, MAPS_KEPT):
            yield group
            group, views = [], set()
        group.append(scene)
        views.add(_view_of(scene))
    if group:
        yield group
