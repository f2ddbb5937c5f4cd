"""Segmentation textures: of which format and under which name, and which of their ends is the top."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from sofgan import labels
from sofgan.scans.head_space import Orientation
from sofgan.scans.ingestion import find_segmentation, ingest_scan
from sofgan.scans.labelling import label_scan
from sofgan.scans.reading import ScanError, read_scan
from sofgan.scans.texture_orientation import TURNED_ABOVE, turning_score

_SIZE = 256
# Angles in radians: where each feature lies on a ball that looks along +Z, and how far it reaches.
_FEATURES = (
    (labels.EYE, 0.35, 0.15, 0.14),
    (labels.EYE, -0.35, 0.15, 0.14),
    (labels.R_NOSE, 0.0, -0.1, 0.12),
    (labels.U_LIP, 0.0, -0.42, 0.1),
    (labels.L_LIP, 0.0, -0.55, 0.08),
)


def _class_at(yaw, pitch):
    """Labels of a head that is a ball: hair above and behind, a neck below."""
    found = np.where((pitch > 0.5) | (np.abs(yaw) > 1.8), labels.HAIR, labels.SKIN)
    found = np.where(pitch < -0.9, labels.NECK, found)
    for label, at_yaw, at_pitch, reach in _FEATURES:
        found = np.where((yaw - at_yaw) ** 2 + (pitch - at_pitch) ** 2 < reach**2, label, found)
    return found.astype(np.uint8)


def _ball():
    """Vertices, faces, and texture coordinates around the vertical axis (F, 3, 2).

    As in an atlas, the lower half is an island of its own: it is drawn a third of a turn to the side.
    """
    mesh = trimesh.creation.icosphere(subdivisions=4)
    vertices = mesh.vertices * (0.08, 0.11, 0.09)
    corners = mesh.vertices[mesh.faces]
    yaw, pitch = np.arctan2(corners[..., 0], corners[..., 2]), np.arcsin(corners[..., 1].clip(-1, 1))
    across = np.ptp(yaw, axis=1) > np.pi
    yaw = np.where(across[:, None] & (yaw < 0), yaw + 2 * np.pi, yaw)
    lower = pitch.mean(1, keepdims=True) < 0
    height = pitch / np.pi * 0.9 + np.where(lower, 0.45, 0.55)
    uv = np.stack([yaw / (2 * np.pi) + 0.5 + lower / 3, height], -1)
    # A nose that stands out: without one there is no front.
    nose = _class_at(*_angles(mesh.vertices)) == labels.R_NOSE
    vertices[nose, 2] += 0.015
    return vertices, mesh.faces, uv


def _angles(points):
    return np.arctan2(points[:, 0], points[:, 2]), np.arcsin(points[:, 1].clip(-1, 1))


def _texture():
    """(S, S, 3) uint8, its first row at the top of the head."""
    centres = (np.arange(_SIZE) + 0.5) / _SIZE
    yaw, height = np.meshgrid((centres - 0.5) * 2 * np.pi, 1 - centres)
    lower = height < 0.5
    pitch = (height - np.where(lower, 0.45, 0.55)) / 0.9 * np.pi
    yaw = np.where(lower, (yaw - 2 * np.pi / 3 + np.pi) % (2 * np.pi) - np.pi, yaw)
    return labels.PALETTE[_class_at(yaw, pitch)].astype(np.uint8)


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    """An OBJ file of the ball."""
    vertices, faces, uv = _ball()
    lines = ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in vertices]
    lines += ["vt {:.6f} {:.6f}".format(*corner) for corner in uv.reshape(-1, 2)]
    for k, face in enumerate(faces + 1):
        lines.append("f " + " ".join(f"{v}/{3 * k + i + 1}" for i, v in enumerate(face)))
    path = tmp_path_factory.mktemp("ball") / "head.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


def _beside(ball, folder, name, pixels=None, **options):
    """The ball in a folder of its own, with a texture of that name."""
    (folder / "head.obj").write_bytes(ball.read_bytes())
    Image.fromarray(_texture() if pixels is None else pixels).save(folder / name, **options)
    return folder / "head.obj"


@pytest.mark.parametrize(
    "name",
    [
        "head_seg.png", "head_seg.PNG", "HEAD_Seg.png", "head_seg.tif", "head_seg.TIFF", "head_seg.bmp",
        "head_seg.tga", "head_seg.webp",
    ],
)  # fmt: skip
def test_segmentation_textures_of_all_usual_formats_are_read(name, ball, ingest_config, tmp_path):
    options = {"lossless": True} if name.endswith("webp") else {}
    path = _beside(ball, tmp_path, name, **options)
    arrays, row = ingest_scan(path, ingest_config, Orientation())
    assert (row.label_source, row.note, row.off_palette) == ("segmentation texture", "", 0)
    eyes = arrays["vertices"][arrays["faces"][arrays["face_labels"] == labels.EYE]].reshape(-1, 3)
    to_raw = np.linalg.inv(arrays["raw_to_head"])
    height = trimesh.transform_points(eyes, to_raw)[:, 1].mean()
    np.testing.assert_allclose(height, 0.11 * np.sin(0.15), atol=0.002)


def test_jpeg_is_read_where_it_blurs_little_and_told_of_where_it_does(ball, ingest_config, tmp_path):
    _, row = ingest_scan(
        _beside(ball, tmp_path, "head_seg.jpg", quality=98, subsampling=0), ingest_config, Orientation()
    )
    assert row.label_source == "segmentation texture" and row.off_palette > 0
    path = _beside(ball, tmp_path, "head_seg.jpg", quality=3)
    with pytest.raises(
        ScanError, match=r"palette colours; head_seg.jpg .* blurs colours.* 24: save it as PNG"
    ):
        ingest_scan(path, ingest_config, Orientation())
    (tmp_path / "head_seg.jpg").unlink()
    path = _beside(ball, tmp_path, "head_seg.png", 255 - _texture())
    with pytest.raises(ScanError, match=r"are no palette colours$"):
        ingest_scan(path, ingest_config, Orientation())


def test_broken_segmentation_textures_stop_their_scan_alone(ball, ingest_config, tmp_path):
    path = _beside(ball, tmp_path, "head_seg.png")
    whole = (tmp_path / "head_seg.png").read_bytes()
    for content in (whole[:200], b"", b"no image"):
        (tmp_path / "head_seg.png").write_bytes(content)
        with pytest.raises(ScanError, match="segmentation texture can't be read"):
            ingest_scan(path, ingest_config, Orientation())


def test_the_exact_format_is_preferred(tmp_path):
    for name in ("a_seg.jpg", "A_SEG.TIF", "a_seg.txt", "ab_seg.png", "a.png"):
        (tmp_path / name).write_bytes(b"")
    assert find_segmentation(tmp_path / "a.obj").name == "A_SEG.TIF"
    assert find_segmentation(tmp_path / "c.obj") is None


@pytest.mark.parametrize("turned", [False, True])
def test_a_texture_that_fits_turned_is_turned(turned, ball, ingest_config, tmp_path):
    texture = _texture()
    path = _beside(ball, tmp_path, "head_seg.png", texture[::-1] if turned else texture)
    arrays, row = ingest_scan(path, ingest_config, Orientation())
    assert ("turned top to bottom" in row.note) == turned
    assert row.axes == "+Y up, +Z front"
    middles = trimesh.transform_points(
        arrays["vertices"][arrays["faces"]].mean(1), np.linalg.inv(arrays["raw_to_head"])
    )
    hair = arrays["face_labels"] == labels.HAIR
    assert hair[middles[:, 1] > 0.07].all() and not hair[middles[:, 1] < -0.09].any()


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_right_texture_is_never_turned_however_the_file_stands(upside_down, ball):
    scan = read_scan(ball)
    if upside_down:
        scan.vertices[:, 1:] *= -1
    assert label_scan(scan, (), _texture(), 20.0, 0.0).note == ""


def test_scores_of_both_ways_are_opposite_and_nothing_is_turned_without_a_face(ball):
    scan = read_scan(ball).welded()
    yaw, pitch = _angles(scan.vertices[scan.faces].mean(1) / (0.08, 0.11, 0.09))
    right, wrong = _class_at(yaw, pitch), _class_at(yaw * 3 % 2 - 1, -pitch)  # the latter torn
    bare = np.where(right == labels.HAIR, labels.HAIR, labels.SKIN)
    assert turning_score(scan, wrong, right) > TURNED_ABOVE
    np.testing.assert_allclose(turning_score(scan, wrong, right), -turning_score(scan, right, wrong))
    assert turning_score(scan, bare, right) == np.inf
    for faceless in (bare, np.zeros_like(right)):
        assert turning_score(scan, right, faceless) == -np.inf
        assert turning_score(scan, faceless, faceless) == -np.inf
