"""Photos without trained models: the starter's parser finds the face of a portrait, and verbs of photos use it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from sofgan.__main__ import main
from sofgan.apps import map_fit, photo_head
from sofgan.apps.engine import Engine
from sofgan.apps.photo import photo_parser, read_photo
from sofgan.apps.results import read_record
from sofgan.apps.style_fit import fit_look
from sofgan.avatars.portraits import make_portraits
from sofgan.files import read_json
from sofgan.labels import EYE, HAIR, L_LIP, R_NOSE, SKIN
from sofgan.starter.files import CARD, FOLDER, PARSER
from sofgan.starter.train_parser import RECIPE


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """A rendered photo of an invented person whom nothing has learned from."""
    config = replace(RECIPE.portraits, ffhq_photos=1, celebamask_photos=1, photos_per_identity=1, size_px=256)
    config = replace(config, yaw_std_degrees=0.0, pitch_std_degrees=0.0)
    folder = tmp_path_factory.mktemp("portraits") / "out"
    make_portraits(folder, config, seed=5, workers=1)
    return folder / "ffhq/00000.png"


def test_a_face_is_found_and_parsed(portrait):
    engine = Engine.starter()
    photo = read_photo(portrait, photo_parser(engine))
    eyes, nose, lip = (np.nonzero(photo.labels == name)[0].mean() for name in (EYE, R_NOSE, L_LIP))
    assert eyes < nose < lip and np.nonzero(photo.labels == HAIR)[0].min() < eyes
    assert 0.15 < (photo.labels == SKIN).mean() < 0.5


def test_the_verb_turns_it_and_records_the_parser(portrait, workdir, monkeypatch, capsys):
    monkeypatch.setattr(map_fit, "recipe", partial(map_fit.recipe, 2, 2, 2))
    monkeypatch.setattr(photo_head, "fit_look", partial(fit_look, steps=(2, 1)))
    assert main(["photo", str(portrait), "--frames", "4", "--threads", "1"]) == 0
    told = capsys.readouterr()
    assert "the starter model of the package" in told.err and "mIoU" in told.out
    with Image.open("photo/turned.webp") as film:
        assert film.n_frames > 1 and film.size == (64, 64)
    assert read_json(FOLDER / CARD)["sha256"][PARSER] in read_record("photo/sheet.png")["models"].values()
