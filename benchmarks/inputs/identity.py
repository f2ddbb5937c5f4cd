"""Whether a head stays the same person while the camera goes around, by dlib's face descriptors: a judge from outside.

Its networks lie in the wheels `face-recognition-models` and `dlib-bin`, which nothing else here needs.
"""

import importlib.util
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks import harness
from sofgan.evaluation.intervals import over_heads
from sofgan.labels import BROW, EYE, L_LIP, L_NOSE, MOUTH, R_NOSE, SKIN, U_LIP
from sofgan.siw.model import to_uint8

PACKAGES = ("dlib", "face_recognition_models")
SIZE = 256  # pixels that pictures are brought to before a face is cut out
CHIP = 150  # pixels of a cut face, as the network takes it
_FACE = (SKIN, BROW, EYE, R_NOSE, L_NOSE, MOUTH, U_LIP, L_LIP)


def missing() -> str:
    """A sentence on the packages that are not installed; empty where all are."""
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    words = f"no identity: {' and '.join(absent)} not installed (dlib-bin, face-recognition-models)"
    return words if absent else ""


class Descriptors:
    """dlib's descriptors of faces, which lie within 0.6 of each other where they are of one person."""

    def __init__(self) -> None:
        import dlib

        # Not imported: it asks for a package that Python no longer brings.
        folder = (
            Path(importlib.util.find_spec("face_recognition_models").submodule_search_locations[0]) / "models"
        )
        self.dlib = dlib
        self.landmarks = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self.network = dlib.face_recognition_model_v1(
            str(folder / "dlib_face_recognition_resnet_model_v1.dat")
        )

    def __call__(self, images: Tensor, labels: np.ndarray) -> np.ndarray:
        """(N, 128) of pictures (N, 3, R, R) in [-1, 1] with their maps (N, S, S), by which the face is found."""
        found = []
        for picture, shown in zip(to_uint8(images), labels):
            large = np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            rows, columns = np.nonzero(np.isin(shown, _FACE))
            if not len(rows):
                found.append(np.full(128, np.nan))
                continue
            scale = SIZE / shown.shape[-1]
            left, top, right, bottom = (
                int(v * scale) for v in (columns.min(), rows.min(), columns.max(), rows.max())
            )
            # dlib's detector gives squares from the brows to the chin.
            side = int(0.8 * (bottom - top))
            middle = (left + right) // 2
            box = self.dlib.rectangle(middle - side // 2, bottom - side, middle + side // 2, bottom)
            chip = self.dlib.get_face_chip(large, self.landmarks(large, box), CHIP)
            found.append(np.asarray(self.network.compute_face_descriptor(chip)))
        return np.stack(found)


def mean_distance(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean distance of pairs of descriptors (..., 128); faces that were not found count in none."""
    return float(np.nanmean(np.stack([np.linalg.norm(one - other, axis=-1) for one, other in pairs])))


def turned(found: np.ndarray, yaws_degrees) -> dict[float, float]:
    """Mean distance of one head to its frontal view in the same style, by degrees of yaw either side.

    Args:
        found: (V, K, 128) descriptors.
        yaws_degrees: V.
    """
    yaws = np.asarray(yaws_degrees, np.float64)
    front = np.abs(yaws).argmin()
    sides = np.abs(yaws - yaws[front])
    return {
        float(yaw): mean_distance((found[i], found[front]) for i in np.flatnonzero(np.isclose(sides, yaw)))
        for yaw in np.unique(sides)
        if yaw
    }


def describe(heads: dict[str, Iterable[tuple[Tensor, np.ndarray]]], yaws_degrees) -> None:
    """Print a table of how far a turned head's descriptor is from its frontal view's, beside how far those of other
    styles of a head are, and of other heads in as many styles.

    Args:
        heads: by the row's name, pictures (V, K, 3, R, R) and maps (V, S, S) of each head, two heads or more.
    """
    if words := missing():
        print(words)
        return
    judge, front = Descriptors(), int(np.abs(np.asarray(yaws_degrees)).argmin())
    lines = []
    for name, pictures in heads.items():
        found = []
        for images, labels in pictures:
            views, styles = images.shape[:2]
            found.append(judge(images.flatten(0, 1), labels.repeat(styles, 0)).reshape(views, styles, -1))
        if len(found) < 2:
            continue
        measured = [turned(one, yaws_degrees) for one in found]
        cells = []
        for yaw in measured[0]:
            values = np.array([[one[yaw]] for one in measured])
            figures = over_heads(lambda drawn: drawn[..., 0].mean(-1), values, "identity")
            cells.append("{:.2f} ({:.2f} to {:.2f})".format(*figures.values()))
        between = [
            mean_distance(
                (one[front, a], one[front, b]) for one in found for a, b in combinations(range(styles), 2)
            ),
            mean_distance((a[front], b[front]) for a, b in combinations(found, 2)),
        ]
        lines.append((name, list(measured[0]), [*cells, *(f"{value:.2f}" for value in between)]))
    for number, (name, yaws, cells) in enumerate(lines):
        if not number:
            columns = *(f"{yaw:g} degrees" for yaw in yaws), "between styles", "between heads"
            print(harness.head("distance of descriptors from the frontal view's", *columns))
        print(harness.row(name, *cells), flush=True)
