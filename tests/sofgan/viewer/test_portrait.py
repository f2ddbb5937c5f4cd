"""A person's photo in the viewer: its head is shown as the photo shows it, to one visitor, and left for other heads."""

import io
import threading

import numpy as np
import pytest

from sofgan.__main__ import main
from sofgan.apps import edit, map_fit
from sofgan.apps.edited_heads import MARK
from sofgan.apps.engine import Engine
from sofgan.apps.photo_head import PHOTO
from sofgan.errors import InputError
from sofgan.labels import HAIR
from sofgan.viewer import uploads
from sofgan.viewer.scene import Scene, angles_of, position_of
from sofgan.viewer.session import Session
from tests.drawn_faces import draw_face
from tests.photo_fits import DrawnParser, fit_in_few_steps

SIZE = map_fit.SIZE


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.starter()


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


@pytest.mark.parametrize("angles", [(0.0, 0.0), (30.0, -10.0), (-75.0, 40.0)])
def test_a_camera_goes_where_its_angles_say(engine, angles):
    framing = engine.framing
    offset = np.subtract(position_of(*angles, framing), (0.0, framing.target_y, 0.0))
    assert angles_of(offset, framing.distance) == pytest.approx((*angles, 1.0))
