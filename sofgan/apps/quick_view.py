"""Label maps of one head at interactive rates: rays walk through a baked grid, in compiled code.

`sofgan.apps.baked` has the same walk in torch, sample by sample for all rays at once. Here each ray walks alone, leaps
over empty space by the distance to the next cell that is not empty, and stops where nothing more would be seen. It is
what a head is turned by; what is kept is rendered from the field itself.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from sofgan.apps.baked import BakedCode
from sofgan.cameras import Camera
from sofgan.compiled import compiled
from sofgan.labels import BACKGROUND, CLOTH
from sofgan.siw.shoulders import CENTER, RADII, USUAL
from sofgan.sof.occupancy import CLOSED, SKIP
from sofgan.sof.render import CLASS_DEPTH, SAMPLES

STEP = 2 / SAMPLES  # head units between samples: how much of a ray passes depends on it
LOG_CLOSED, LOG_HALF = math.log(CLOSED), math.log(0.5)


@dataclass(frozen=True)
class QuickHead:
    """A baked head, laid out for walks.

    Attributes:
        log_odds: (N, N, N) float32 of being solid, order z, y, x.
        index: (N, N, N) int32 row of each node in `rows`.
        rows: (R, K - 1) float32 log probabilities of the classes but the background.
        best: (R,) uint8 most probable class of each row.
        free: (G, G, G) uint8 cells, along an axis or a diagonal, from each cell to the next one that is not empty; 0
            where it is not.
    """

    log_odds: np.ndarray
    index: np.ndarray
    rows: np.ndarray
    best: np.ndarray
    free: np.ndarray

    def view(self, camera: Camera, shoulders=USUAL) -> tuple[np.ndarray, np.ndarray]:
        """Labels (size, size) uint8 and camera depth (size, size) float32, 0 where nothing is hit.

        Args:
            camera: one, perspective, of arrays.
            shoulders: their shape (3,), see `sofgan.siw.shoulders`; None: none.
        """
        pose, intrinsics = (
            np.ascontiguousarray(v, np.float64) for v in (camera.cam2world, camera.intrinsics)
        )
        labels = np.empty((camera.size, camera.size), np.uint8)
        depth = np.empty((camera.size, camera.size), np.float32)
        grid = (self.log_odds, self.index, self.rows, self.best, self.free)
        drop, width, height = (float(value) for value in shoulders or USUAL)
        body = (CENTER - (0.0, drop, 0.0), RADII * (width, height, 1.0), shoulders is not None)
        _walk(pose, intrinsics, grid, body, labels, depth)
        return labels, depth


def quick_head(baked: BakedCode) -> QuickHead:
    """The head of a baked code."""
    cells = baked.occupancy.cells.cpu().numpy()
    free = ndimage.distance_transform_cdt(cells == SKIP, metric="chessboard").clip(0, 255).astype(np.uint8)
    best = (baked.rows.argmax(1) + 1).to(torch.uint8)
    arrays = (value.cpu().numpy() for value in (baked.log_odds, baked.index, baked.rows, best))
    return QuickHead(*(np.ascontiguousarray(value) for value in arrays), np.ascontiguousarray(free))


@compiled
def _corners(side, x, y, z):
    """First node and shares of the way to the next one, of a point in a grid over [-1, 1]."""
    x = min(max((x + 1) * 0.5 * side - 0.5, 0.0), side - 1.0)
    y = min(max((y + 1) * 0.5 * side - 0.5, 0.0), side - 1.0)
    z = min(max((z + 1) * 0.5 * side - 0.5, 0.0), side - 1.0)
    i, j, k = min(int(x), side - 2), min(int(y), side - 2), min(int(z), side - 2)
    return i, j, k, x - i, y - j, z - k


@compiled
def _odds(log_odds, x, y, z):
    """Log odds of being solid at a point, interpolated."""
    i, j, k, x, y, z = _corners(log_odds.shape[0], x, y, z)
    low = (log_odds[k, j, i] * (1 - x) + log_odds[k, j, i + 1] * x) * (1 - y)
    low += (log_odds[k, j + 1, i] * (1 - x) + log_odds[k, j + 1, i + 1] * x) * y
    high = (log_odds[k + 1, j, i] * (1 - x) + log_odds[k + 1, j, i + 1] * x) * (1 - y)
    high += (log_odds[k + 1, j + 1, i] * (1 - x) + log_odds[k + 1, j + 1, i + 1] * x) * y
    return low * (1 - z) + high * z


@compiled
def _class(grid, x, y, z, scores):
    """Most probable class, background aside, at a point; log probabilities are interpolated."""
    _, index, rows, best, _ = grid
    i, j, k, x, y, z = _corners(index.shape[0], x, y, z)
    first, alike = best[index[k, j, i]], True
    for corner in range(1, 8):
        alike &= best[index[k + (corner >> 2), j + (corner >> 1 & 1), i + (corner & 1)]] == first
    if alike:  # Whatever is between them.
        return first
    scores[:] = 0.0
    for corner in range(8):
        a, b, c = corner >> 2, corner >> 1 & 1, corner & 1
        share = (x if c else 1 - x) * (y if b else 1 - y) * (z if a else 1 - z)
        row = index[k + a, j + b, i + c]
        for n in range(len(scores)):
            scores[n] += share * rows[row, n]
    return scores.argmax() + 1


@compiled
def _log_empty(odds):
    """Log probability of being empty."""
    return -odds - math.log1p(math.exp(-odds)) if odds > 0 else -math.log1p(math.exp(odds))


@compiled
def _ball(origin, direction, length):
    """Distances along a ray at which it enters and leaves the ball, in front of the camera; the first is higher where
    it misses."""
    along, away = 0.0, 0.0
    for n in range(3):
        along += origin[n] * direction[n] / length
        away += origin[n] * origin[n]
    inside = along * along - away + 1
    if inside <= 0:
        return 1.0, 0.0
    root = math.sqrt(inside)
    return max(-along - root, 0.0), -along + root


@compiled
def _ray(origin, direction, length, nearest, grid, scores):
    """Label and camera depth of what a ray of the direction (3,), that long a unit of depth, meets in the ball.

    Samples lie at distances that all rays share, `nearest` being the first ray's that enters the ball.
    """
    near, end = _ball(origin, direction, length)
    if near > end:
        return BACKGROUND, 0.0
    log_odds, free = grid[0], grid[4]
    ox, oy, oz = origin[0], origin[1], origin[2]
    dx, dy, dz = direction[0] / length, direction[1] / length, direction[2] / length
    distance = nearest + (math.ceil((near - nearest) / STEP - 0.5) + 0.5) * STEP
    cell = 2.0 / (free.shape[0] - 2)  # beside its border
    log_passed, before, followed, depth = 0.0, 0.0, False, 0.0
    while distance < end:
        x, y, z = ox + distance * dx, oy + distance * dy, oz + distance * dz
        leap = free[int((z + 1) / cell + 1), int((y + 1) / cell + 1), int((x + 1) / cell + 1)]
        if leap:
            # Whatever its direction, a ray stays for that long in empty cells; by whole steps, as if it had walked.
            distance += max(1, int((leap - 1) * cell / STEP)) * STEP
            followed = False
            continue
        odds = _odds(log_odds, x, y, z)
        log_passed += _log_empty(odds)
        if depth == 0 and log_passed < LOG_HALF:
            share = before / (before - odds) if followed and before < 0 < odds else 1.0
            depth = distance - (1 - share) * STEP
        if log_passed < LOG_CLOSED:
            break
        before, followed = odds, True
        distance += STEP
    if depth == 0:
        return BACKGROUND, 0.0
    at = depth + CLASS_DEPTH
    return _class(grid, ox + at * dx, oy + at * dy, oz + at * dz, scores), depth / length


@compiled
def _body_depth(origin, direction, center, radii):
    """Camera depth at which a ray meets the ellipsoid, 0 where it passes."""
    a, b, c = 0.0, 0.0, -1.0
    for n in range(3):
        start, step = (origin[n] - center[n]) / radii[n], direction[n] / radii[n]
        a += step * step
        b += step * start
        c += start * start
    inside = b * b - a * c
    if inside <= 0:
        return 0.0
    root = math.sqrt(inside)
    if root - b <= 0:
        return 0.0
    near = (-b - root) / a
    return near if near > 0 else (-b + root) / a


@compiled
def _direction(pose, intrinsics, x, y, direction):
    """Fill the direction (3,), of camera depth 1, through an image point in image widths; its length."""
    right, down = (x - intrinsics[0, 2]) / intrinsics[0, 0], (y - intrinsics[1, 2]) / intrinsics[1, 1]
    for n in range(3):
        direction[n] = pose[n, 0] * right + pose[n, 1] * down + pose[n, 2]
    return math.sqrt(right * right + down * down + 1)


@compiled
def _walk(pose, intrinsics, grid, body, labels, depth):
    """Fill labels and depth (size, size) as a camera sees them."""
    center, radii, there = body
    size = labels.shape[0]
    origin, direction = pose[:3, 3].copy(), np.empty(3)
    scores = np.empty(grid[2].shape[1], np.float32)
    nearest = math.inf
    for pixel in range(size * size):
        x, y = (pixel % size + 0.5) / size, (pixel // size + 0.5) / size
        length = _direction(pose, intrinsics, x, y, direction)
        near, end = _ball(origin, direction, length)
        if near <= end:
            nearest = min(nearest, near)
    for pixel in range(size * size):
        x, y = (pixel % size + 0.5) / size, (pixel // size + 0.5) / size
        length = _direction(pose, intrinsics, x, y, direction)
        label, found = _ray(origin, direction, length, nearest, grid, scores)
        if label == BACKGROUND and there:
            found = _body_depth(origin, direction, center, radii)
            label = CLOTH if found > 0 else BACKGROUND
        labels[pixel // size, pixel % size] = label
        depth[pixel // size, pixel % size] = found
