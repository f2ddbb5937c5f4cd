"""Known features of heads: the starter's are read from its avatars, and a slider's amount changes what it names."""

import json
import threading

import numpy as np
import pytest

from sofgan.__main__ import main
from sofgan.apps.engine import Engine
from sofgan.errors import InputError
from sofgan.labels import EYEGLASS, HAT, L_LIP, MOUTH, U_LIP
from sofgan.viewer.scene import Scene
from sofgan.viewer.session import Session
from tests.small_models import small_siw, small_sof


def test_features_are_those_that_codes_tell(engine):
    found = engine.directions()
    assert {"hair_length", "smile", "open_mouth", "glasses", "hat"} <= set(found)
    assert all(one.reliability >= 0.3 for one in found.values())
    assert engine.directions() is found
    assert Engine(small_sof(), small_siw()).directions() == {}


@pytest.mark.parametrize(
    ("name", "classes", "seed"),
    [
        ("glasses", (EYEGLASS,), 3),
        ("hat", (HAT,), 3),
        ("open_mouth", (MOUTH,), 3),
        ("smile", (MOUTH, U_LIP, L_LIP), 3),
    ],
)
def test_more_of_a_feature_shows_more_of_it(engine, name, classes, seed):
    camera = engine.camera(0, 0, 64)
    areas = []
    for amount in (-1.0, 0.0, 1.0):
        scene = Scene(head=str(seed)).featured(name, amount)
        areas.append(int(np.isin(engine.view(scene.code_of(engine), camera).labels, classes).sum()))
    assert areas[2] > max(areas[1], areas[0]) + 5


def test_features_are_part_of_a_scene_and_of_its_record(engine, tmp_path):
    scene = Scene(head="3").featured("smile", 1.0).featured("glasses", 0.5).featured("smile", 0.0)
    assert scene.features == (("glasses", 0.5),)
    assert Scene.of(json.loads(json.dumps(scene.to_mapping()))) == scene
    older = {name: value for name, value in scene.to_mapping().items() if name != "features"}
    assert Scene.of(older).features == ()
    with pytest.raises(InputError, match="no feature 'beauty'"):
        scene.featured("beauty", 1.0).code_of(engine)
    session = Session(engine, lambda shot: None, lambda text: None, threading.Semaphore(1))
    session.size = 64
    session.feature("glasses", 1.0)
    assert session.wait() and session.scene.features == (("glasses", 1.0),)
    (tmp_path / "saved.png").write_bytes(session.export("picture", ".png"))
    session.close()
    words = ["replay", "--models", "starter", "--threads", "1", "--out", str(tmp_path / "again.png")]
    assert main([*words, str(tmp_path / "saved.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "saved.png").read_bytes()
