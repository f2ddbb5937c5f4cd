"""A person's photo as a head that turns: head, camera and look fitted to it, an engine of these, and a report."""

import time
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from sofgan.apps import edited_heads
from sofgan.apps.attributes import Direction
from sofgan.apps.camera_paths import PITCHES, YAWS, orbit
from sofgan.apps.engine import Engine, Kept, View
from sofgan.apps.looks import Look
from sofgan.apps.map_fit import SIDEWAYS, SIZE, UPWARDS, FittedHead, fit_head
from sofgan.apps.photo import AlignedPhoto
from sofgan.apps.style_fit import FittedLook, fit_look, region_colors
from sofgan.cameras import Camera
from sofgan.cameras import orbit as orbit_pose
from sofgan.labels import NAMES, colorize, resize
from sofgan.progress import SILENT, Progress

PHOTO = "photo"  # name of the photo's head and look
TURNED = 45.0  # degrees of yaw that are remarked on
SAME, EXPLAINED = 0.15, 0.5  # of [0, 1]: a pixel is explained below it; IoU: a class is above it
LIKE = 0.6  # mean IoU of a fit that is taken for the person's head
LARGE = 0.02  # share of a photo: a class that has more of it is missed
FEATURES, LOST = ("eye", "brow", "r_nose", "l_nose", "mouth", "u_lip", "l_lip"), 0.2  # of a face, and IoU
QUICK_HEADS_KEPT, MAPS_KEPT = 2, 4


class PhotoEngine(Engine):
    """The engine of a field and a painter that have learned one photo.

    Its heads and looks are those of the engine that it came from, as far as the photo has left them, and the photo's:
    `PHOTO` for both. Cameras have the photo's lens.

    Args:
        engine: of the models that the photo was fitted with.
        fitted, found: what was fitted.

    Attributes:
        found: the photo's look.
    """

    def __init__(self, engine: Engine, fitted: FittedHead, found: FittedLook):
        super().__init__(fitted.sof, found.siw, engine.digests, source=engine.source)
        # One head is shown, as it is and edited, and each visitor may have such an engine.
        self._quick, self._maps = Kept(QUICK_HEADS_KEPT), Kept(MAPS_KEPT)
        self.fitted, self.found, self._of = fitted, found.look, engine
        self.framing, self.shoulders = engine.framing, tuple(map(float, fitted.shoulders))

    def head(self, name: str | int, psi: float = 1.0) -> Tensor:
        """As `Engine.head`; `PHOTO` is the photo's."""
        if name == PHOTO:
            return edited_heads.blend(self.sof.codes.mean(0), self.fitted.code, psi)
        return super().head(name, psi)

    def look(self, seed: int | str, psi: float = 1.0) -> Look:
        """As `Engine.look`; `PHOTO` is the photo's, whatever psi."""
        return self.found if seed == PHOTO else super().look(seed, psi)

    def camera(self, yaw: float, pitch: float, size: int, zoom: float = 1.0) -> Camera:
        """As `Engine.camera`, with the photo's lens: at its yaw and pitch the head is seen as the photo shows it."""
        intrinsics = self.fitted.intrinsics.copy()
        intrinsics[[0, 1], [0, 1]] *= zoom
        return Camera(orbit_pose(*np.radians((yaw, pitch)), self.sof.radius), intrinsics, size)

    @property
    def is_starter(self) -> bool:
        """As `Engine.is_starter`, of the engine that it came from."""
        return self._of.is_starter

    def directions(self) -> dict[str, Direction]:
        """As `Engine.directions`, of the engine that it came from: codes mean what they meant there."""
        return self._of.directions()


@dataclass(frozen=True)
class PhotoHead:
    """A person's head, in the look of the photo.

    Attributes:
        engine: of the field and the painter that have learned this photo.
        photo: what it was made of.
        picture: (R, R, 3) uint8, painted from the photo's camera.
        report: plain data on how good the fit is.
    """

    engine: PhotoEngine
    photo: AlignedPhoto
    picture: np.ndarray
    report: dict = field(default_factory=dict)

    def view(self, yaw: float, pitch: float, size: int = SIZE) -> View:
        """The view from the photo's camera, turned by so many degrees."""
        return self.engine.view(self.engine.fitted.code, self.engine.fitted.camera(size, yaw, pitch))

    def film(self, frames: int, yaw: float, progress: Progress = SILENT) -> np.ndarray:
        """Frames (N, R, R, 3) uint8 of a loop that begins with the photo's view and turns by so many degrees."""
        made = []
        for angle in orbit(frames, yaw, 0.0):
            labels = self.view(angle.yaw, angle.pitch).labels
            made.append(self.engine.paint(labels, self.engine.found))
            progress.items(len(made), frames, "pictures")
        return np.stack(made)

    def cut_off(self, yaw: float) -> list[str]:
        """Sentences on a film, turned by so many degrees, that goes beyond the views that there are."""
        fitted = self.engine.fitted
        said = []
        if abs(fitted.yaw) + abs(yaw) > SIDEWAYS:
            said.append(
                f"the photo's view is at {fitted.yaw:.0f} degrees: turned by {abs(yaw):.0f} more the film stands still "
                f"at {SIDEWAYS:.0f}"
            )
        if abs(fitted.pitch) > UPWARDS:
            said.append(
                f"the photo's view is {abs(fitted.pitch):.0f} degrees up or down: the film shows it from {UPWARDS:.0f}"
            )
        return said

    def sheet(self, yaw: float) -> np.ndarray:
        """Picture (2 R, 4 R, 3) uint8: photo, its map, the fitted map, the painted view; below four turned views."""
        size = len(self.picture)
        maps = [colorize(resize(one, size)) for one in (self.photo.labels, self.engine.fitted.labels)]
        turned = [
            self.engine.paint(self.view(share * yaw, 0.0).labels, self.engine.found)
            for share in (-1, -0.5, 0.5, 1)
        ]
        return np.concatenate(
            [np.concatenate([self.photo.shown(size), *maps, self.picture], 1), np.concatenate(turned, 1)]
        )


def fit_photo(engine: Engine, photo: AlignedPhoto, seed: int = 0, progress: Progress = SILENT) -> PhotoHead:
    """Head, camera and look of a photo; the engine's models stay as they are."""
    began = time.perf_counter()
    head = fit_head(engine.sof, photo.labels, seed=seed, progress=progress)
    fitted_head = time.perf_counter()
    wanted = photo.shown(engine.siw.resolution)
    found = fit_look(engine.siw, head.labels, wanted, progress=progress)
    own = PhotoEngine(engine, head, found)
    picture = own.paint(head.labels, found.look)
    report = _report(photo, head, wanted, picture) | {
        "seconds": {
            "head": round(fitted_head - began, 1),
            "look": round(time.perf_counter() - fitted_head, 1),
        }
    }
    report["remarks"] += _turned(head) + _unlike(report)
    return PhotoHead(own, photo, picture, report)


def _turned(head: FittedHead) -> list[str]:
    """Sentences on a head that the photo shows from where cameras hardly go."""
    remarks = []
    if abs(head.yaw) > TURNED:
        remarks.append(f"turned by {abs(head.yaw):.0f} degrees: its other side is a guess")
    for what, angle, (low, high) in (
        ("from the side", head.yaw, YAWS),
        ("from above or below", head.pitch, PITCHES),
    ):
        if not low <= angle <= high:
            remarks.append(
                f"seen {what}, at {angle:.0f} degrees: views go from {low:.0f} to {high:.0f}, so the viewer begins "
                "beside the photo's own"
            )
    return remarks


def _unlike(report: dict) -> list[str]:
    """Sentences on a head whose map is not the photo's."""
    remarks = []
    if report["map_miou"] < LIKE:
        remarks.append(
            f"the head's map is little like the photo's (mean IoU under {LIKE}): turned it may be somebody else's"
        )
    missed = [
        name
        for name, share in report["not_explained"]["classes"].items()
        if share > LARGE or (name in FEATURES and report["map_iou"][name] < LOST)
    ]
    if missed:
        remarks.append(f"not where the photo has them: {', '.join(missed)} (IoU under {EXPLAINED})")
    return remarks


def _report(photo: AlignedPhoto, head: FittedHead, wanted: np.ndarray, picture: np.ndarray) -> dict:
    """Plain data: how like the photo's are map, pixels and colors of regions, and what is not explained."""
    truth, shown = photo.labels, head.labels
    ious = {
        name: round(float(((truth == k) & (shown == k)).sum() / ((truth == k) | (shown == k)).sum()), 3)
        for k, name in enumerate(NAMES)
        if (truth == k).any()
    }
    small = resize(truth, len(picture))
    colors = [region_colors(one, small) for one in (wanted, picture)]
    distances = {
        name: round(float(np.linalg.norm(colors[0][name] - colors[1][name])), 1) for name in colors[0]
    }
    unexplained = {
        name: round(float((truth == NAMES.index(name)).mean()), 4)
        for name, iou in ious.items()
        if iou < EXPLAINED
    }
    off = np.abs(wanted.astype(float) - picture).mean(2) / 255
    return {
        "photo": photo.figures,
        "remarks": list(photo.remarks),
        "camera": {"yaw_degrees": round(head.yaw, 1), "pitch_degrees": round(head.pitch, 1)},
        "map_miou": round(head.miou, 3),
        "map_miou_by_codes_alone": round(head.codes_miou, 3),
        "map_iou": ious,
        "picture_distance": round(float(off.mean()), 4),
        "region_color_distance": distances,
        "not_explained": {
            "classes": unexplained,
            "share_of_pixels": round(float((off > SAME).mean()), 4),
        },
    }  # fmt: skip
