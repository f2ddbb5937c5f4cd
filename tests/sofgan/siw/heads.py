"""Heads that are balls of blocks of classes, in several views each: where a point lies in every view is known."""

from pathlib import Path

import numpy as np

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.labels import NUM_CLASSES
from sofgan.siw.condition_store import TRAINING, ConditionHeads, Conditions, write_index, write_shard
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.portrait_poses import Poses
from sofgan.siw.shoulders import USUAL
from tests.sofgan.evaluation.conftest import ball_points


def ball_views(heads: int, views: int, size: int, seed: int = 0) -> tuple[Camera, np.ndarray, np.ndarray]:
    """Cameras (heads * views) around balls, each with its own crop, and what they see: points (..., S, S, 3) and
    camera depths (..., S, S)."""
    rng, count = np.random.default_rng(seed), heads * views
    yaw, pitch = rng.uniform(-0.35, 0.35, count), rng.uniform(-0.1, 0.1, count)
    intrinsics = np.tile(cameras.intrinsics_from_fov(28.0), (count, 1, 1))
    intrinsics[:, :2, 2] += rng.uniform(-0.05, 0.05, (count, 2))
    seen = Camera(cameras.orbit(yaw, pitch, 4.0), intrinsics, size)
    points, depth = map(np.stack, zip(*map(ball_points, seen)))
    return seen, points, depth


def write_heads(folder: Path, heads: int = 5, views: int = 2, size: int = 16) -> ConditionHeads:
    """A store of such heads, opened."""
    seen, points, depth = ball_views(heads, views, size)
    octants = ((points > 0) * (1, 2, 4)).sum(-1)
    own = np.random.default_rng(1).integers(1, NUM_CLASSES, (heads, 8)).repeat(views, 0)
    labels = np.take_along_axis(own, octants.reshape(len(own), -1), 1).reshape(depth.shape)
    labels = np.where(depth > 0, labels, 0)
    folder.mkdir()
    codes = np.zeros((len(labels), 3))
    poses = Poses(seen.cam2world, seen.intrinsics, np.tile(USUAL, (len(labels), 1)))
    entry = write_shard(folder, TRAINING, 0, labels, depth, poses, codes)
    write_index(folder, Framing(28.0, 0.0, 4.0), size, {TRAINING: [entry]}, views)
    return Conditions(folder).heads()
