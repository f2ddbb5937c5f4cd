"""A person's photo as a head that turns: the face is found, parsed, and head, camera and look are fitted to it."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from sofgan.apps.camera_paths import orbit
from sofgan.apps.engine import MODELS, Engine, View
from sofgan.apps.looks import Look
from sofgan.apps.map_fit import SIZE, FittedHead, fit_head
from sofgan.apps.style_fit import STEPS, fit_look, region_colors
from sofgan.errors import InputError, MissingInput
from sofgan.files import sha256_file
from sofgan.images import to_network_range
from sofgan.labels import EYE, EYEGLASS, L_LIP, L_NOSE, MOUTH, NAMES, R_NOSE, SKIN, U_LIP, colorize, resize
from sofgan.parsing.face_points import ParsedPoints
from sofgan.parsing.parser import FaceParser, load_parser
from sofgan.photos.alignment import Face, align_photo, ffhq_transform, share_outside
from sofgan.photos.checks import inspect
from sofgan.photos.decoding import PhotoError
from sofgan.photos.packaged_detector import PackagedDetector
from sofgan.progress import SILENT, Progress

PARSER = "parsers/photos.pt"  # in the folder of models
ALIGNED = 256  # pixels of the aligned photo, of which smaller ones are made
LEAST_SIDE = 32  # pixels of a photo
LEAST_EYES = 10.0  # pixels between the eyes
ENOUGH_EYES = 128.0  # twice what an aligned photo has
BLURRED_EYES = 24.0  # below it the photo is finer than what the painter paints
TURNED, OUTSIDE = 45.0, 0.1  # degrees of yaw, and share of the square beyond the photo, that are remarked on
LEAST_FACE = (
    0.08  # share of an aligned photo that is skin; of the parser's map of a person it is a fifth and more
)
SAME, EXPLAINED = 0.15, 0.5  # of [0, 1]: a pixel is explained below it; IoU: a class is above it


@dataclass(frozen=True)
class AlignedPhoto:
    """A face cut out of a photo as FFHQ's are.

    Attributes:
        pixels: (ALIGNED, ALIGNED, 3) uint8.
        labels: (SIZE, SIZE) uint8, as the parser sees it.
        sha256: of the photo's file.
        remarks: sentences on what is unusual.
        figures: `width`, `height`, `eyes_px` (the distance of the eyes), `roll_degrees`, `other_faces`.
    """

    pixels: np.ndarray
    labels: np.ndarray
    sha256: str
    remarks: list[str]
    figures: dict[str, float]

    def shown(self, size: int) -> np.ndarray:
        """Its pixels at another size: (size, size, 3) uint8."""
        return np.array(Image.fromarray(self.pixels).resize((size, size), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class PhotoHead:
    """A person's head, in the look of the photo.

    Attributes:
        engine: of a field and a painter that have learned this photo.
        photo: what it was made of.
        head, look: what was found.
        picture: (R, R, 3) uint8, painted from the photo's camera.
        report: plain data on how good the fit is.
    """

    engine: Engine
    photo: AlignedPhoto
    head: FittedHead
    look: Look
    picture: np.ndarray
    report: dict = field(default_factory=dict)

    def view(self, yaw: float, pitch: float, size: int = SIZE) -> View:
        """The view from the photo's camera, turned by so many degrees."""
        return self.engine.view(self.head.code, self.head.camera(size, yaw, pitch), self.head.shoulders)

    def film(self, frames: int, yaw: float, progress: Progress = SILENT) -> np.ndarray:
        """Frames (N, R, R, 3) uint8 of a loop that begins with the photo's view and turns by so many degrees."""
        made = []
        for angle in orbit(frames, yaw, 0.0):
            labels = self.view(angle.yaw, angle.pitch).labels
            made.append(self.engine.paint(labels, self.look))
            progress.items(len(made), frames, "pictures")
        return np.stack(made)

    def sheet(self, yaw: float) -> np.ndarray:
        """Picture (2 R, 4 R, 3) uint8: photo, its map, the fitted map, the painted view; below four turned views."""
        size = len(self.picture)
        maps = [colorize(resize(labels, size)) for labels in (self.photo.labels, self.head.labels)]
        turned = [
            self.engine.paint(self.view(share * yaw, 0.0).labels, self.look) for share in (-1, -0.5, 0.5, 1)
        ]
        return np.concatenate(
            [np.concatenate([self.photo.shown(size), *maps, self.picture], 1), np.concatenate(turned, 1)]
        )


def parser_path(engine: Engine) -> Path:
    """Where the parser of photos lies: beside an engine's models, or in `models` where it has no folder."""
    return Path(engine.folder or MODELS, PARSER)


def photo_parser(engine: Engine) -> FaceParser:
    """The parser of photos beside an engine's models.

    Raises:
        MissingInput: it is not there.
    """
    path = parser_path(engine)
    if not path.is_file():
        raise MissingInput(
            f"no parser at {path}: `make demo` or `dvc repro` makes it; --models names another folder"
        )
    return load_parser(path, engine.siw.device)


def read_photo(path: str | Path, parser: FaceParser) -> AlignedPhoto:
    """The largest face of a photo in any format that `sofgan.photos` reads, aligned and parsed.

    Raises:
        MissingInput: there is no such file.
        InputError: it is no photo, too small, or shows no face that can be used.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInput(f"no file {path}")
    try:
        found = inspect(path.read_bytes(), LEAST_SIDE)
    except PhotoError as error:
        raise InputError(f"{path} can't be used: {error}") from error
    photo, remarks = found.image, list(found.notes)
    size, finder = photo.size, PackagedDetector(parser.mean.device)
    face = finder([path.name], [photo])[0]
    if face is None:
        raise InputError(
            f"no face is found in {path}: a person's face is wanted, with both eyes to be seen and at least "
            f"{LEAST_EYES:.0f} pixels between them"
        )
    # Of a face that is many times as fine as its aligned picture, all pixels need not be moved.
    shrink = max(1, int(np.hypot(*(face.eyes[1] - face.eyes[0])) / ENOUGH_EYES))
    photo = photo.reduce(shrink)
    face = Face(face.eyes / shrink, face.mouth / shrink, face.others)
    face = ParsedPoints(finder, parser).refined(photo, face)
    apart = float(np.hypot(*(face.eyes[1] - face.eyes[0]))) * shrink
    if apart < LEAST_EYES:
        raise InputError(
            f"the face in {path} is too small: {apart:.0f} pixels between its eyes, {LEAST_EYES:.0f} are wanted"
        )
    try:
        transform = ffhq_transform(face, ALIGNED)
        pixels = np.array(align_photo(photo, transform, ALIGNED))
    except PhotoError as error:
        raise InputError(f"{path} can't be used: {error}") from error
    labels = parser.parse(to_network_range(pixels[None], parser.mean.device), SIZE, mirror=True)[0]
    _check_face(labels, path)
    outside = share_outside(transform, ALIGNED, photo.size)
    remarks += _remarks(face, apart, outside)
    figures = {
        "width": size[0], "height": size[1], "eyes_px": round(apart, 1), "other_faces": face.others,
        "roll_degrees": round(float(np.degrees(np.arctan2(*(face.eyes[1] - face.eyes[0])[::-1]))), 1),
        "outside_share": round(outside, 3),
    }  # fmt: skip
    return AlignedPhoto(pixels, labels, sha256_file(path), remarks, figures)


def _check_face(labels: np.ndarray, path: Path) -> None:
    """See that what a detector took for a face is one to the parser as well.

    Raises:
        InputError: it is not.
    """
    parts = [(EYE, EYEGLASS), (R_NOSE, L_NOSE), (MOUTH, U_LIP, L_LIP)]
    seen = sum(bool(np.isin(labels, part).sum() >= 8) for part in parts)
    if (labels == SKIN).mean() < LEAST_FACE or seen < 2:
        raise InputError(f"what looks like a face in {path} has no eyes, nose and mouth of a person")


def _remarks(face: Face, apart: float, outside: float) -> list[str]:
    remarks = []
    if face.others:
        remarks.append(f"{1 + face.others} faces: the largest is taken")
    if apart < BLURRED_EYES:
        remarks.append(f"small: {apart:.0f} pixels between the eyes, so the picture is blurred")
    if outside > OUTSIDE:
        remarks.append(f"{outside:.0%} of the aligned square lies beyond the photo and is mirrored")
    return remarks


def fit_photo(engine: Engine, photo: AlignedPhoto, seed: int = 0, progress: Progress = SILENT) -> PhotoHead:
    """Head, camera and look of a photo; the engine's models stay as they are."""
    began = time.perf_counter()
    head = fit_head(engine.sof, photo.labels, seed=seed, progress=progress)
    fitted_head = time.perf_counter()
    wanted = photo.shown(engine.siw.resolution)
    found = fit_look(engine.siw, head.labels, wanted, progress=progress)
    own = Engine(head.sof, found.siw, engine.digests)
    picture = own.paint(head.labels, found.look)
    report = _report(photo, head, wanted, picture) | {
        "seconds": {
            "head": round(fitted_head - began, 1),
            "look": round(time.perf_counter() - fitted_head, 1),
        }
    }
    if abs(head.yaw) > TURNED:
        report["remarks"].append(f"turned by {abs(head.yaw):.0f} degrees: its other side is a guess")
    return PhotoHead(own, photo, head, found.look, picture, report)


def photo_look(engine: Engine, photo: AlignedPhoto, progress: Progress = SILENT) -> Look:
    """The look of a photo for any head, in the engine's own painter: styles are found for the photo's own map."""
    wanted = photo.shown(engine.siw.resolution)
    return fit_look(engine.siw, photo.labels, wanted, steps=(STEPS, 0), progress=progress).look


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
