"""What benchmarks work on: label maps of a set with masks."""

import numpy as np
from PIL import Image

from benchmarks.inputs.portraits import mask_maps
from sofgan.labels import CELEBAMASK_NAMES, EYE, HAIR, SKIN


def test_masks_are_spread_over_the_set_and_resized(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    parts = [CELEBAMASK_NAMES.index(name) for name in ("skin", "l_eye", "r_eye", "hair", "skin")]
    for number, part in enumerate(parts):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"images/{number}.jpg")
        mask = np.zeros((24, 24), np.uint8)
        mask[6:18, 6:18] = part
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
    maps = mask_maps(tmp_path, 3, 8)
    assert [np.unique(label_map).tolist() for label_map in maps] == [[0, SKIN], [0, EYE], [0, SKIN]]
    assert (maps[:, 2:6, 2:6] > 0).all()
    assert int((maps > 0).sum()) == 3 * 16
    assert HAIR in mask_maps(tmp_path, 9, 8)
