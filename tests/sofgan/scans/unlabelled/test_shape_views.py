"""Pictures of bare shapes, and scans that have nothing else."""

import numpy as np
import pytest
import trimesh

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.rendering.process_renderer import process_renderer
from sofgan.scans.head_space import Orientation
from sofgan.scans.ingestion import ingest_scan
from sofgan.scans.reading import ScanError
from sofgan.scans.unlabelled import colored_views
from sofgan.scans.unlabelled.shape_views import picture_shape
from tests import toyhead

_INTRINSICS = cameras.intrinsics_from_fov(18.0)


def _picture(vertices, faces, size=64):
    pose = cameras.orbit(np.zeros(1), np.zeros(1), 6.0)
    return picture_shape(vertices, faces, process_renderer(), Camera(pose, _INTRINSICS, size))[0].astype(int)


def _ball():
    mesh = trimesh.creation.icosphere(4)
    return np.array(mesh.vertices) * 0.7, np.array(mesh.faces)


def test_colours_are_directions():
    picture = _picture(*_ball())
    assert (picture[0, 0] == 128).all()  # nothing is there
    up, towards, _ = picture[32, 32]
    assert abs(up - 128) <= 3 and towards >= 253
    # Half way to the top of a ball its normal leans up by 30 degrees, but for perspective.
    up, towards, _ = picture[32 - round(64 * 0.35 / 6 / 2 / np.tan(np.radians(9))), 32]
    assert up == pytest.approx(127.5 + 127.5 * 0.5, abs=10)
    assert towards == pytest.approx(127.5 + 127.5 * (2 * 0.75 - 1), abs=20)


def test_winding_tells_nothing():
    vertices, faces = _ball()
    assert (_picture(vertices, faces) == _picture(vertices, faces[:, ::-1])).all()


def test_a_mirrored_shape_is_a_mirrored_picture():
    """Parsers average a picture with its mirror image."""
    vertices, faces = _ball()
    vertices = vertices * (1 + 0.2 * np.sin(3 * vertices[:, :1] + 1) * vertices[:, 1:2])
    one = _picture(vertices, faces)
    mirrored = _picture(vertices * [-1, 1, 1], faces)
    assert np.abs(one - one[:, ::-1]).mean() > 2
    assert np.abs(one - mirrored[:, ::-1]).max() <= 12 and np.abs(one - mirrored[:, ::-1]).mean() < 0.2


def test_hollows_are_dark_and_ridges_bright():
    grid = np.stack(np.meshgrid(np.linspace(-0.8, 0.8, 120), np.linspace(-0.8, 0.8, 120)), -1).reshape(-1, 2)
    height = 0.02 * np.exp(-(((grid[:, 0] - 0.4) / 0.02) ** 2))  # a ridge
    height -= 0.02 * np.exp(-(((grid[:, 0] + 0.4) / 0.02) ** 2))  # a groove
    index = np.arange(120 * 120).reshape(120, 120)
    a, b, c, d = (one.reshape(-1) for one in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    row = _picture(np.c_[grid, height], faces, 128)[64, :, 2]
    at = 64 + 0.4 * 128 / (2 * 6 * np.tan(np.radians(9)))
    assert row[64] == pytest.approx(128, abs=2)
    assert row[round(at) - 2 : round(at) + 2].max() > 160
    assert row[round(128 - at) - 2 : round(128 - at) + 2].min() < 95


def _as_the_toy_is_labelled():
    """In place of `picture_shape`: hues that the oracle knows, by the numbers of a scan's triangles."""
    face_labels = toyhead.merged(2)[2]
    hue_of = np.zeros((labels.NUM_CLASSES, 3), np.uint8)
    hue_of[list(toyhead._HUED)] = toyhead.HUES

    def picture(vertices, faces, renderer, around):
        assert len(faces) == len(face_labels)
        renderer.load(vertices, faces)
        colors = np.append(hue_of[face_labels], [[128, 128, 128]], 0)
        return np.stack([colors[renderer.render(camera)] for camera in around]).astype(np.uint8)

    return picture


class _Both:
    """A parser of photos that must not be asked, with one of shapes."""

    size = 64

    def __init__(self, of_shape):
        self.of_shape = of_shape

    def __call__(self, photos):
        raise AssertionError("a scan without colours was shown to the parser of photos")


def test_a_scan_of_bare_geometry_is_labelled_by_its_shape(ingest_config, tmp_path, monkeypatch):
    (tmp_path / "bare.stl").write_bytes(toyhead.unlabelled().export(file_type="stl"))
    monkeypatch.setattr(colored_views, "picture_shape", _as_the_toy_is_labelled())
    arrays, row = ingest_scan(tmp_path / "bare.stl", ingest_config, Orientation(), _Both(toyhead.Oracle()))
    assert (row.status, row.label_source, row.axes_source) == ("ok", "shape", "parsed views")
    assert (row.axes, row.unit) == ("+Y up, +Z front", "m") and 0.4 < float(row.face_score) <= 1
    assert set(row.classes.split()) == {labels.NAMES[label] for label in toyhead.CLASSES}


def test_without_a_parser_of_shapes_it_is_said_how_to_get_one(ingest_config, tmp_path):
    (tmp_path / "bare.stl").write_bytes(toyhead.unlabelled().export(file_type="stl"))
    for parser in (None, _Both(None)):
        with pytest.raises(ScanError, match="no colours to parse; `train_shape_parser: people` above 0"):
            ingest_scan(tmp_path / "bare.stl", ingest_config, Orientation(), parser)


def test_a_shape_without_a_face_is_refused(ingest_config, tmp_path):
    """The oracle of hues sees none in directions."""
    (tmp_path / "bare.stl").write_bytes(toyhead.unlabelled().export(file_type="stl"))
    with pytest.raises(ScanError, match="no labels, and no .*face found"):
        ingest_scan(tmp_path / "bare.stl", ingest_config, Orientation("+Y", "+Z"), _Both(toyhead.Oracle()))
