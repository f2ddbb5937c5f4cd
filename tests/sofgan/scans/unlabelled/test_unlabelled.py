"""Scans without labels, from file to scan file, with an oracle for a parser; and how scans stand."""

import csv

import numpy as np
import pytest
import trimesh
from PIL import Image

from sofgan import labels
from sofgan.scans.face_frame import axis_rotations, describe, rotation_angle
from sofgan.scans.head_space import METRES, Orientation
from sofgan.scans.ingestion import ingest_batch, ingest_scan
from sofgan.scans.materials import Material
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.unlabelled.parsed_labels import label_unlabelled
from sofgan.scans.unlabelled.scan_parser import ScanParser
from tests import toyhead

_UNCHANGED = np.eye(4)


def _yaw(degrees):
    turn = np.eye(3)
    angle = np.radians(degrees)
    turn[0::2, 0::2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    return turn


def _matrix(rotation, unit="m", shift=(0, 0, 0)):
    """From the toy's axes and metres to a file's."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation / METRES[unit]
    matrix[:3, 3] = np.asarray(shift) / METRES[unit]
    return matrix


def _write(path, matrix=_UNCHANGED, **options):
    path.write_bytes(toyhead.unlabelled(matrix, **options).export(file_type=path.suffix[1:]))
    return path


def _agreement(arrays, matrix):
    """Share of the toy's triangles, by class, whose nearest triangle in the scan file has their label."""
    vertices, faces, face_labels = toyhead.merged(2)
    to_head = arrays["raw_to_head"] @ matrix
    middles = trimesh.transform_points(vertices[faces].mean(1), to_head)
    seen = np.linalg.norm(middles, axis=1) < 0.98
    found_middles = arrays["vertices"][arrays["faces"]].mean(1)
    nearest = np.linalg.norm(middles[seen][:, None] - found_middles[None], axis=-1).argmin(1)
    found, true = arrays["face_labels"][nearest], face_labels[seen]
    found = np.where(found == labels.L_NOSE, labels.R_NOSE, found)
    return {label: (found[true == label] == label).mean() for label in np.unique(true)}


@pytest.mark.parametrize(
    ("axes", "yaw", "unit", "suffix"),
    [(5, 0, "mm", "glb"), (9, -105, "cm", "ply")],
)
def test_any_axes_and_units_are_found(axes, yaw, unit, suffix, ingest_config, tmp_path):
    rotation = axis_rotations()[axes].T @ _yaw(yaw)
    matrix = _matrix(rotation, unit, (3, -2, 5))
    path = _write(tmp_path / f"a.{suffix}", matrix)
    arrays, row = ingest_scan(path, ingest_config, Orientation(), toyhead.Oracle())
    assert (row.status, row.label_source, row.axes_source) == ("ok", "parsed views", "parsed views")
    assert row.unit == unit and 0.4 < float(row.face_score) <= 1
    turned = arrays["raw_to_head"][:3, :3]
    turned = turned / np.cbrt(np.linalg.det(turned))
    assert rotation_angle(turned @ rotation) < (0.01 if yaw == 0 else 4)
    if yaw == 0:
        assert row.axes == describe(rotation.T)
    assert set(row.classes.split()) == {labels.NAMES[label] for label in toyhead.CLASSES}
    agreement = _agreement(arrays, matrix)
    assert agreement[labels.SKIN] > 0.8 and agreement[labels.HAIR] > 0.8, agreement
    assert all(share > 0.35 for share in agreement.values()), agreement
    x = arrays["vertices"][arrays["faces"]].mean(1)[:, 0]
    assert (
        x[arrays["face_labels"] == labels.R_NOSE].max() < 0 < x[arrays["face_labels"] == labels.L_NOSE].min()
    )


@pytest.mark.parametrize(("scale", "shift"), [(1e6, 1e10), (1e-3, 0.0)])
def test_micrometres_kilometres_and_places_far_off(scale, shift, ingest_config, tmp_path):
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = shift
    mesh = toyhead.unlabelled()
    scan = RawScan(
        trimesh.transform_points(mesh.vertices, matrix), np.asarray(mesh.faces), np.zeros(len(mesh.faces), int),
        ((),), None, np.asarray(mesh.visual.vertex_colors)[mesh.faces][..., :3], (Material(),),
    )  # fmt: skip
    parsed = label_unlabelled(scan, Orientation("+Y"), toyhead.Oracle(), ingest_config.parsing)
    assert rotation_angle(parsed.standing.rotation) < 0.01
    *_, true = toyhead.merged(2)
    assert len(parsed.labelled.face_labels) > len(true) and parsed.score > 0.4
    assert set(np.unique(parsed.labelled.face_labels)) == toyhead.CLASSES - {labels.L_NOSE}


def test_scan_yaml_is_obeyed(ingest_config, tmp_path):
    given = Orientation("+Z", "-Y", "cm")
    path = _write(tmp_path / "a.ply", _matrix(given.rotation.T @ _yaw(12), "cm"))
    arrays, row = ingest_scan(path, ingest_config, given, toyhead.Oracle())
    assert (row.axes, row.axes_source, row.unit) == ("+Z up, -Y front", "scan.yaml", "cm")
    turned = arrays["raw_to_head"][:3, :3]
    np.testing.assert_allclose(turned / np.cbrt(np.linalg.det(turned)), given.rotation, atol=1e-9)
    # Up alone: the head's turn about it is found.
    arrays, row = ingest_scan(path, ingest_config, Orientation("+Z"), toyhead.Oracle())
    assert row.axes_source == "parsed views" and row.axes.startswith("+Z up, -Y front, turned by 1")
    np.testing.assert_allclose(
        arrays["raw_to_head"][1, :3] / np.linalg.norm(arrays["raw_to_head"][1, :3]), [0, 0, 1], atol=1e-9
    )


@pytest.mark.parametrize("orientation", [Orientation("+Z", "-Y"), Orientation("+Y", "-Z")])
def test_scan_yaml_that_is_wrong_is_to_be_mended(orientation, ingest_config, tmp_path):
    path = _write(tmp_path / "a.ply")
    with pytest.raises(ScanError, match="no .*face found.* where scan.yaml says .* mend `up` and `front`"):
        ingest_scan(path, ingest_config, orientation, toyhead.Oracle())


def test_a_scan_without_a_face_is_refused_with_what_to_do(ingest_config, tmp_path):
    path = _write(tmp_path / "a.ply", keep=lambda middles: middles[:, 2] < 0.05)
    with pytest.raises(ScanError, match="no face found from any side; give it labels, or `up` and `front`"):
        ingest_scan(path, ingest_config, Orientation(), toyhead.Oracle())


def test_scans_of_hardly_any_triangles_are_refused_in_words(ingest_config, tmp_path):
    """A pyramid's top is one vertex: no height from the top holds more."""
    pyramid = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 0, 1], [0.3, 1, 0.3]],
        [[0, 1, 2], [0, 1, 3], [1, 2, 3], [2, 0, 3]],
        vertex_colors=[[200, 0, 0, 255], [0, 200, 0, 255], [0, 0, 200, 255], [9, 9, 9, 255]],
        process=False,
    )
    (tmp_path / "a.ply").write_bytes(pyramid.export(file_type="ply"))
    with pytest.raises(ScanError, match="no .*face found"):
        ingest_scan(tmp_path / "a.ply", ingest_config, Orientation(), toyhead.Oracle())


def test_the_inside_of_a_mask_is_no_face(ingest_config, tmp_path):
    """A scan of the front half alone shows its features from behind as well."""
    rotation = axis_rotations()[7].T @ _yaw(20)
    path = _write(tmp_path / "a.ply", _matrix(rotation), keep=lambda middles: middles[:, 2] > 0)
    arrays, row = ingest_scan(path, ingest_config, Orientation(), toyhead.Oracle())
    turned = arrays["raw_to_head"][:3, :3]
    assert rotation_angle(turned / np.cbrt(np.linalg.det(turned)) @ rotation) < 5
    assert row.axes_source == "parsed views"


@pytest.mark.parametrize("orientation", [Orientation(), Orientation("+Y", "+Z")])
def test_two_coloured_heads_are_refused_as_two(orientation, ingest_config, tmp_path):
    beside = np.eye(4)
    beside[0, 3] = 0.2
    two = trimesh.util.concatenate([toyhead.unlabelled(), toyhead.unlabelled(beside)])
    (tmp_path / "two.ply").write_bytes(two.export(file_type="ply"))
    with pytest.raises(ScanError, match="two faces or more.*each head as a file of its own"):
        ingest_scan(tmp_path / "two.ply", ingest_config, orientation, toyhead.Oracle())


def test_what_a_scan_lacks_is_said(ingest_config, tmp_path):
    mesh = toyhead.unlabelled()
    (tmp_path / "bare.stl").write_bytes(mesh.export(file_type="stl"))
    with pytest.raises(ScanError, match="no labels: .*; no colours to parse"):
        ingest_scan(tmp_path / "bare.stl", ingest_config, Orientation(), toyhead.Oracle())
    path = _write(tmp_path / "a.ply")
    with pytest.raises(ScanError, match="it has colours, but there is no parser"):
        ingest_scan(path, ingest_config, Orientation())
    nowhere = ScanParser(tmp_path / "parser.pt")
    with pytest.raises(ScanError, match="no parser at .*parser.pt to find some; run train_parser first"):
        ingest_scan(path, ingest_config, Orientation(), nowhere)


_TEXTURED = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl m0\nf 1/1 2/2 3/3\n"


def test_a_texture_that_is_not_there_is_named(ingest_config, tmp_path):
    (tmp_path / "a.obj").write_text(_TEXTURED + "usemtl m1\nf 3/1 2/2 1/3\n")
    (tmp_path / "a.mtl").write_text("newmtl m0\nmap_Kd lost.png\nnewmtl m1\nmap_Kd lost.png\n")
    with pytest.raises(ScanError, match="its texture lost.png is not there"):
        ingest_scan(tmp_path / "a.obj", ingest_config, Orientation(), toyhead.Oracle())
    # Other colours may still be there, and not show the face.
    (tmp_path / "a.mtl").write_text("newmtl m0\nmap_Kd lost.png\nnewmtl m1\nmap_Kd other.png\n")
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(tmp_path / "other.png")
    with pytest.raises(ScanError, match="no face found.*its texture lost.png is not there"):
        ingest_scan(tmp_path / "a.obj", ingest_config, Orientation(), toyhead.Oracle())


@pytest.mark.parametrize("axes", range(24))
def test_labelled_parts_tell_the_axes(axes, ingest_config, tmp_path):
    rotation = axis_rotations()[axes].T
    unit = list(METRES)[axes % len(METRES)]
    scene = trimesh.Scene()
    for name, _, mesh in toyhead.parts(1):
        mesh.apply_transform(_matrix(rotation, unit, (1, 2, 3)))
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    arrays, row = ingest_scan(tmp_path / "a.glb", ingest_config, Orientation())
    assert (row.axes, row.axes_source, row.unit) == (describe(rotation.T), "labelled parts", unit)
    assert row.face_score == "" and row.label_source == "names"
    turned = arrays["raw_to_head"][:3, :3]
    assert rotation_angle(turned / np.cbrt(np.linalg.det(turned)) @ rotation) < 1e-3


def _without(path, *left_out, matrix=_UNCHANGED):
    scene = trimesh.Scene()
    for name, label, mesh in toyhead.parts(1):
        mesh.apply_transform(matrix)
        if label not in left_out:
            scene.add_geometry(mesh, node_name=name, geom_name=name)
    path.write_bytes(scene.export(file_type="glb"))
    return path


def test_axes_are_assumed_without_eyes_and_found_without_a_mouth(ingest_config, tmp_path):
    path = _without(tmp_path / "a.glb", labels.EYE)
    _, row = ingest_scan(path, ingest_config, Orientation())
    assert (row.axes, row.axes_source) == ("+Y up, +Z front", "assumed")
    given = Orientation("+Z", "-Y")
    path = _without(tmp_path / "b.glb", labels.U_LIP, labels.L_LIP, matrix=_matrix(given.rotation.T))
    _, row = ingest_scan(path, ingest_config, Orientation("+Z"))
    assert (row.axes, row.axes_source) == ("+Z up, -Y front", "eyes and shape")


def test_processes_change_nothing(ingest_config, tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a", "b"):
        _write(raw / f"{name}.ply", keep=lambda middles: middles[:, 1] > -0.13)
    (raw / "skin.tga").write_bytes(b"a texture is no scan")
    (raw / "scan.yaml").write_text("up: +Y\nfront: +Z\n")
    for workers in (1, 2):
        figures = ingest_batch(raw, tmp_path / str(workers), ingest_config, workers, parser=toyhead.Oracle())
        assert (figures["scans_usable"], figures["scans_rejected"]) == (2, 0)
    for name in ("a.npz", "b.npz", "report.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    with open(tmp_path / "1" / "report.csv") as file:
        rows = list(csv.DictReader(file))
    assert {(row["axes"], row["axes_source"], row["unit"]) for row in rows} == {
        ("+Y up, +Z front", "scan.yaml", "m")
    }
