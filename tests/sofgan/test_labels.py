import math

import numpy as np
import pytest
import torch

from sofgan import labels as L


def head_map(tilt: float = 0.0, size: int = 64) -> np.ndarray:
    """A crude face: brows, a nose ridge that leans by `tilt` pixels a row, lips."""
    labels = np.zeros((size, size), np.uint8)
    labels[8:60, 10:54] = L.SKIN
    for row in range(24, 40):
        middle = int(32 + tilt * (row - 24))
        labels[row, middle - 4 : middle + 4] = L.R_NOSE
    labels[18:20, 20:44] = L.BROW
    lips = int(32 + tilt * (46 - 24))
    labels[44:48, lips - 6 : lips + 6] = L.U_LIP
    return labels


def test_palette_colours_are_distinct():
    distance = np.abs(L.PALETTE[:, None].astype(int) - L.PALETTE[None]).sum(-1)
    assert distance[~np.eye(L.NUM_CLASSES, dtype=bool)].min() >= 40


def test_style_groups_partition_the_classes():
    assert sorted(c for group in L.STYLE_GROUPS for c in group) == list(range(L.NUM_CLASSES))
    shared = [{L.NAMES[c] for c in group} for group in L.STYLE_GROUPS if len(group) > 1]
    assert shared == [{"skin", "r_nose", "l_nose", "ear", "neck"}, {"u_lip", "l_lip"}]


@pytest.mark.parametrize(
    ("table", "ids"),
    [
        # g_mask.py of CelebAMask-HQ numbers its parts so, and facexlib's ParseNet was trained on that.
        (L.CELEBAMASK_TO_17, [0, 1, 4, 11, 3, 3, 2, 2, 9, 9, 6, 7, 8, 15, 16, 10, 13, 12, 14]),
        (L.PARSENET_TO_17, [0, 1, 4, 11, 3, 3, 2, 2, 9, 9, 6, 7, 8, 15, 16, 10, 13, 12, 14]),
        # face-parsing.PyTorch, whose BiSeNet facexlib has.
        (L.BISENET_TO_17, [0, 1, 2, 2, 3, 3, 11, 9, 9, 10, 4, 6, 7, 8, 12, 13, 14, 15, 16]),
    ],
)
def test_the_three_orders_are_those_of_their_sources(table, ids):
    assert table.tolist() == ids


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (L.CELEBAMASK_NAMES, L.CELEBAMASK_TO_17),
        (L.BISENET_NAMES, L.BISENET_TO_17),
        (L.PARSENET_NAMES, L.PARSENET_TO_17),
    ],
)
def test_the_three_orders_name_the_same_parts(names, table):
    assert sorted(names) == sorted(L.CELEBAMASK_NAMES)
    by_name = dict(zip(names, table.tolist()))
    assert by_name == dict(zip(L.CELEBAMASK_NAMES, L.CELEBAMASK_TO_17.tolist()))
    assert by_name["hair"] == L.HAIR and by_name["ear_r"] == L.EARRING and by_name["neck_l"] == L.NECKLACE
    assert set(table.tolist()) == set(range(17)) - {L.L_NOSE}


def test_remap_and_check_refuse_strangers():
    with pytest.raises(L.LabelError, match="190"):
        L.check_ids(np.array([[0, 190]], np.uint8), "scaled.png")
    with pytest.raises(L.LabelError):
        L.remap(np.array([19]), L.CELEBAMASK_TO_17)
    with pytest.raises(L.LabelError, match="float"):
        L.check_ids(np.zeros(2, np.float32), "x")


def test_split_nose_halves_a_frontal_nose_with_the_subjects_right_on_the_left():
    split = L.split_nose(head_map())
    assert (split == L.R_NOSE).sum() == (split == L.L_NOSE).sum() == 64
    assert np.nonzero(split == L.R_NOSE)[1].max() < np.nonzero(split == L.L_NOSE)[1].min()


def test_split_nose_is_at_the_median_column():
    nose = np.zeros((1, 12), np.uint8)
    nose[0, [1, 2, 3, 4, 11]] = L.R_NOSE  # The mean column is 4.2.
    assert np.flatnonzero(L.split_nose(nose) == L.L_NOSE).tolist() == [3, 4, 11]


def test_split_nose_follows_a_leaning_nose():
    tilted = L.split_nose(head_map(tilt=0.4))
    for row in range(24, 40):
        nose = np.isin(tilted[row], (L.R_NOSE, L.L_NOSE))
        right = (tilted[row] == L.R_NOSE).sum()
        assert 0.2 < right / nose.sum() < 0.8, row  # A vertical line would give one half whole rows.


def test_split_nose_keeps_maps_without_a_nose_and_does_not_write_its_input():
    labels = np.full((4, 4), L.HAIR, np.uint8)
    assert (L.split_nose(labels) == labels).all()
    noses = head_map()
    before = noses.copy()
    L.split_nose(noses)
    assert (noses == before).all()


def test_mirror_is_an_involution_and_keeps_the_subjects_right():
    split = L.split_nose(head_map(0.2))
    flipped = L.mirror(split)
    assert (L.mirror(flipped) == split).all()
    assert (flipped == L.R_NOSE).sum() == (split == L.L_NOSE).sum()
    assert np.nonzero(flipped == L.R_NOSE)[1].mean() < np.nonzero(flipped == L.L_NOSE)[1].mean()


def test_colorize_and_areas():
    labels = np.array([[0, 16], [1, 1]], np.uint8)
    assert L.colorize(labels).shape == (2, 2, 3)
    assert L.class_areas(labels)[L.SKIN] == 0.5 and L.class_areas(labels).sum() == 1
    labels[0, 0] = L.VOID
    assert L.class_areas(labels)[L.SKIN] == 0.5 and L.class_areas(labels).sum() == 0.75


@pytest.mark.parametrize(
    "shape, size", [((12, 12), 4), ((4, 4), 12), ((7, 7), 3), ((5, 9), 4), ((9, 5), 16), ((8, 8), 8)]
)
def test_resized_maps_take_the_pixel_that_each_center_falls_on(shape, size):
    maps = np.random.default_rng(0).integers(0, L.NUM_CLASSES, (2, *shape), dtype=np.uint8)
    side = min(shape)
    expected = np.empty((2, size, size), np.uint8)
    for row, column in np.ndindex(size, size):
        y, x = (
            math.floor((extent - side) / 2 + (i + 0.5) * side / size)
            for extent, i in zip(shape, (row, column))
        )
        expected[:, row, column] = maps[:, y, x]
    assert (L.resize(maps, size) == expected).all()
    assert (L.resize(torch.from_numpy(maps), size).numpy() == expected).all()
    assert (L.resize(maps[0], size) == expected[0]).all()


def test_maps_that_fit_stay_as_they_are():
    maps = np.zeros((4, 4), np.uint8)
    assert L.resize(maps, 4) is maps


def test_a_mirror_works_on_tensors_as_on_arrays():
    maps = np.random.default_rng(1).integers(0, L.NUM_CLASSES, (3, 5, 6), dtype=np.uint8)
    maps[0, :2] = L.VOID
    expected = maps[..., ::-1].copy()
    right, left = expected == L.R_NOSE, expected == L.L_NOSE
    expected[right], expected[left] = L.L_NOSE, L.R_NOSE
    assert (L.mirror(maps) == expected).all()
    assert (L.mirror(torch.from_numpy(maps)).numpy() == expected).all()
    assert L.mirror(torch.from_numpy(maps).long()).dtype == torch.int64
    assert (L.mirror(L.mirror(maps)) == maps).all()
