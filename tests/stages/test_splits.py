"""One split decides for all stages: what is held out is trained on by none of them."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from sofgan.photos.store import HELD_OUT, TRAIN, VALIDATION, PhotoStoreWriter
from sofgan.siw.config import TrainSiw
from sofgan.sof.config import InvertMasks
from stages import invert_masks, params, train_siw

SPLITS = [HELD_OUT, TRAIN, VALIDATION, HELD_OUT, TRAIN, TRAIN, HELD_OUT]


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """Each photo and map is of one value, its number."""
    monkeypatch.chdir(tmp_path)
    for path in ("data/photos/ffhq", "data/labels/ffhq", "data/photos/celebamask"):
        with PhotoStoreWriter(tmp_path / path) as writer:
            for index, split in enumerate(SPLITS):
                content = io.BytesIO()
                Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(content, "PNG")
                writer.add(str(index), content.getvalue(), np.full((8, 8), index, np.uint8), split)


def block(name: str):
    return params.read_params(name, params.Path(__file__).parents[2] / "params.yaml")


@pytest.mark.parametrize(
    "maps, parsed, keys",
    [
        (9, 0, ["celebamask/1", "celebamask/2", "celebamask/4", "celebamask/5"]),
        (2, 9, ["celebamask/1", "celebamask/5", "ffhq/1", "ffhq/2", "ffhq/4", "ffhq/5"]),
        (0, 2, ["ffhq/1", "ffhq/5"]),
    ],
)
def test_heads_are_inverted_from_none_that_is_held_out(stores, maps, parsed, keys):
    config: InvertMasks = dataclasses.replace(block("invert_masks"), maps=maps, parsed_maps=parsed)
    found, labels = invert_masks.photo_maps(config)
    assert found == keys and labels[:, 0, 0].tolist() == [int(key[-1]) for key in keys]


def test_the_generator_learns_from_none_that_is_held_out(stores):
    config: TrainSiw = block("train_siw")
    sources = [
        *train_siw._photos(config, 1)[:2],
        *(train_siw._maps(config, path, 1) for path in train_siw.MAPS.values()),
    ]
    for source in sources:
        values = source.fetch(np.arange(len(source))).reshape(len(source), -1)[:, 0].tolist()
        assert values == [1, 2, 4, 5]
