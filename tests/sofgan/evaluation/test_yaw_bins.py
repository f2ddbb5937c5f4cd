import numpy as np
import pytest

from sofgan.evaluation import yaw_bins
from sofgan.evaluation.yaw_bins import (
    BINS,
    LEAST,
    YawOfMaps,
    camera_yaws,
    compare_bins,
    map_statistics,
    rows_by_bin,
)
from sofgan.labels import EYE, R_NOSE, SKIN, mirror
from sofgan.siw.portrait_camera import Framing


def face(yaw_degrees, size=64, radius=0.8, shift=0.0):
    """Map of a ball of skin with eyes and a nose, turned by an angle."""
    labels = np.zeros((size, size), np.uint8)
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    x = x - shift
    labels[x**2 + y**2 < radius**2] = SKIN
    # The camera stands at +X for positive yaw, so the face is turned to the image's left.
    for label, angle, height, width in ((R_NOSE, 0, 0.1, 0.1), (EYE, -25, -0.2, 0.12), (EYE, 25, -0.2, 0.12)):
        turn = np.radians(angle - yaw_degrees)
        place = radius * np.sin(turn) * np.sqrt(1 - height**2)
        if np.cos(turn) > 0:
            labels[(abs(x - place) < width * radius * np.cos(turn)) & (abs(y - height) < 0.1)] = label
    return labels


@pytest.fixture(scope="module")
def turned():
    yaws = np.random.default_rng(0).uniform(-35, 35, 200)
    return np.stack([face(yaw) for yaw in yaws]), yaws


def test_yaw_is_told_by_maps_it_was_not_fitted_to(turned):
    labels, yaws = turned
    rule = YawOfMaps(labels[:150], yaws[:150])
    assert np.abs(rule(labels[150:]) - yaws[150:]).mean() < 2.0 < 15 < np.abs(yaws).mean()
    assert YawOfMaps.error(labels, yaws) < 2.0


def test_the_error_is_of_maps_that_the_rule_has_not_seen():
    """Maps that tell nothing are fitted all the same, if they are few."""
    generator = np.random.default_rng(0)
    labels, yaws = generator.integers(0, 17, (16, 12, 12), dtype=np.uint8), generator.uniform(-30, 30, 16)
    halves = [(labels[half::2], yaws[half::2]) for half in (0, 1)]
    fitted = np.mean([np.abs(YawOfMaps(*half)(half[0]) - half[1]) for half in halves])
    assert YawOfMaps.error(labels, yaws) > 1.2 * fitted


def test_a_mirrored_map_is_turned_as_far_the_other_way(turned):
    labels, yaws = turned
    np.testing.assert_allclose(map_statistics(mirror(labels)), -map_statistics(labels), atol=1e-12)


def test_neither_place_nor_size_of_the_face_changes_its_yaw(turned):
    rule = YawOfMaps(*turned)
    for other in (face(20.0, 128), face(20.0, 64, 0.6), face(20.0, 64, 0.6, 0.2)):
        assert abs(rule(other[None])[0] - 20) < 3.5


def test_maps_without_a_face_are_of_no_yaw(turned):
    assert (YawOfMaps(*turned)(np.zeros((2, 32, 32), np.uint8)) == 0).all()
    assert (YawOfMaps(np.zeros((3, 8, 8), np.uint8), np.arange(3))(turned[0]) == 0).all()


def test_maps_are_read_some_at_a_time(turned, monkeypatch):
    class Maps:
        def __len__(self):
            return len(turned[0])

        def labels(self, index):
            return turned[0][index]

    monkeypatch.setattr(yaw_bins, "AT_ONCE", 64)
    rule = YawOfMaps(*turned)
    np.testing.assert_allclose(rule.of_all(Maps()), rule(turned[0]))


def test_cameras_tell_their_yaw():
    yaws = np.array([-80.0, -10.0, 0.0, 35.0])
    poses = Framing(28.0, 0.1, 4.0).cam2world(np.radians(yaws), np.full(4, 0.1))
    np.testing.assert_allclose(camera_yaws(poses), yaws, atol=1e-6)


def test_each_picture_is_in_one_bin_whichever_way_it_is_turned():
    rows = rows_by_bin(np.array([-30.0, 9.9, -10.0, 0.0, 25.0, 90.0]))
    assert {name: found.tolist() for name, found in rows.items()} == {
        "0_10": [1, 3],
        "10_25": [2],
        "25_up": [0, 4, 5],
    }
    assert list(rows) == list(BINS)


def test_pictures_are_compared_with_those_that_are_turned_as_far():
    """Features of which one tells the yaw: within a bin the sets are alike, over all they are not."""
    generator = np.random.default_rng(0)

    def features(count, yaws):
        return {"fd_x": np.stack([np.abs(yaws), *generator.normal(size=(2, count))], 1).astype(np.float32)}

    yaws = [np.concatenate([generator.uniform(0, 10, n), generator.uniform(10, 25, m)]) for n, m in
            ((30, 90), (60, 30), (200, 50))]  # fmt: skip
    sets = [features(len(values), values) for values in yaws]
    found = compare_bins(*sets, yaws, "_sof_yaw", 0)
    assert found["n_a_side_sof_yaw_0_10"] == 30 and found["n_a_side_sof_yaw_10_25"] == 30
    assert set(found) == {
        f"{name}_sof_yaw_{bin}{end}" for bin in ("0_10", "10_25") for name, end in
        (("n_a_side", ""), *(("fd_x", floor + end) for floor in ("", "_floor") for end in ("", "_low", "_high")))
    }  # fmt: skip
    assert max(value for key, value in found.items() if key.startswith("fd_x")) < 8
    few = [values[: LEAST - 1] for values in yaws]
    assert compare_bins(*sets, [few[0], *yaws[1:]], "_sof_yaw", 0) == {}
