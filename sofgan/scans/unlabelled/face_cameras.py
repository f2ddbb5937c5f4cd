"""Cameras around a face of which place and axes are known."""

import numpy as np

from sofgan import cameras
from sofgan.scans.face_frame import FaceFrame

FOV_DEGREES = 18.0  # As far from the head as portraits are taken.


def portrait_cameras(frame: FaceFrame, yaw: np.ndarray, pitch: np.ndarray, zoom: float = 1.06) -> np.ndarray:
    """Cameras (N, 4, 4) around a face that frame it as FFHQ does, `zoom` times as wide, in the scan's axes and unit."""
    target = frame.rotation @ (frame.eyes + 0.1 * (frame.mouth - frame.eyes))
    side = frame.portrait_side() * zoom
    radius = side / 2 / np.tan(np.radians(FOV_DEGREES) / 2)
    pose = cameras.orbit(yaw, pitch, radius, target)
    turn = np.eye(4)
    turn[:3, :3] = frame.rotation.T
    return turn @ pose
