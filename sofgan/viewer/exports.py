"""Files of a scene: a picture, a film around the head, a mesh with the colors of painted views."""

from collections.abc import Callable

import numpy as np

from sofgan.apps import camera_paths
from sofgan.apps.engine import Engine
from sofgan.apps.mesh import HeadMesh
from sofgan.apps.painted_mesh import painted_mesh
from sofgan.apps.results import Film, Result
from sofgan.progress import SILENT, Progress
from sofgan.viewer.scene import Scene

FRAMES, FPS, YAW = 48, 24, 40.0  # of a film: frames of the loop, frames a second, degrees to either side


def picture(engine: Engine, scene: Scene, size: int, progress: Progress = SILENT) -> np.ndarray:  # noqa: ARG001
    """The scene painted from the field's own view: (R, R, 3) uint8."""
    return engine.picture(scene.code_of(engine), scene.look_of(engine), scene.camera_of(engine, size))


def film(engine: Engine, scene: Scene, size: int, progress: Progress = SILENT) -> Film:
    """A loop around the head at the scene's height and zoom."""
    code, look = scene.code_of(engine), scene.look_of(engine)
    angles = camera_paths.orbit(FRAMES, YAW, scene.pitch)
    cameras = [engine.camera(angle.yaw, angle.pitch, size, scene.zoom) for angle in angles]
    return Film(engine.pictures(((code, look, camera) for camera in cameras), progress), FPS)


def mesh(engine: Engine, scene: Scene, size: int, progress: Progress = SILENT) -> HeadMesh:  # noqa: ARG001
    """The head, each vertex in the color that painted views have there."""
    return painted_mesh(engine, scene.code_of(engine), scene.look_of(engine), progress)


MAKERS: dict[str, Callable[..., Result]] = {"picture": picture, "film": film, "mesh": mesh}
