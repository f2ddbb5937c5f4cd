"""A photo of a person, read: the face is found, aligned and parsed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sofgan.apps.engine import MODELS, Engine, loaded
from sofgan.apps.looks import Look
from sofgan.apps.map_fit import SIZE
from sofgan.apps.style_fit import STEPS, fit_look
from sofgan.errors import InputError, MissingInput
from sofgan.files import sha256_file
from sofgan.images import to_network_range
from sofgan.labels import EYE, EYEGLASS, L_LIP, L_NOSE, MOUTH, R_NOSE, SKIN, U_LIP
from sofgan.parsing.face_points import ParsedPoints
from sofgan.parsing.parser import FaceParser, load_parser
from sofgan.photos.alignment import Face, align_photo, ffhq_transform, share_outside
from sofgan.photos.checks import inspect
from sofgan.photos.decoding import PhotoError
from sofgan.photos.packaged_detector import PackagedDetector
from sofgan.progress import SILENT, Progress
from sofgan.starter.files import FOLDER as STARTER_FOLDER
from sofgan.starter.files import PARSER as STARTER_PARSER
from sofgan.starter.files import load_starter_parser

PARSER = "parsers/photos.pt"  # in the folder of models
ALIGNED = 256  # pixels of the aligned photo, of which smaller ones are made
LEAST_SIDE = 32  # pixels of a photo
LEAST_EYES = 10.0  # pixels between the eyes
ENOUGH_EYES = 128.0  # twice what an aligned photo has
BLURRED_EYES = 24.0  # below it the photo is finer than what the painter paints
OUTSIDE = 0.1  # share of the square beyond the photo that is remarked on
LEAST_FACE = (
    0.08  # share of an aligned photo that is skin; of the parser's map of a person it is a fifth and more
)


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


def parser_path(engine: Engine) -> Path:
    """Where the parser of photos lies: with the starter if it is the engine's, else beside the models, or in `models`
    where they have no folder.

    Raises:
        MissingInput: it is not there.
    """
    if engine.is_starter:
        return STARTER_FOLDER / STARTER_PARSER
    path = Path(engine.folder or MODELS, PARSER)
    if not path.is_file():
        raise MissingInput(
            f"no parser at {path}: `make demo` or `dvc repro` makes it; --models names another folder"
        )
    return path


def photo_parser(engine: Engine) -> FaceParser:
    """The parser of photos that goes with an engine's models.

    Raises:
        MissingInput: it is not there.
    """
    if engine.is_starter:
        return load_starter_parser(engine.siw.device)
    return loaded(load_parser, parser_path(engine), engine.siw.device)


def model_digests(engine: Engine, of_photos: bool) -> dict[str, str]:
    """sha256 of the files of models that a result depends on, by name: of what is made of photos their parser's too.

    Raises:
        MissingInput: the parser is not there.
    """
    name = STARTER_PARSER if engine.is_starter else PARSER
    return engine.digests | ({name: sha256_file(parser_path(engine))} if of_photos else {})


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


def photo_look(engine: Engine, photo: AlignedPhoto, progress: Progress = SILENT) -> Look:
    """The look of a photo for any head, in the engine's own painter: styles are found for the photo's own map."""
    wanted = photo.shown(engine.siw.resolution)
    return fit_look(engine.siw, photo.labels, wanted, steps=(STEPS, 0), progress=progress).look
