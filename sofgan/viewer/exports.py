"""Files of a scene: a picture, a film around the head or through views, a mesh with the colors of painted views."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sofgan.apps import camera_paths
from sofgan.apps.drawn_maps import unpacked
from sofgan.apps.engine import Engine
from sofgan.apps.mesh import HeadMesh
from sofgan.apps.painted_mesh import painted_mesh
from sofgan.apps.results import Film, Result
from sofgan.errors import InputError
from sofgan.progress import SILENT, Progress
from sofgan.viewer.scene import Scene

FRAMES, FPS, YAW = 48, 24, 40.0  # of a film: frames of the loop, frames a second, degrees to either side
LARGEST = 256  # pixels of maps
Views = Sequence[Sequence[float]]  # yaw and pitch in degrees, and zoom, of each


def picture(
    engine: Engine, scene: Scene, size: int, progress: Progress = SILENT, views: Views = ()
) -> np.ndarray:  # noqa: ARG001
    """The scene painted from the field's own view, or from the map that was drawn: (R, R, 3) uint8."""
    if scene.drawn:
        return engine.paint(unpacked(scene.drawn), scene.look_of(engine))
    return engine.picture(scene.code_of(engine), scene.look_of(engine), scene.camera_of(engine, size))


def film(engine: Engine, scene: Scene, size: int, progress: Progress = SILENT, views: Views = ()) -> Film:
    """A loop through views, of which there are two or more, or around the head at the scene's height and zoom.

    Raises:
        InputError: the map is a drawn one.
    """
    _see_head(scene)
    code, look = scene.code_of(engine), scene.look_of(engine)
    if len(views) > 1:
        angles = camera_paths.through([camera_paths.Angle(*view) for view in views], FRAMES)
    else:
        angles = [replace(angle, zoom=scene.zoom) for angle in camera_paths.orbit(FRAMES, YAW, scene.pitch)]
    cameras = [engine.camera(angle.yaw, angle.pitch, size, angle.zoom) for angle in angles]
    return Film(engine.pictures(((code, look, camera) for camera in cameras), progress), FPS)


def mesh(engine: Engine, scene: Scene, size: int, progress: Progress = SILENT, views: Views = ()) -> HeadMesh:  # noqa: ARG001
    """The head, each vertex in the color that painted views have there.

    Raises:
        InputError: the map is a drawn one.
    """
    _see_head(scene)
    return painted_mesh(engine, scene.code_of(engine), scene.look_of(engine), progress)


def _see_head(scene: Scene) -> None:
    if scene.drawn:
        raise InputError("a drawn map is one view: drag to go back to the head, which has all sides")


MAKERS: dict[str, Callable[..., Result]] = {"picture": picture, "film": film, "mesh": mesh}
