"""How sampled heads are seen: from anywhere around a portrait's camera, or as photographed people were.

Of people whose label maps were inverted, camera, crop and shoulders are known (paper, section 6.2). A head that is seen
as one of them was stands in a portrait as people do: with their turns and nods, near or far, off the middle.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.labels import resize
from sofgan.runtime import map_pieces
from sofgan.siw.config import FramingConfig
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.shoulders import USUAL, fit_shoulders

SHOULDERS_AT = 64  # pixels at which shoulders are fitted
YAW_BIN_DEGREES = 5.0  # in which people's turns, to either side, are counted


@dataclass(frozen=True)
class Poses:
    """Cameras of N views and the shoulders that they show.

    Attributes:
        cam2world: (N, 4, 4) float64.
        intrinsics: (N, 3, 3) float64, in image widths.
        shoulders: (N, 3) float64 shapes, see `sofgan.siw.shoulders`.
    """

    cam2world: np.ndarray
    intrinsics: np.ndarray
    shoulders: np.ndarray

    def __len__(self) -> int:
        return len(self.cam2world)

    def rows(self, rows) -> "Poses":
        """Some of them, by a slice or an array of indices."""
        return Poses(self.cam2world[rows], self.intrinsics[rows], self.shoulders[rows])

    def camera(self, index: int, size: int) -> Camera:
        """One of the cameras, for pictures of so many pixels along a side."""
        return Camera(self.cam2world[index], self.intrinsics[index], size)

    @property
    def yaws(self) -> np.ndarray:
        """(N,) radians, positive to the subject's left."""
        return np.arctan2(self.cam2world[:, 0, 3], self.cam2world[:, 2, 3])


def people_poses(inversion: Path) -> Poses:
    """Poses of the people whose maps were fitted so well that their heads joined the field.

    Args:
        inversion: the file `inversion.npz` that the stage `invert_masks` writes.

    Raises:
        InputError: no map was.
    """
    with np.load(inversion) as found:
        good = np.flatnonzero(found["joined"])
        labels, fitted = found["labels"][good], found["fitted"][good]
        cam2world, intrinsics = (found[name][good].astype(np.float64) for name in ("cam2world", "intrinsics"))
    if not len(good):
        raise InputError(
            f"no map of {inversion} was fitted well enough, so nothing tells how people are seen: set "
            "sample_conditions.framing.cameras to uniform, or lower invert_masks.least_miou"
        )
    size = min(labels.shape[1], SHOULDERS_AT)
    labels, fitted = resize(labels, size), resize(fitted, size)

    def shape(index: int) -> np.ndarray:
        camera = Camera(cam2world[index], intrinsics[index], size)
        return fit_shoulders(labels[index], fitted[index], camera)

    return Poses(cam2world, intrinsics, np.stack(list(map_pieces(shape, range(len(good))))))


def draw_poses(
    framing: Framing, config: FramingConfig, people: Poses | None, count: int, rng: np.random.Generator
) -> Poses:
    """Poses (count) as the configuration has them.

    Args:
        framing: whose camera is orbited where cameras are uniform.
        people: of `people_poses`; they are drawn from where cameras are people's.

    Raises:
        ValueError: cameras are people's, but there are none.
    """
    if config.cameras == "people":
        if people is None:
            raise ValueError("cameras of people want poses of people")
        return people.rows(rng.choice(len(people), count, p=_weights(people.yaws, config.yaw_balance)))
    yaw = np.radians(rng.uniform(-config.yaw_degrees, config.yaw_degrees, count))
    pitch = np.radians(rng.uniform(-config.pitch_degrees, config.pitch_degrees, count))
    return usual_poses(framing, yaw, pitch)


def usual_poses(framing: Framing, yaw, pitch) -> Poses:
    """Poses of a framing's camera at angles (N,) in radians, with the usual shoulders."""
    cam2world = framing.cam2world(yaw, pitch)
    count = len(cam2world)
    return Poses(cam2world, np.tile(framing.intrinsics, (count, 1, 1)), np.tile(USUAL, (count, 1)))


def _weights(yaws: Iterable[float], balance: float) -> np.ndarray:
    """(N,) probabilities that add up to 1: people of rare turns are drawn so much more often that with a balance of 1
    each turn, to either side, comes as often as any other; 0: all people alike."""
    bins = (np.degrees(np.abs(yaws)) // YAW_BIN_DEGREES).astype(int)
    weights = np.bincount(bins)[bins] ** -float(balance)
    return weights / weights.sum()
