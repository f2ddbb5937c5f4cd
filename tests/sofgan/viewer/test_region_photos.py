"""A photo dropped into the page: a region takes its style, the scene remembers it, and junk is told in a sentence."""

import io
import json
import threading

import numpy as np
import pytest

from sofgan.__main__ import main
from sofgan.apps import style_fit
from sofgan.apps.engine import Engine
from sofgan.apps.looks import Look, style_text, with_style
from sofgan.apps.style_fit import region_colors
from sofgan.errors import InputError, MissingInput
from sofgan.viewer import session as session_module
from sofgan.viewer import uploads
from sofgan.viewer.scene import Scene
from sofgan.viewer.session import Session
from tests.drawn_faces import draw_face
from tests.photo_fits import DrawnParser


@pytest.fixture
def session(engine, monkeypatch):
    monkeypatch.setattr(uploads, "photo_parser", lambda engine: DrawnParser())
    plain = session_module.photo_look

    def few_steps(engine, photo, progress):
        monkeypatch.setattr(style_fit, "TRIED", 8)
        monkeypatch.setattr("sofgan.apps.photo.STEPS", 3)
        return plain(engine, photo, progress)

    monkeypatch.setattr(session_module, "photo_look", few_steps)
    made = Session(engine, lambda shot: None, lambda text: None, threading.Semaphore(1))
    made.size = 64
    yield made
    made.close()


def file_of(image, kind="PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def test_a_region_takes_the_photos_color_and_the_scene_remembers_it(session, engine, tmp_path):
    scene, content = session.scene, file_of(draw_face(256))
    labels = engine.view(scene.code_of(engine), scene.camera_of(engine, 64)).labels
    before = region_colors(engine.paint(labels, scene.look_of(engine)), labels)
    session.restyle_by_photo("hair", content)
    found = session.scene
    assert [name for name, _ in found.regions] == ["hair"]
    after = region_colors(engine.paint(labels, found.look_of(engine)), labels)
    wanted = np.array([50, 35, 30])  # of drawn hair
    assert np.linalg.norm(after["hair"] - wanted) < 0.5 * np.linalg.norm(before["hair"] - wanted)
    assert np.linalg.norm(after["cloth"] - before["cloth"]) < 10
    assert Scene.of(json.loads(json.dumps(found.to_mapping()))) == found
    (tmp_path / "saved.png").write_bytes(session.export("picture", ".png"))
    words = ["replay", "--models", "starter", "--threads", "1", "--out", str(tmp_path / "again.png")]
    assert main([*words, str(tmp_path / "saved.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "saved.png").read_bytes()


def test_what_is_no_photo_of_that_region_is_told(session, monkeypatch):
    before = session.scene
    with pytest.raises(InputError, match="the photo can't be used"):
        session.restyle_by_photo("hair", b"no picture")
    with pytest.raises(InputError, match="too little of the region hat"):
        session.restyle_by_photo("hat", file_of(draw_face(256)))
    monkeypatch.setattr(uploads, "MOST_PHOTO_BYTES", 1_000_000)
    with pytest.raises(InputError, match="1 MB at most, this file has 1,000,001"):
        session.restyle_by_photo("hair", bytes(1_000_001))
    assert session.scene == before


def test_without_a_parser_it_is_told_what_makes_one(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Engine, "is_starter", property(lambda engine: False))  # which has a parser
    plain = Session(engine, lambda shot: None, lambda text: None, threading.Semaphore(1))
    with pytest.raises(MissingInput, match="no parser at models/parsers/photos.pt"):
        plain.restyle_by_photo("hair", file_of(draw_face(64)))
    plain.close()


def test_a_style_is_its_text_and_others_are_refused(engine):
    look, other = engine.look(0), engine.look(3)
    layers = engine.siw.generator.layers
    again = with_style(look, "hair", style_text(other, "hair"), layers)
    plain = look.restyled("hair", other)
    assert (again.w == plain.w).all()
    by_layer = Look(other.w[:, None].expand(-1, layers, -1))
    assert (with_style(look, "hair", style_text(by_layer, "hair"), layers).w[:, 0] == plain.w).all()
    fewer = style_text(Look(by_layer.w[:, 1:]), "hair")  # of a painter of smaller pictures
    for text in ("style:AAAA", "style:!", "7", style_text(other, "hair")[:-12], fewer):
        with pytest.raises(InputError, match="style of the region hair"):
            with_style(look, "hair", text, layers)
    scene = Scene(regions=(("hair", fewer),))
    with pytest.raises(InputError, match="style of the region hair"):
        scene.look_of(engine)
