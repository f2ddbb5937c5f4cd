"""Heads are seen as photographed people were: their cameras, crops and shoulders, rare turns as often as wanted."""

import dataclasses

import numpy as np
import pytest

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.errors import InputError
from sofgan.labels import HAIR
from sofgan.siw.config import FramingConfig
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.portrait_poses import Poses, draw_poses, people_poses
from sofgan.siw.shoulders import USUAL, add_shoulders

FRAMING = Framing(25.0, 0.05, 4.0)
PEOPLE = FramingConfig(
    cameras="people",
    yaw_balance=0.0,
    views_per_head=1,
    yaw_degrees=10.0,
    pitch_degrees=5.0,
    reference_maps=1,
    reference_heads=1,
)


def people(yaws_degrees) -> Poses:
    yaws = np.radians(np.array(yaws_degrees, float))
    count = len(yaws)
    intrinsics = np.tile(cameras.intrinsics_from_fov(40.0), (count, 1, 1))
    intrinsics[:, 0, 2] += np.linspace(-0.1, 0.1, count)  # each its own crop
    return Poses(cameras.orbit(yaws, np.zeros(count), 4.0), intrinsics, np.tile(USUAL, (count, 1)))


def drawn_yaws(balance: float, count: int = 4000) -> np.ndarray:
    config = dataclasses.replace(PEOPLE, yaw_balance=balance)
    few = people([0.0] * 8 + [1.0, -32.0])  # nine look ahead, one to the right
    return np.degrees(draw_poses(FRAMING, config, few, count, np.random.default_rng(0)).yaws)


def test_turns_come_as_they_occur_or_evenly():
    assert (np.abs(drawn_yaws(0.0)) > 30).mean() == pytest.approx(0.1, abs=0.02)
    assert (np.abs(drawn_yaws(1.0)) > 30).mean() == pytest.approx(0.5, abs=0.03)
    assert (np.abs(drawn_yaws(0.5)) > 30).mean() == pytest.approx(0.25, abs=0.03)


def test_a_persons_camera_crop_and_shoulders_stay_together():
    known = people(np.linspace(-30, 30, 7))
    known = dataclasses.replace(known, shoulders=np.linspace(0.1, 0.7, 7)[:, None] * np.ones(3))
    drawn = draw_poses(FRAMING, PEOPLE, known, 50, np.random.default_rng(1))
    for index in range(50):
        (row,) = np.flatnonzero((known.shoulders == drawn.shoulders[index]).all(1))
        np.testing.assert_array_equal(drawn.cam2world[index], known.cam2world[row])
        np.testing.assert_array_equal(drawn.intrinsics[index], known.intrinsics[row])
    assert len(np.unique(drawn.shoulders[:, 0])) == 7
    with pytest.raises(ValueError, match="want poses of people"):
        draw_poses(FRAMING, PEOPLE, None, 1, np.random.default_rng(0))


def inversion(folder, joined) -> tuple:
    """A file as invert_masks writes it: heads of hair, and photos of them with shoulders."""
    shapes = [(0.1, 1.3, 0.8), (-0.2, 0.75, 1.2)]
    poses = people([10.0, -20.0])
    fitted = np.zeros((2, 128, 128), np.uint8)
    fitted[:, :60, 40:88] = HAIR
    labels = np.stack([add_shoulders(head, poses.camera(i, 128), shapes[i]) for i, head in enumerate(fitted)])
    file = folder / "inversion.npz"
    np.savez(
        file, joined=np.array(joined), labels=labels, fitted=fitted, cam2world=poses.cam2world,
        intrinsics=poses.intrinsics,
    )  # fmt: skip
    return file, poses, shapes


def test_people_are_those_whose_heads_joined_the_field_with_their_own_shoulders(tmp_path):
    file, poses, shapes = inversion(tmp_path, [True, True])
    found = people_poses(file)
    np.testing.assert_allclose(found.shoulders, shapes)
    np.testing.assert_array_equal(found.cam2world, poses.cam2world)
    camera = found.camera(1, 32)
    assert isinstance(camera, Camera) and camera.size == 32
    np.testing.assert_array_equal(camera.intrinsics, poses.intrinsics[1])

    file, poses, shapes = inversion(tmp_path, [False, True])
    np.testing.assert_allclose(people_poses(file).shoulders, shapes[1:])
    with pytest.raises(InputError, match="lower invert_masks.least_miou"):
        people_poses(inversion(tmp_path, [False, False])[0])
