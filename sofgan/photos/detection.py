"""Faces found by facexlib's networks, to align photos by.

torch and facexlib take seconds to import, so only who makes a `FaceDetector` pays for them.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from sofgan.errors import UserError
from sofgan.files import sha256_file
from sofgan.photos.alignment import Face, face_from_98

_RELEASE = "https://github.com/xinntao/facexlib/releases/download/v0.1.0"
_CANVAS = 640  # pixels: photos are brought into a square of this size to look for faces
_MIN_SCORE = 0.97  # as facexlib's own cropping
_MEAN_COLOUR = (123, 117, 104)  # What the detector subtracts: such a border is nothing to it.
_LANDMARK_INPUT = 256


class WeightsFile(NamedTuple):
    """An official weights file: its name, address and digest."""

    name: str
    url: str
    sha256: str


DETECTOR = WeightsFile(
    "detection_Resnet50_Final.pth",
    f"{_RELEASE}/detection_Resnet50_Final.pth",
    "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
)
LANDMARKS = WeightsFile(
    "alignment_WFLW_4HG.pth",
    f"{_RELEASE}/alignment_WFLW_4HG.pth",
    "bbfd137307a4c7debd5c283b9b0ce539466cee417ac0a155e184d857f9f2899c",
)


class DetectorError(UserError, RuntimeError):
    """Weights are missing or wrong; the message says which and what to do."""


def check_weights(folder: str | Path, landmarks: Literal["5", "98"]) -> None:
    """See that the official files are in a folder. Imports no torch.

    Raises:
        DetectorError: naming the files that are missing or another's, and how to get them.
    """
    wanted = [DETECTOR] if landmarks == "5" else [DETECTOR, LANDMARKS]
    wrong = [file for file in wanted if not _is_official(Path(folder) / file.name, file)]
    if wrong:
        names = " and ".join(file.name for file in wrong)
        urls = " ".join(file.url for file in wrong)
        raise DetectorError(
            f"align: ffhq finds faces with facexlib's weights, but {names} is not in {folder} as released. "
            f"`python -m pipelines weights` fetches it where there is a network; else put it there by hand: {urls}"
        )


def _is_official(path: Path, file: WeightsFile) -> bool:
    return path.is_file() and sha256_file(path) == file.sha256


class FaceDetector:
    """RetinaFace with its five points, or with the 98 of a second network that looks at the largest face.

    Args:
        folder: where the weights files are.
        landmarks: how many points to align by.
        device: a torch device.

    Raises:
        DetectorError: as `check_weights`.
    """

    batch = 8
    missing = "no face found"

    def __init__(self, folder: str | Path, landmarks: Literal["5", "98"], device: str = "cpu") -> None:
        check_weights(folder, landmarks)
        self.device = device
        self._detector = _load_detector(Path(folder) / DETECTOR.name, device)
        self._landmarks = (
            _load_landmarks(Path(folder) / LANDMARKS.name, device) if landmarks == "98" else None
        )

    def __call__(self, names: Sequence[str], photos: Sequence[Image.Image]) -> list[Face | None]:
        """The largest face of each RGB photo, or None."""
        import torch

        scales, canvases = zip(*(_on_canvas(photo) for photo in photos))
        with torch.inference_mode():
            boxes, points = self._detector.batched_detect_faces(list(canvases), conf_threshold=_MIN_SCORE)
        return [
            self._largest(photo, found / scale, marks / scale) if len(found) else None
            for photo, scale, found, marks in zip(photos, scales, boxes, points)
        ]

    def _largest(self, photo: Image.Image, boxes: np.ndarray, marks: np.ndarray) -> Face | None:
        """The face of the largest box. Boxes (N, 5) end in a score, marks (N, 10) are five points each."""
        largest = int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
        others = len(boxes) - 1
        if self._landmarks is None:
            five = marks[largest].reshape(5, 2)  # Eyes, nose, mouth corners, the left in the photo first.
            return Face(five[:2], five[3:], others)
        left, top = np.maximum(boxes[largest, :2], 0)
        right, bottom = np.minimum(boxes[largest, 2:4], photo.size)
        if right - left < 1 or bottom - top < 1:
            return None
        return face_from_98(self._points_98(photo, left, top, right, bottom), others)

    def _points_98(self, photo: Image.Image, left, top, right, bottom) -> np.ndarray:
        import torch

        crop = photo.resize((_LANDMARK_INPUT,) * 2, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
        pixels = torch.from_numpy(np.asarray(crop).copy()).permute(2, 0, 1)[None].to(self.device)
        with torch.inference_mode():
            outputs, _ = self._landmarks(pixels.float() / 255)
        heatmaps = outputs[-1][0, :98].float().cpu().numpy()  # The last channel is the face's outline.
        return peaks(heatmaps) * (right - left, bottom - top) + (left, top)


def peaks(heatmaps: np.ndarray) -> np.ndarray:
    """Peaks of heatmaps (N, H, W): (N, 2) x and y in shares of the width and height.

    A quarter of a cell towards the higher neighbour refines a cell's centre, as is usual for such networks.
    """
    number, height, width = heatmaps.shape
    rows, columns = np.divmod(heatmaps.reshape(number, -1).argmax(1), width)
    # Mirrored, so that at a border neither neighbour is higher.
    padded = np.pad(heatmaps, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    each = np.arange(number)
    aside = padded[each, rows + 1, columns + 2] - padded[each, rows + 1, columns]
    below = padded[each, rows + 2, columns + 1] - padded[each, rows, columns + 1]
    x = columns + 0.5 + 0.25 * np.sign(aside)
    y = rows + 0.5 + 0.25 * np.sign(below)
    return np.stack([x / width, y / height], axis=1)


def _on_canvas(photo: Image.Image) -> tuple[float, Image.Image]:
    """A photo scaled to fit the upper left of the detector's square, and the scale."""
    scale = _CANVAS / max(photo.size)
    size = tuple(max(1, round(side * scale)) for side in photo.size)
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), _MEAN_COLOUR)
    canvas.paste(photo.resize(size, Image.Resampling.BILINEAR))
    return scale, canvas


def _load_detector(path: Path, device: str):
    import torch
    from facexlib.detection import RetinaFace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It calls torchvision in a way that will go.
        network = RetinaFace(network_name="resnet50", device=device)
    state = torch.load(path, map_location=device, weights_only=True)
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return network.eval().to(device)


def _load_landmarks(path: Path, device: str):
    import torch
    from facexlib.alignment import FAN

    # Its own `get_landmarks` is not used: it needs a numpy that still had `np.float`.
    network = FAN(num_modules=4, num_landmarks=98, device=device)
    network.load_state_dict(torch.load(path, map_location=device, weights_only=True)["state_dict"])
    return network.eval().to(device)
