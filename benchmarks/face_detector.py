"""Eyes found in photos that are cropped, scaled and turned at random, without any download.

Each photo, aligned as FFHQ's are, is put into a larger canvas, turned by at most so many degrees, scaled and cut off
the middle. What finds the face there is compared with where its eyes really are: the middles of the eyes of masks
drawn by hand (`--masks`), or, where a set has none, of what the parser sees in the untouched photo, upright and
aligned. A face counts as found where the farther eye is within 5 % of the eyes' distance. Compared are the detector
whose weights are in a wheel, the same with its points placed by the parser, and the parser alone, over windows of a
pyramid. Run from the project's root:

    python -m benchmarks.face_detector --parser FILE --photos FOLDER [--masks FOLDER] [--check]

Limit: 95 of 100 by the detector with the parser's points.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import harness
from sofgan.errors import InputError
from sofgan.images import to_network_range
from sofgan.labels import BROW, CELEBAMASK_NAMES, EYE, L_LIP, L_NOSE, R_NOSE, U_LIP
from sofgan.parsing.face_points import ParsedPoints, points_in_map
from sofgan.parsing.parser import FaceParser, load_parser
from sofgan.photos.alignment import Face
from sofgan.photos.packaged_detector import PackagedDetector
from sofgan.seeds import numpy_generator

NEAR, LEAST_SHARE = 0.05, 0.95
USUAL_EYES = np.array([[0.375, 0.48], [0.625, 0.48]])  # of FFHQ's crop, in its sides
CANVAS = 1.6  # sides of the photo
# Windows of the pyramid: sides by the photo's, and how far the next one is, in sides.
WINDOWS, WINDOW_STEP = (1.0, 0.7, 0.5, 0.35), 0.25
WINDOW_TURNS = (0, 25, -25)  # degrees
FACE_PARTS = (BROW, EYE, R_NOSE, L_NOSE, U_LIP, L_LIP)


class Pyramid:
    """A finder by the parser alone: the window of the photo whose map is most like a face in the middle."""

    batch, missing = 1, "no face found"

    def __init__(self, parser: FaceParser):
        self.parser, self.refining = parser, ParsedPoints(None, parser)

    def __call__(self, names, photos) -> list[Face | None]:
        return [self._find(photo) for photo in photos]

    def _find(self, photo: Image.Image) -> Face | None:
        best = (0.0, None)
        for turn in WINDOW_TURNS:
            turned = photo.rotate(turn, Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))
            corners, sides = _windows(photo.size)
            crops = np.stack(
                [
                    np.asarray(turned.resize((128, 128), Image.Resampling.BILINEAR, box=(x, y, x + s, y + s)))
                    for (x, y), s in zip(corners, sides)
                ]
            )
            maps = np.concatenate(
                [self.parser.parse(to_network_range(crops[i : i + 16])) for i in range(0, len(crops), 16)]
            )
            # In the middle, where the parts of an aligned face are, and not around it.
            parts = np.isin(maps, FACE_PARTS)
            around = parts.mean((1, 2))
            parts[:, :32], parts[:, 104:], parts[:, :, :32], parts[:, :, 96:] = False, False, False, False
            score = 4 * parts.mean((1, 2)) - 3 * (around - parts.mean((1, 2)))
            index = int(score.argmax())
            if score[index] > best[0]:
                angle = np.radians(turn)
                rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                middle = np.array(photo.size) / 2
                points = np.r_[USUAL_EYES, [[0.4, 0.7], [0.6, 0.7]]] * sides[index] + corners[index]
                points = (points - middle) @ rotation.T + middle
                best = (score[index], Face(points[:2], points[2:]))
        if best[1] is None:
            return None
        face = best[1]
        for _ in range(2):
            face = self.refining.refined(photo, face)
        return face


def _windows(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    corners, sides = [], []
    for share in WINDOWS:
        side = share * min(size)
        steps = [
            np.linspace(0, extent - side, 1 + round((extent - side) / (WINDOW_STEP * side)))
            for extent in size
        ]
        found = np.stack(np.meshgrid(*steps), -1).reshape(-1, 2)
        corners.append(found)
        sides.append(np.full(len(found), side))
    return np.concatenate(corners), np.concatenate(sides)


def disturbed(photo: Image.Image, most_degrees: float, rng) -> tuple[Image.Image, np.ndarray]:
    """A photo turned, scaled and cut at random, and the transform (3, 3) of its points."""
    angle = np.radians(rng.uniform(-most_degrees, most_degrees))
    side = photo.width
    scale = np.exp(rng.uniform(np.log(0.5), np.log(2.0)))
    width, height = (round(side * scale * extent) for extent in rng.uniform(1.0, CANVAS, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = np.eye(3)
    transform[:2, :2] = turn
    # The middle of the face may be off the canvas' middle by as much as leaves most of it inside.
    off = rng.uniform(-0.15, 0.15, 2) * side * scale
    transform[:2, 2] = np.array([width, height]) / 2 + off - turn @ (np.array([0.5, 0.55]) * side)
    wide = Image.fromarray(np.pad(np.asarray(photo), ((side, side), (side, side), (0, 0)), "reflect"))
    wide = wide.reduce(2) if scale < 0.7 else wide
    shrink = 2 if scale < 0.7 else 1
    back = np.diag([1 / shrink, 1 / shrink, 1]) @ (
        np.linalg.inv(transform) + [[0, 0, side], [0, 0, side], [0, 0, 0]]
    )
    return (
        wide.transform((width, height), Image.Transform.AFFINE, back[:2].ravel().tolist(), Image.Resampling.BICUBIC),
        transform,
    )  # fmt: skip


def true_eyes(photo: Image.Image, path: Path, masks: Path | None, parser: FaceParser) -> np.ndarray | None:
    """(2, 2) middles of the eyes, pixels, the left one in the photo first; None where they aren't both seen."""
    if masks is None:
        maps = parser.parse(to_network_range(np.array(photo)[None]), mirror=True)
        return points_in_map(maps[0], USUAL_EYES * photo.width)[0]
    mask = np.asarray(Image.open(masks / f"{path.stem}.png"))
    eyes = [np.argwhere(mask == CELEBAMASK_NAMES.index(name))[:, ::-1] + 0.5 for name in ("l_eye", "r_eye")]
    if min(map(len, eyes)) < 20:
        return None
    middles = np.stack([eye.mean(0) for eye in eyes]) * (photo.width / mask.shape[1])
    return middles[np.argsort(middles[:, 0])]


def parser():
    found = harness.parser(__doc__, threads=1, seed=0)
    found.add_argument(
        "--parser", type=Path, required=True, help="of photos: parsers/photos.pt of a models folder"
    )
    found.add_argument("--photos", type=Path, required=True, help="folder of aligned photos")
    found.add_argument("--masks", type=Path, help="their masks, merged, in CelebAMask-HQ's order")
    found.add_argument("--count", type=int, default=100)
    found.add_argument("--degrees", type=float, default=30.0, help="of turns to either side")
    found.add_argument("--without-pyramid", action="store_true", help="which takes seconds a photo")
    return found


def main(arguments):
    paths = sorted(arguments.photos.glob("*.jpg"))
    if not paths:
        raise InputError(f"no .jpg in {arguments.photos}")
    face_parser, detector = load_parser(arguments.parser), PackagedDetector()
    finders = {"detector": detector, "detector, parser's points": ParsedPoints(detector, face_parser)}
    if not arguments.without_pyramid:
        finders["parser over a pyramid"] = Pyramid(face_parser)
    errors = {name: [] for name in finders}
    seconds = dict.fromkeys(finders, 0.0)
    for number, path in enumerate(paths):
        if len(errors["detector"]) == arguments.count:
            break
        photo = Image.open(path).convert("RGB")
        truth = true_eyes(photo, path, arguments.masks, face_parser)
        if truth is None:
            continue
        shown, transform = disturbed(
            photo, arguments.degrees, numpy_generator(arguments.seed, "face detector", number)
        )
        truth = truth @ transform[:2, :2].T + transform[:2, 2]
        for name, finder in finders.items():
            began = time.perf_counter()
            face = finder([path.name], [shown])[0]
            seconds[name] += time.perf_counter() - began
            far = np.inf if face is None else np.linalg.norm(face.eyes - truth, axis=1).max()
            errors[name].append(far / np.linalg.norm(truth[1] - truth[0]))
    shares = {}
    for name, values in errors.items():
        values = np.array(values)
        shares[name] = (values < NEAR).mean()
        print(
            f"{name}: eyes within {NEAR:.0%} in {(values < NEAR).sum()} of {len(values)} photos, within 10 % in "
            f"{(values < 0.1).sum()}, median error {np.median(values):.1%}, none found in {np.isinf(values).sum()}, "
            f"{seconds[name] / len(values):.3f} s a photo"
        )
    return [harness.verdict("share of photos", shares["detector, parser's points"], at_least=LEAST_SHARE)]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
