"""Every input format, every source of labels, every reason for a rejection, and the head space."""

import csv
import json
import struct

import numpy as np
import pytest
import trimesh

from sofgan import labels
from sofgan.config import ConfigError
from sofgan.files import read_json
from sofgan.scans.head_space import Orientation
from sofgan.scans.ingestion import NoUsableScan, ingest_batch, ingest_scan, read_orientation
from sofgan.scans.labelling import _match, label_scan
from sofgan.scans.reading import ScanError, read_scan
from tests import toyhead


def _read_report(folder):
    with open(folder / "report.csv") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def _labels_at(arrays, points):
    """Label of the nearest triangle centre of an ingested scan to each raw point."""
    points = trimesh.transform_points(points, arrays["raw_to_head"])
    centres = arrays["vertices"][arrays["faces"]].mean(1)
    nearest = np.linalg.norm(points[:, None] - centres[None], axis=-1).argmin(1)
    return arrays["face_labels"][nearest]


WRITERS = {
    "names.glb": toyhead.write_glb,
    "names.gltf": lambda path: _write_gltf(path),
    "material.obj": toyhead.write_obj,
    "object.obj": lambda path: toyhead.write_obj(path, "o"),
    "group.obj": lambda path: toyhead.write_obj(path, "g"),
    "solids.stl": toyhead.write_stl,
    "texture.obj": toyhead.write_textured_obj,
    "faces.ply": lambda path: path.write_bytes(toyhead.colored("face").export(file_type="ply")),
    "vertices.ply": lambda path: path.write_bytes(toyhead.colored("vertex").export(file_type="ply")),
    "vertices.glb": lambda path: path.write_bytes(toyhead.colored("vertex").export(file_type="glb")),
    "vertices.obj": lambda path: path.write_text(toyhead.colored("vertex").export(file_type="obj")),
    "head_skin.ply": lambda path: path.write_bytes(toyhead.colored("face").export(file_type="ply")),
}


def _write_gltf(path):
    scene = trimesh.Scene()
    for name, _, mesh in toyhead.parts():
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    for name, content in trimesh.exchange.gltf.export_gltf(scene).items():
        (path if name == "model.gltf" else path.parent / name).write_bytes(content)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_keeps_its_labels(name, ingest_config, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    arrays, row = ingest_scan(path, ingest_config, Orientation())
    assert set(np.unique(arrays["face_labels"])) == toyhead.CLASSES
    assert row.off_palette == 0
    vertices, faces, face_labels = toyhead.merged()
    inside = (
        np.linalg.norm(trimesh.transform_points(vertices, arrays["raw_to_head"])[faces], axis=-1).max(1) < 1
    )
    sample = np.flatnonzero(inside)[::37]
    found = _labels_at(arrays, vertices[faces[sample]].mean(1))
    expected = face_labels[sample]
    nose = expected == labels.R_NOSE
    np.testing.assert_array_equal(found[~nose], expected[~nose])
    sides = np.where(vertices[faces[sample]].mean(1)[:, 0] < 0, labels.R_NOSE, labels.L_NOSE)
    np.testing.assert_array_equal(found[nose], sides[nose])


def test_contract_of_the_scan_file(ingest_config, tmp_path):
    toyhead.write_glb(tmp_path / "a.glb")
    arrays, row = ingest_scan(tmp_path / "a.glb", ingest_config, Orientation())
    assert arrays["vertices"].dtype == np.float32
    assert arrays["faces"].dtype == np.int32
    assert arrays["face_labels"].dtype == np.uint8
    assert arrays["raw_to_head"].dtype == np.float64
    assert len(str(arrays["source_sha256"])) == 64
    radii = np.linalg.norm(arrays["vertices"], axis=1)
    assert radii.max() <= 1 + 1e-5
    head = np.unique(arrays["faces"][arrays["face_labels"] != labels.CLOTH])
    np.testing.assert_allclose(radii[head].max(), ingest_config.head_radius, atol=1e-4)
    # Cloth reaches beyond the ball: its border is a line of vertices on the sphere.
    cloth = np.unique(arrays["faces"][arrays["face_labels"] == labels.CLOTH])
    assert (np.abs(radii[cloth] - 1) < 1e-5).sum() > 10
    assert row.faces == len(arrays["faces"])
    assert row.classes.split()[0] == "skin"


@pytest.mark.parametrize(
    ("up", "front", "unit", "scale"),
    [("+Y", "+Z", "cm", 100), ("+Z", "-Y", "m", 1), ("-X", "+Y", "mm", 1000), ("+Y", "-X", "in", 1 / 0.0254)],
)
def test_unit_and_axes_do_not_change_the_result(up, front, unit, scale, ingest_config, tmp_path):
    orientation = Orientation(up, front, unit)
    matrix = np.eye(4)
    matrix[:3, :3] = orientation.rotation.T * scale
    matrix[:3, 3] = (3, -2, 5)
    toyhead.write_glb(tmp_path / "a.glb")
    scene = trimesh.load_scene(tmp_path / "a.glb")
    scene.apply_transform(matrix)
    scene.export(tmp_path / "b.glb")
    plain, _ = ingest_scan(tmp_path / "a.glb", ingest_config, Orientation())
    moved, _ = ingest_scan(tmp_path / "b.glb", ingest_config, orientation)
    np.testing.assert_allclose(moved["vertices"], plain["vertices"], atol=2e-4)
    np.testing.assert_array_equal(moved["face_labels"], plain["face_labels"])
    np.testing.assert_allclose(moved["raw_to_head"] @ matrix, plain["raw_to_head"], atol=1e-3)


def test_nose_is_split_at_the_middle_plane(ingest_config, tmp_path):
    toyhead.write_glb(tmp_path / "a.glb")
    arrays, _ = ingest_scan(tmp_path / "a.glb", ingest_config, Orientation())
    x = arrays["vertices"][arrays["faces"]][..., 0]
    right, left = (arrays["face_labels"] == label for label in (labels.R_NOSE, labels.L_NOSE))
    assert x[right].max() <= 1e-6
    assert x[left].min() >= -1e-6
    areas = trimesh.Trimesh(arrays["vertices"], arrays["faces"], process=False).area_faces
    np.testing.assert_allclose(areas[right].sum(), areas[left].sum(), rtol=1e-3)


def test_near_palette_colours_are_counted_and_far_ones_refused(ingest_config, tmp_path):
    toyhead.write_textured_obj(tmp_path / "near.obj", shift=6)
    arrays, row = ingest_scan(tmp_path / "near.obj", ingest_config, Orientation())
    assert row.off_palette > 1000
    assert set(np.unique(arrays["face_labels"])) == toyhead.CLASSES
    toyhead.write_textured_obj(tmp_path / "far.obj", shift=40)
    with pytest.raises(ScanError, match="texels are no palette colours"):
        ingest_scan(tmp_path / "far.obj", ingest_config, Orientation())


def test_what_is_painted_as_background_is_left_out(ingest_config, tmp_path):
    mesh = toyhead.colored("face")
    hair = (mesh.visual.face_colors[:, :3] == labels.PALETTE[labels.HAIR]).all(1)
    mesh.visual.face_colors[hair] = [0, 0, 0, 255]
    (tmp_path / "a.ply").write_bytes(mesh.export(file_type="ply"))
    arrays, _ = ingest_scan(tmp_path / "a.ply", ingest_config, Orientation())
    # Without its hair the head is smaller, and the ball around it ends above the shirt.
    assert set(np.unique(arrays["face_labels"])) == toyhead.CLASSES - {labels.HAIR, labels.CLOTH}


def test_borders_of_a_texture_are_followed_inside_triangles(tmp_path):
    """A square of two triangles whose texture has a slanting border: refinement approaches its area."""
    (tmp_path / "a.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
    )
    y, x = np.mgrid[0:256, 0:256] / 256
    texture = labels.PALETTE[np.where(x + 0.4 * y < 0.6, labels.HAIR, labels.SKIN)]
    truth = np.mean(x + 0.4 * y < 0.6)
    errors = []
    for refinements in (0, 2, 5):
        labelled = label_scan(read_scan(tmp_path / "a.obj"), (), texture, 20.0, 0.0, refinements)
        mesh = trimesh.Trimesh(labelled.scan.vertices, labelled.scan.faces, process=False)
        np.testing.assert_allclose(mesh.area, 1)
        errors.append(abs(mesh.area_faces[labelled.face_labels == labels.HAIR].sum() - truth))
    assert errors[2] < 0.01 < errors[0]
    assert errors[1] < errors[0]


def test_first_matching_rule_decides_and_dropped_parts_go(tmp_path):
    toyhead.write_glb(tmp_path / "a.glb")
    rules = (("shirt", "drop"), ("left_eye", "brow"), ("eye", "eye"), (".", "skin"))
    labelled = label_scan(read_scan(tmp_path / "a.glb"), rules, None, 20.0, 0.0)
    assert set(np.unique(labelled.face_labels)) == {labels.BROW, labels.EYE, labels.SKIN}
    assert len(labelled.face_labels) == 1280 * 7


def test_bad_scans_are_listed_with_their_reasons_and_the_others_go_on(ingest_config, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    toyhead.write_glb(raw / "good.glb")
    glb = (raw / "good.glb").read_bytes()
    (raw / "truncated.glb").write_bytes(glb[: len(glb) // 2])
    (raw / "empty.obj").write_text("")
    (raw / "noise.ply").write_bytes(b"\x00\x01\x02 no ply")
    points = trimesh.PointCloud(np.random.default_rng(0).normal(size=(50, 3)))
    (raw / "points.ply").write_bytes(points.export(file_type="ply"))
    (raw / "zero.glb").write_bytes(_with_zero_positions(glb))
    (raw / "plain.stl").write_bytes(trimesh.creation.icosphere().export(file_type="stl"))
    (raw / "wrong_colors.ply").write_bytes(toyhead.colored("face", shift=60).export(file_type="ply"))
    (raw / "strange_part.obj").write_text(_STRANGE_PART)
    (raw / "no_face.obj").write_text(
        "usemtl skin\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nusemtl hair\nf 3 2 1\n"
    )
    (raw / "nan.obj").write_text("usemtl skin\nv 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\nusemtl hair\nf 3 2 1\n")
    (raw / "sculpt.fbx").write_bytes(b"Kaydara")
    (raw / "good.stl").write_bytes(b"solid")
    (raw / "notes.txt").write_text("not a scan")
    figures = ingest_batch(raw, tmp_path / "scans", ingest_config, workers=1)
    rows = _read_report(tmp_path / "scans")
    reasons = {
        "truncated.glb": "can't be parsed",
        "empty.obj": "it is empty",
        "noise.ply": "can't be parsed",
        "points.ply": "a point cloud",
        "zero.glb": "all vertices are zero",
        "plain.stl": "no labels",
        "wrong_colors.ply": "are no palette colours",
        "strange_part.obj": "no rule matches the part Gizmo",
        "no_face.obj": "not a head",
        "nan.obj": "not finite",
        "sculpt.fbx": "'.fbx' is not read",
        "good.stl": "the same name",
    }
    assert rows.keys() == reasons.keys() | {"good.glb"}
    for name, reason in reasons.items():
        assert rows[name]["status"] == "rejected"
        assert reason in rows[name]["reason"], rows[name]
    assert rows["good.glb"]["status"] == "ok"
    assert rows["good.glb"]["label_source"] == "names"
    assert (figures["scans_usable"], figures["scans_rejected"]) == (1, len(reasons))
    files = ["figures.json", "good.npz", "report.csv"]
    assert sorted(path.name for path in (tmp_path / "scans").iterdir()) == files
    assert read_json(tmp_path / "scans/figures.json") == figures


_STRANGE_PART = "v 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl Skin\nf 1 2 3\nusemtl Gizmo\nf 3 2 1\n"


def _with_zero_positions(glb: bytes) -> bytes:
    """The GLB with zeros for data: what a Draco file looks like to a reader without the decoder."""
    length = struct.unpack_from("<I", glb, 12)[0]
    document = json.loads(glb[20 : 20 + length])
    start = 20 + length + 8
    content = bytearray(glb)
    for accessor in document["accessors"]:
        if accessor["type"] == "VEC3":
            view = document["bufferViews"][accessor["bufferView"]]
            first = start + view.get("byteOffset", 0)
            content[first : first + view["byteLength"]] = bytes(view["byteLength"])
    return bytes(content)


@pytest.mark.parametrize(
    ("orientation", "reason"),
    [
        (Orientation("-Y", "+Z"), "set `up`"),
        (Orientation("+Y", "-Z"), "set `front`"),
        (Orientation(unit="mm"), "set `unit`"),
    ],
)
def test_a_head_that_stands_otherwise_is_told_apart(orientation, reason, ingest_config, tmp_path):
    toyhead.write_glb(tmp_path / "a.glb")
    with pytest.raises(ScanError, match=reason):
        ingest_scan(tmp_path / "a.glb", ingest_config, orientation)


def test_a_batch_without_a_good_scan_stops(ingest_config, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "bad.obj").write_text("")
    with pytest.raises(
        NoUsableScan, match=r"no usable scan \(bad.obj: it is empty: copy or download it again\)"
    ):
        ingest_batch(tmp_path / "raw", tmp_path / "scans", ingest_config, workers=1)
    assert not (tmp_path / "scans").exists()
    with pytest.raises(FileNotFoundError, match="no such batch"):
        ingest_batch(tmp_path / "nowhere", tmp_path / "scans", ingest_config, workers=1)


def test_scan_yaml_gives_axes_and_names_wrong_keys(tmp_path):
    path = tmp_path / "scan.yaml"
    path.write_text("up: +Z\nfront: -Y\nunit: mm\n")
    assert read_orientation(path) == Orientation("+Z", "-Y", "mm")
    path.write_text("upp: +Z\n")
    with pytest.raises(ConfigError, match="did you mean 'up'"):
        read_orientation(path)
    path.write_text("up: +Z\nfront: -Z\n")
    with pytest.raises(ConfigError, match="same axis"):
        read_orientation(path)


def test_several_processes_write_the_same_bytes(ingest_config, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a.glb", "b.obj"):
        WRITERS["names.glb" if name.endswith("glb") else "material.obj"](raw / name)
    for workers in (1, 2):
        ingest_batch(raw, tmp_path / str(workers), ingest_config, workers)
    for name in ("a.npz", "b.npz", "report.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("M_ScleraLeft", "eye"), ("M_IrisRight", "eye"), ("M_Teeth", "mouth"), ("M_GumsTongue", "mouth"),
        ("M_BackHead", "face"), ("M_Face", "face"), ("M_EyeLashes", "drop"), ("M_EyeBlend", "drop"),
        ("M_EyeOcclusion", "drop"), ("M_LacrimalFluid", "drop"), ("eyebrow_l", "brow"), ("upper_lip", "u_lip"),
        ("LowerLip", "l_lip"), ("ear.left", "ear"), ("LeftEar", "ear"), ("beard", "skin"), ("earring", "earring"),
        ("sunglasses", "eyeglass"), ("Baseball_Cap", "hat"), ("scalp", "face"), ("left_eyelid", "skin"),
        ("necklace", "necklace"), ("Neck", "neck"), ("T-Shirt", "cloth"), ("r_nose", "r_nose"),
        ("inner_nose", "nose"), ("hair_strands", "hair"), ("tongue", "mouth"), ("u_lip", "u_lip"),
        # Ready Player Me, VRoid, Character Creator, MetaHuman, Mixamo, Daz, MakeHuman, Hubs.
        ("Wolf3D_Head", "face"), ("Wolf3D_Glasses", "eyeglass"), ("Wolf3D_Headwear", "hat"), ("Wolf3D_Beard", "skin"),
        ("Wolf3D_Teeth", "mouth"), ("Wolf3D_Outfit_Top", "cloth"), ("Wolf3D_Outfit_Bottom", "cloth"),
        ("Wolf3D_Outfit_Footwear", "cloth"), ("Wolf3D_Body", "face"), ("Wolf3D_Facewear", "open"), ("EyeLeft", "eye"),
        ("eye_left", "eye"), ("LeftEye", "eye"), ("Wolf3D_Avatar", None),
        ("N00_000_00_Face_00_SKIN (Instance)", "face"),
        ("FaceMouth", "mouth"), ("FaceBrow", "brow"), ("FaceEyeline", "drop"), ("EyeIris", "eye"), ("EyeWhite", "eye"),
        ("EyeHighlight", "eye"), ("HairBack", "hair"), ("Body", "face"), ("Tops", "cloth"), ("Bottoms", "cloth"),
        ("Shoes", "cloth"), ("CC_Base_Head", "face"), ("CC_Base_Eye", "eye"), ("CC_Base_Tongue", "mouth"),
        ("CC_Base_EyeOcclusion", "drop"), ("CC_Base_TearLine", "drop"), ("Std_Skin_Arm", "face"), ("Std_Nails", "face"),
        ("head_lod0_mesh", "face"), ("eyeshell_lod0_mesh", "drop"), ("eyeEdge_lod0_mesh", "drop"),
        ("saliva_lod0_mesh", "drop"), ("Ch23_Pants", "cloth"), ("Ch31_Eyelashes", "drop"), ("Ch46_Cap", "hat"),
        ("Lips", "lips"), ("Ears", "ear"), ("EyeSocket", "skin"), ("EyeMoisture", "drop"), ("Torso", "face"),
        ("helper-hair", "drop"), ("helper-l-eye", "eye"), ("joint-l-eye", "drop"), ("joint-head", "drop"),
        ("facial-hair", "skin"), ("eye_iris-brown", "eye"), ("eyebrows_colorize", "brow"),
        # Words in words.
        ("TopHat", "hat"), ("Head_Top", "face"), ("TopLip", "u_lip"), ("Beta_Surface", None), ("Headphones", None),
        ("necktie", "cloth"), ("Forearm", None), ("Landscape", None), ("nose_ring", None), ("tank_top", "cloth"),
    ],
)  # fmt: skip
def test_default_rules_know_common_names(names, label, ingest_config):
    found = [rule for rule in ingest_config.rules if _match((names,), (rule,)) is not None]
    assert (found[0][1] if found else None) == label
