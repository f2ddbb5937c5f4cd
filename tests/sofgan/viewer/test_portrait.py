"""A person's photo in the viewer: its head is shown as the photo shows it, to one visitor, and left for other heads."""

import io
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sofgan.__main__ import main
from sofgan.apps import edit, map_fit
from sofgan.apps.drawn_maps import unpacked
from sofgan.apps.edited_heads import MARK
from sofgan.apps.engine import Engine
from sofgan.apps.photo_head import PHOTO, PhotoEngine
from sofgan.apps.style_fit import FittedLook
from sofgan.errors import InputError
from sofgan.labels import HAIR
from sofgan.page.build import about
from sofgan.progress import Progress
from sofgan.viewer import uploads
from sofgan.viewer.regions import swatches
from sofgan.viewer.scene import Scene, angles_of, position_of
from sofgan.viewer.session import Session
from tests.drawn_faces import draw_face
from tests.photo_fits import DrawnParser, fit_in_few_steps

SIZE = map_fit.SIZE


@pytest.fixture
def session(engine, monkeypatch):
    monkeypatch.setattr(uploads, "photo_parser", lambda engine: DrawnParser())
    fit_in_few_steps(monkeypatch)
    for name, value in {"CODE_STEPS": 3, "PLANE_STEPS": 4, "POINTS": 3000}.items():
        monkeypatch.setattr(edit, name, value)
    made = Session(engine, lambda shot: made.shots.append(shot), lambda text: None, threading.Semaphore(2))
    made.shots, made.size = [], SIZE
    yield made
    made.close()


def photo(**how) -> bytes:
    out = io.BytesIO()
    draw_face(256, **how).save(out, "PNG")
    return out.getvalue()


def shown(session):
    assert session.wait()
    return session.shots[-1]


def test_the_head_is_seen_as_the_photo_shows_it_and_by_this_visitor_alone(session, engine):
    codes, weights = engine.sof.codes.clone(), engine.siw.generator.w_average.clone()
    planes = [value.clone() for value in engine.sof.model.parameters()]
    other = Session(engine, lambda shot: None, lambda text: None, threading.Semaphore(1))
    session.restyle("hair", 5)
    session.begin_stroke()
    person = session.turn_photo(photo())
    shot = shown(session)
    assert shot.fine and shot.scene.photo == person.photo.sha256 and not session.undo()
    fitted = person.engine.fitted
    assert (shot.scene.yaw, shot.scene.pitch) == pytest.approx((fitted.yaw, fitted.pitch), abs=1e-3)
    assert (shot.labels == fitted.labels).mean() > 0.999
    assert np.abs(shot.picture.astype(int) - person.picture).mean() < 1
    assert other.scene == Scene() and other.person is None
    other.close()
    assert (engine.sof.codes == codes).all() and (engine.siw.generator.w_average == weights).all()
    assert all((now == then).all() for now, then in zip(engine.sof.model.parameters(), planes))


def test_another_look_and_another_head_are_left_for(session, engine):
    person = session.turn_photo(photo())
    own = shown(session)
    session.change(look=3)
    look = shown(session)
    assert (look.labels == own.labels).all() and look.scene.photo and not look.scene.photo_look
    # The word is wider than a seed: with three columns it ran into the next one.
    assert swatches(own).count(" <small>photo</small>") == 12 and "repeat(2,1fr)" in swatches(own)
    assert swatches(look).count(" <small>3</small>") == 12 and "repeat(3,1fr)" in swatches(look)
    wanted = person.engine.paint(look.labels, person.engine.look(3, look.scene.psi))
    assert (look.picture == wanted).all()
    session.restyle("hair", 4)
    session.change(head="2")
    plain = shown(session)
    assert not plain.scene.photo
    camera = engine.camera(plain.scene.yaw, plain.scene.pitch, SIZE)
    assert (plain.labels == engine.view(engine.head(2), camera).labels).all()
    session.to_photo()
    back = shown(session)
    assert (back.picture == own.picture).all() and not back.scene.regions


def test_it_is_painted_in_and_fitted_like_other_heads(session):
    person = session.turn_photo(photo())
    session.turn(0.0, 0.0)
    session.begin_stroke()
    session.stroke(HAIR, (0.4, 0.2), (0.6, 0.2), 6.0)
    session.fit()
    scene = shown(session).scene
    assert scene.head.startswith(MARK) and scene.photo == person.photo.sha256 and scene.photo_look
    assert session.engine_of(scene) is person.engine
    assert session.undo() and session.undo() and session.scene.head == PHOTO and not session.scene.drawn


def test_a_stroke_on_the_photo_before_is_begun_on_the_one_that_came_meanwhile(session):
    first = session.turn_photo(photo())
    plain = first.engine.view

    def slow(code, camera):
        if threading.current_thread().name == "painter":
            first.engine.view = plain
            session.turn_photo(photo(center=(0.45, 0.5)))
        return plain(code, camera)

    first.engine.view = slow
    painter = threading.Thread(target=session.begin_stroke, name="painter")
    painter.start()
    painter.join()
    second = session.person
    assert second is not first and [one["photo"] for one in session.strokes] == [second.photo.sha256]
    assert (unpacked(session.scene.drawn) == second.engine.fitted.labels).mean() > 0.999
    assert session.undo() and session.scene.photo == second.photo.sha256 and not session.undo()


def test_a_stroke_that_is_undone_leaves_another_look(session):
    session.turn_photo(photo())
    session.begin_stroke()
    session.change(look=3)
    assert session.undo() and session.scene.photo and not session.scene.photo_look
    session.to_photo()
    session.begin_stroke()
    session.change(head="2")
    assert session.undo() and session.scene.photo and session.scene.photo_look


def test_a_photo_is_forgotten_with_its_page_and_no_longer_fitted(session):
    class Closes(Progress):
        def items(self, done, total, unit="items", note=""):  # noqa: ARG002
            session.close()
            told.append(done)

    told = []
    with pytest.raises(InputError, match="the page was closed"):
        session.turn_photo(photo(), Closes())
    assert len(told) == 1 and session.person is None and session.scene == Scene()


def test_what_a_photo_keeps_is_little(session, engine):
    person = session.turn_photo(photo())
    for network in (person.engine.sof.model, person.engine.siw.generator):
        assert all(parameter.grad is None for parameter in network.parameters())
    assert person.engine._quick.most < engine._quick.most and person.engine._maps.most < engine._maps.most
    session.close()
    assert session.person is None


def test_a_photos_models_are_told_as_those_that_they_came_from(session, engine):
    own = session.turn_photo(photo()).engine
    trained = Engine(engine.sof, engine.siw, {"siw.pt": "0" * 64}, Path("models"))
    other = PhotoEngine(trained, own.fitted, FittedLook(own.siw, own.found, {}))
    assert (own.is_starter, other.is_starter) == (True, False)
    assert "invented people alone" in about(own) and "Model: trained models" in about(other)


def test_a_named_head_is_one_of_the_field_that_all_share(session, engine):
    session.turn_photo(photo())
    session.change(head=engine.sof.instance_names[0])
    assert not session.scene.photo and not session.scene.photo_look


def test_controls_show_the_scene_that_they_have_not_changed():
    pytest.importorskip("viser")
    from sofgan.viewer.features import Features
    from sofgan.viewer.page import Page
    from sofgan.viewer.regions import Regions

    class Slider:
        @property
        def value(self):
            return self.shown

        @value.setter
        def value(self, shown):
            self.shown = shown
            sliders["smile"] = sliders.get("smile") or Slider()  # They come one by one, by another thread.

    sliders = {"glasses": Slider()}
    controls = {name: SimpleNamespace(value=None) for name in ("head", "head_psi", "morph", "look")}
    scene = Scene(head="7", look=2, features=(("glasses", 0.5),)).restyled("hair", 4)
    page, angles = SimpleNamespace(session=SimpleNamespace(scene=scene), controls=controls), []
    page.look_from = lambda *values: angles.append(values)
    region, seed = SimpleNamespace(value="hair"), SimpleNamespace(value=None)
    page.regions = SimpleNamespace(session=page.session, region=region, seed=seed)
    page.regions.follow = lambda: Regions.follow(page.regions)
    page.features = SimpleNamespace(session=page.session, sliders=sliders)
    page.features.follow = lambda: Features.follow(page.features)
    Page.follow(page)
    assert {name: one.value for name, one in controls.items()} == {
        "head": 7, "head_psi": 1.0, "morph": 0.0, "look": 2
    }  # fmt: skip
    assert seed.value == 4 and sliders["glasses"].value == 0.5
    page.session.scene = scene.of_photo("0" * 64, 10.0, 0.0)
    Page.follow(page)
    assert seed.value == 2 and sliders["glasses"].value == 0.0
    assert angles == [(0.0, 0.0, 1.0), (10.0, 0.0, 1.0)]


def test_what_is_saved_can_not_be_replayed_and_its_head_not_be_taken(session, tmp_path, capsys, monkeypatch):
    session.turn_photo(photo())
    (tmp_path / "saved.png").write_bytes(session.export("picture", ".png"))
    monkeypatch.chdir(tmp_path)
    assert main(["replay", "saved.png", "--models", "starter", "--threads", "1"]) == 1
    assert "fitted to a photo" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["orbit", "--head", "saved.png", "--models", "starter"])
    assert "fitted to a photo" in capsys.readouterr().err


def test_without_a_photo_there_is_nothing_to_go_back_to(session):
    session.to_photo()
    assert session.scene == Scene()
    with pytest.raises(InputError, match="the photo can't be used"):
        session.turn_photo(b"no picture")
    assert session.scene == Scene() and session.person is None


@pytest.mark.parametrize("angles", [(0.0, 0.0, 1.0), (30.0, -10.0, 2.0), (-75.0, 40.0, 0.5)])
def test_a_camera_goes_where_its_angles_say(engine, angles):
    framing = engine.framing
    offset = np.subtract(position_of(*angles, framing), (0.0, framing.target_y, 0.0))
    assert angles_of(offset, framing.distance) == pytest.approx(angles)
