"""A field whose heads are balls: where a pixel's point lies is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sofgan import cameras
from sofgan.labels import BACKGROUND, HAIR, SKIN, U_LIP
from sofgan.siw.portrait_camera import Framing

RADIUS = 0.8


class BallField:
    """Skin in front, hair behind and above, a patch of lips."""

    device = torch.device("cpu")

    def prepare(self, code):
        return code

    def render(self, code, camera):
        points, depth = ball_points(camera)
        x, y, z = np.moveaxis(points, -1, 0)
        labels = np.where((z < 0.1) | (y > 0.4), HAIR, SKIN)
        labels = np.where((z > 0.6) & (abs(x) < 0.25) & (abs(y + 0.2) < 0.12), U_LIP, labels)
        labels = np.where(depth > 0, labels, BACKGROUND).astype(np.uint8)
        return SimpleNamespace(
            labels=torch.from_numpy(labels), depth=torch.from_numpy(depth.astype(np.float32))
        )


def ball_points(camera):
    """Points (R, R, 3) and camera depths (R, R) of the ball that a camera of arrays sees; depth 0 beside it."""
    origin, directions = cameras.rays(camera)
    a, b = (directions**2).sum(-1), (directions * origin).sum(-1)
    root = b**2 - a * ((origin**2).sum(-1) - RADIUS**2)
    depth = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0.0)
    return origin + depth[..., None] * directions, depth


@pytest.fixture
def field():
    return BallField()


@pytest.fixture
def framing():
    return Framing(fov_degrees=28.0, target_y=0.0, distance=4.0)
