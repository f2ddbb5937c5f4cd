"""What a visitor looks at: all that a picture depends on, but for the models."""

from dataclasses import asdict, dataclass, fields, replace
from reprlib import repr as short_repr

import numpy as np
from torch import Tensor

from sofgan.apps.camera_paths import PITCHES, YAWS, ZOOMS
from sofgan.apps.drawn_maps import unpacked
from sofgan.apps.edited_heads import MARK, blend, moved
from sofgan.apps.engine import Engine
from sofgan.apps.looks import Look, region_index, with_style
from sofgan.apps.photo_head import PHOTO
from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.siw.portrait_camera import Framing

STILL = 0.01  # degrees, or of the zoom: by less a camera has not moved
# Fields of a scene: those that another head has, and with the camera's and a drawn map, those that another map has.
HEAD = ("head", "other_head", "morph", "head_psi", "features", "photo")
MAP = (*HEAD, "drawn", "yaw", "pitch", "zoom")
PLAIN = {"morph": 0.0, "head_psi": 1.0, "features": ()}  # a head as it is


@dataclass(frozen=True)
class Scene:
    """A head in a look, seen from a camera.

    Attributes:
        head, other_head: seeds of heads, names of the field's own, or texts of edited ones; of a photo's field also
            `PHOTO`.
        photo: sha256 of the photo whose field and painter show the head (`PhotoEngine`); "": those that all share do.
        photo_look: regions have the photo's styles, not those of the seed.
        morph: share of the way from the first to the other.
        head_psi: heads towards the mean one: 1 not at all, 0 fully.
        features: amounts by which known features of the head are changed, by the feature's name, see
            `Engine.directions`.
        look: seed of the style of all regions.
        psi: styles towards the average one.
        regions: seeds of the styles of single regions, by the region's name; or a style as text, such as a photo's.
        yaw, pitch: degrees; positive to the head's left and up.
        zoom: factor of the focal length.
        drawn: a label map that is painted in the place of the head's, as `drawn_maps.packed` gives it; "": none.
    """

    head: str = "0"
    other_head: str = "1"
    morph: float = 0.0
    head_psi: float = 1.0
    features: tuple[tuple[str, float], ...] = ()
    look: int = 0
    psi: float = 0.7
    regions: tuple[tuple[str, int | str], ...] = ()
    yaw: float = 0.0
    pitch: float = 0.0
    zoom: float = 1.0
    drawn: str = ""
    photo: str = ""
    photo_look: bool = False

    def restyled(self, region: str, seed: int | str | None) -> "Scene":
        """This scene with a region in the style of that seed or text, or in the look's own again (None).

        Raises:
            InputError: there is no such region.
        """
        region_index(region)
        regions = {name: one for name, one in self.regions if name != region}
        if seed is not None:
            regions[region] = seed
        return replace(self, regions=tuple(sorted(regions.items())))

    def featured(self, name: str, amount: float) -> "Scene":
        """This scene with so much more of a feature than the head has of itself."""
        features = dict(self.features) | {name: round(float(amount), 3)}
        return replace(self, features=tuple(sorted((n, a) for n, a in features.items() if a)))

    def turned(self, yaw: float, pitch: float, zoom: float) -> "Scene":
        """This scene from another camera, as far as one goes."""
        limited = (min(max(value, low), high) for value, (low, high) in zip((yaw, pitch, zoom), LIMITS))
        yaw, pitch, zoom = (round(float(value), 3) for value in limited)
        before = (self.yaw, self.pitch, self.zoom)
        if all(abs(now - then) < STILL for now, then in zip((yaw, pitch, zoom), before)):
            return self  # A page tells of its camera again and again, with other roundings.
        return replace(self, yaw=yaw, pitch=pitch, zoom=zoom, drawn="")  # A drawn map has no other side.

    def of_photo(self, photo: str, yaw: float, pitch: float) -> "Scene":
        """The photo's head as the photo shows it, from these angles in degrees."""
        plain = replace(self, head=PHOTO, photo=photo, photo_look=True, regions=(), drawn="", **PLAIN)
        return plain.turned(yaw, pitch, 1.0)

    def differs(self, other: "Scene", names: tuple[str, ...]) -> bool:
        """Whether another scene has other values of these fields."""
        return any(getattr(self, name) != getattr(other, name) for name in names)

    @property
    def name(self) -> str:
        """Words for the head."""
        if self.head == PHOTO:
            return "the head of the photo"
        return "an edited head" if self.head.startswith(MARK) else f"head {self.head}"

    @property
    def look_name(self) -> str:
        """Words for the look, after those for the head."""
        return "its look" if self.photo_look else f"look {self.look}"

    def code_of(self, engine: Engine) -> Tensor:
        """Code (Z,) of the head, or the tensor of an edited one.

        Raises:
            InputError: nothing is known of a feature.
        """
        code = engine.head(self.head, self.head_psi)
        if self.morph:
            code = blend(code, engine.head(self.other_head, self.head_psi), self.morph)
        for name, amount in self.features:
            if name not in engine.directions():
                raise InputError(f"these models know no feature {short_repr(name)} of heads")
            code = moved(code, amount * engine.directions()[name].vector)
        return code

    def look_of(self, engine: Engine) -> Look:
        """Styles of the regions."""
        look = engine.look(PHOTO if self.photo_look else self.look, self.psi)
        for region, style in self.regions:
            if isinstance(style, str):
                look = with_style(look, region, style, engine.siw.generator.layers)
            else:
                look = look.restyled(region, engine.look(style, self.psi))
        return look

    def camera_of(self, engine: Engine, size: int) -> Camera:
        """Camera for maps of so many pixels along a side."""
        return engine.camera(self.yaw, self.pitch, size, self.zoom)

    def labels_of(self, engine: Engine, size: int) -> np.ndarray:
        """Label map: the drawn one as it is, or the head's, (size, size) uint8."""
        if self.drawn:
            return unpacked(self.drawn)
        return engine.view(self.code_of(engine), self.camera_of(engine, size)).labels

    def to_mapping(self) -> dict:
        """Plain data, for `of`."""
        return asdict(self) | {"regions": dict(self.regions), "features": dict(self.features)}

    @classmethod
    def of(cls, mapping: dict) -> "Scene":
        """The scene of plain data.

        Raises:
            InputError: it has what no scene of this version has, or values of other kinds.
        """
        if not isinstance(mapping, dict):
            raise InputError(f"a scene is a table of its values, not {short_repr(mapping)}")
        kinds = {field.name: type(field.default) for field in fields(cls)} | {
            "regions": dict,
            "features": dict,
        }
        if unknown := sorted(set(mapping) - set(kinds)):
            raise InputError(f"no scene of this version has {', '.join(map(short_repr, unknown[:3]))}")
        values = [(name, value, (kinds[name],)) for name, value in mapping.items()]
        for name, kind in {"regions": (int, str), "features": (float,)}.items():
            table = mapping.get(name)
            values += [(name, value, kind) for value in (table.values() if isinstance(table, dict) else ())]
        for name, value, kind in values:
            if not (_is_number(value, *RANGES[name]) if float in kind else type(value) in kind):
                raise InputError(f"{name} of a scene is no {short_repr(value)}")
        pairs = {name: tuple(sorted(mapping.get(name, {}).items())) for name in ("regions", "features")}
        return cls(**{**mapping, **pairs})


LIMITS = (YAWS, PITCHES, ZOOMS)
# Of the numbers of a scene: what controls and cameras of a page can give, or a little more.
RANGES = dict(zip(("yaw", "pitch", "zoom"), LIMITS)) | {
    "morph": (0.0, 1.0), "head_psi": (-2.0, 2.0), "psi": (-2.0, 2.0), "features": (-10.0, 10.0)
}  # fmt: skip


def is_view(value) -> bool:
    """Whether a record's value is yaw, pitch and zoom of a camera."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(_is_number(one, *limits) for one, limits in zip(value, LIMITS))
    )


def _is_number(value, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high


def angles_of(offset: np.ndarray, distance: float) -> tuple[float, float, float]:
    """Yaw and pitch in degrees, and zoom, of a camera at an offset (3,) from the point that it orbits; at `distance`
    the zoom is 1."""
    x, y, z = (float(value) for value in offset)
    length = max(float(np.linalg.norm(offset)), 1e-6)
    yaw, pitch = np.degrees(np.arctan2(x, z)), np.degrees(np.arcsin(np.clip(y / length, -1, 1)))
    return float(yaw), float(pitch), distance / length


def position_of(yaw: float, pitch: float, zoom: float, framing: Framing) -> tuple[float, float, float]:
    """Where a camera is at these angles, in degrees, and zoom: what `angles_of` takes back."""
    yaw, pitch = np.radians((yaw, pitch))
    away = (
        framing.distance
        / zoom
        * np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    )
    return tuple(float(value) for value in away + (0.0, framing.target_y, 0.0))
