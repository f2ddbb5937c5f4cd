"""Scans of which names tell a part: what stays open, how it is parsed, and what is said where it can't be."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from sofgan import labels
from sofgan.rendering.process_renderer import process_renderer
from sofgan.scans.face_frame import rotation_angle
from sofgan.scans.head_space import Orientation
from sofgan.scans.ingestion import ingest_batch, ingest_scan
from sofgan.scans.labelling import NoLabels, label_by_names, label_scan
from sofgan.scans.materials import Material
from sofgan.scans.reading import RawScan, ScanError, read_scan
from sofgan.scans.unlabelled.face_finding import Sight, find_face, known_eyes, restrict, ways_to_stand
from sofgan.scans.unlabelled.parsed_labels import without_painted_classes
from sofgan.scans.unlabelled.scan_parser import ScanParser
from tests import toyhead


def _parts(*names):
    """A scan of one triangle a part; a name may be several, with slashes."""
    count = len(names)
    vertices = np.arange(9.0 * count).reshape(-1, 3) ** 1.1
    return RawScan(
        vertices, np.arange(3 * count).reshape(-1, 3), np.arange(count),
        tuple(tuple(name.split("/")) if name else () for name in names), None, None, (Material(),) * count,
    )  # fmt: skip


def _named(config, *names):
    labelled = label_by_names(_parts(*names), config.rules)
    assert (labelled.scan.part_of_face == np.arange(len(names))).all()
    return labelled


def _classes(row):
    return {labels.NAMES[label] for label in np.flatnonzero(row)}


def test_a_face_may_be_all_that_no_other_part_is(ingest_config):
    labelled = _named(ingest_config, "Wolf3D_Head", "Wolf3D_Hair", "EyeLeft", "EyeRight", "Wolf3D_Teeth")
    assert labelled.face_labels.tolist() == [labels.VOID, labels.HAIR, labels.EYE, labels.EYE, labels.MOUTH]
    # Teeth are a part of a mouth; the rest of it may lie in the head.
    assert _classes(labelled.may_be[0]) == set(labels.NAMES) - {
        "background",
        "hair",
        "hat",
        "eye",
        "eyeglass",
    }
    assert [_classes(row) for row in labelled.may_be[1:]] == [{"hair"}, {"eye"}, {"eye"}, {"mouth"}]
    assert labelled.open_parts == "Wolf3D_Head" and labelled.source == "names"
    assert _classes(np.isin(np.arange(17), labelled.lacks)) == {
        "brow", "r_nose", "l_nose", "u_lip", "l_lip", "ear"
    }  # fmt: skip


@pytest.mark.parametrize("nose", [("nose",), ("r_nose", "l_nose")])
def test_a_face_beside_a_nose_and_lips_is_skin(nose, ingest_config):
    labelled = _named(ingest_config, "face", "upper_lip", "lower_lip", *nose)
    assert labelled.may_be is None and labelled.lacks == ()
    assert labelled.face_labels[0] == labels.SKIN and labels.VOID not in labelled.face_labels
    # Without one of them it is not.
    for left_out in range(3):
        names = [name for n, name in enumerate(("upper_lip", "lower_lip", *nose[:1])) if n != left_out]
        assert _named(ingest_config, "face", *names).face_labels[0] == labels.VOID


def test_a_part_that_no_rule_knows_is_open_and_the_others_are_what_they_are(ingest_config):
    labelled = _named(ingest_config, "head", "Gizmo", "", "hair", "eye", "nose", "u_lip", "l_lip")
    skin, eye, nose, upper, lower = labels.SKIN, labels.EYE, labels.R_NOSE, labels.U_LIP, labels.L_LIP
    expected = [skin, labels.VOID, labels.VOID, labels.HAIR, eye, nose, upper, lower]
    assert labelled.face_labels.tolist() == expected
    for row in labelled.may_be[1:3]:
        assert _classes(row) == set(labels.NAMES) - {"background"}
    assert labelled.open_parts == "Gizmo, (no name)"


def test_lips_that_are_one_part_are_told_apart_by_parsing(ingest_config):
    labelled = _named(ingest_config, "skin", "Lips", "nose")
    assert labelled.face_labels.tolist() == [labels.SKIN, labels.VOID, labels.R_NOSE]
    assert _classes(labelled.may_be[1]) == {"u_lip", "l_lip", "mouth"}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("head", "Body"), "tell nothing apart: all is skin"),
        (("hair", "hair_back"), "tell nothing apart: all is hair"),
        (("head", "Gizmo", "Thing"), "no rule matches the parts Gizmo, Thing"),
        (("lashes",), "drop every part"),
    ],
)
def test_names_that_tell_nothing_are_no_labels(names, reason, ingest_config):
    with pytest.raises(ScanError, match=reason):
        label_by_names(_parts(*names), ingest_config.rules)
    with pytest.raises(NoLabels, match=reason):
        label_scan(_parts(*names), ingest_config.rules, None, 20.0, 0.0)


def test_colours_of_the_palette_tell_more_than_names_do(ingest_config, tmp_path):
    """Before, "head" and "hair" were skin and hair, whatever was painted on them."""
    _, _, face_labels = toyhead.merged()
    mesh = toyhead.colored("face")
    scene = trimesh.Scene()
    for name, chosen in (("hair", face_labels == labels.HAIR), ("head", face_labels != labels.HAIR)):
        part = mesh.submesh([np.flatnonzero(chosen)], append=True)
        scene.add_geometry(trimesh.Trimesh(
            part.triangles.reshape(-1, 3), np.arange(3 * len(part.faces)).reshape(-1, 3),
            vertex_colors=np.repeat(part.visual.face_colors, 3, 0), process=False,
        ), node_name=name, geom_name=name)  # fmt: skip
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    arrays, row = ingest_scan(tmp_path / "a.glb", ingest_config, Orientation())
    assert (row.status, row.label_source) == ("ok", "colours")
    assert set(np.unique(arrays["face_labels"])) == toyhead.CLASSES


def _write(path, names, hued=True):
    """The toy head with its parts' names replaced; parts that get one name become one part."""
    parts = {}
    color_of = dict(zip(toyhead._HUED, toyhead.HUES))
    for name, label, mesh in toyhead.parts(2):
        if hued:
            mesh.visual.vertex_colors = np.tile([*color_of[label], 255], (len(mesh.vertices), 1))
        parts.setdefault(names.get(name, name), []).append(mesh)
    scene = trimesh.Scene()
    for name, meshes in parts.items():
        scene.add_geometry(trimesh.util.concatenate(meshes), node_name=name, geom_name=name)
    path.write_bytes(scene.export(file_type="glb"))
    return path


_LUMPED = {"Skin": "head", "Nose": "head", "Upper_Lip": "head", "Lower_Lip": "head"}


def _true_shares(arrays):
    """Share of the toy's triangles, by class, whose nearest triangle in the scan file has their label."""
    vertices, faces, face_labels = toyhead.merged(2)
    middles = trimesh.transform_points(vertices[faces].mean(1), arrays["raw_to_head"])
    seen = np.linalg.norm(middles, axis=1) < 0.98
    found = arrays["vertices"][arrays["faces"]].mean(1)
    nearest = np.linalg.norm(middles[seen][:, None] - found[None], axis=-1).argmin(1)
    label = np.where(arrays["face_labels"] == labels.L_NOSE, labels.R_NOSE, arrays["face_labels"])[nearest]
    true = face_labels[seen]
    return {one: (label[true == one] == one).mean() for one in np.unique(true)}


class _Misled:
    """The toy's oracle, but skin is hair to it, and eyes are too."""

    def __init__(self, oracle):
        self.oracle, self.size = oracle, oracle.size

    def __call__(self, photos):
        probabilities = self.oracle(photos)
        for label, share in ((labels.SKIN, 0.6), (labels.EYE, 0.95)):
            probabilities[:, labels.HAIR] += share * probabilities[:, label]
            probabilities[:, label] *= 1 - share
        return probabilities


def test_what_names_leave_open_is_parsed_and_what_they_say_is_kept(ingest_config, tmp_path):
    path = _write(tmp_path / "a.glb", _LUMPED)
    arrays, row = ingest_scan(path, ingest_config, Orientation(), _Misled(toyhead.Oracle()))
    assert row.status == "ok" and row.reason == "" and row.lacks == ""
    assert set(row.classes.split()) == {labels.NAMES[label] for label in toyhead.CLASSES}
    shares = _true_shares(arrays)
    assert shares[labels.HAIR] == shares[labels.EYE] == 1
    assert shares[labels.SKIN] > 0.9, shares
    assert min(shares[label] for label in (labels.R_NOSE, labels.U_LIP, labels.L_LIP)) > 0.5, shares
    # By area: the head's sphere against hair, eyes and what the ball holds of the shirt.
    first, second = row.label_source.split(", ")
    assert first.startswith("names 0.") and second.startswith("parsed views 0.")
    assert float(first[-4:]) + float(second[-4:]) == pytest.approx(1)
    assert 0.4 < float(second[-4:]) < 0.6
    # Nothing known but the hair: the same parser takes half of the face for it.
    assert float(row.face_score) > 0.4


def test_a_part_without_a_rule_is_parsed_and_not_the_whole_scan(ingest_config, tmp_path):
    path = _write(tmp_path / "a.glb", {"Nose": "Gizmo"})
    arrays, row = ingest_scan(path, ingest_config, Orientation(), toyhead.Oracle())
    shares = _true_shares(arrays)
    assert row.status == "ok" and shares.pop(labels.R_NOSE) > 0.9
    # Without a nose and lips by name the skin is open, too.
    assert shares.pop(labels.SKIN) > 0.9
    assert set(shares.values()) == {1.0}


@pytest.mark.parametrize("hued", [False, True])
def test_a_scan_that_can_not_be_parsed_is_partial_and_its_open_parts_are_void(hued, ingest_config, tmp_path):
    """A moustache makes it a head with skin."""
    path = _write(tmp_path / "a.glb", _LUMPED | {"Skin": "moustache"}, hued)
    arrays, row = ingest_scan(path, ingest_config, Orientation(front="+Z", up="+Y"))
    assert row.status == "partial"
    assert "don't tell what is what in head; " in row.reason
    assert ("there is no parser" if hued else "no colours to parse") in row.reason
    assert row.lacks == "brow r_nose l_nose mouth u_lip l_lip ear"
    assert {"skin", "eye", "hair"} <= set(row.classes.split()) <= {"skin", "eye", "hair", "cloth"}
    assert row.label_source.startswith("names 0.") and ", unknown 0." in row.label_source
    assert (arrays["face_labels"] == labels.VOID).sum() == 3 * 320


def test_no_parser_file_and_no_face_are_said_and_leave_what_names_tell(ingest_config, tmp_path):
    path = _write(tmp_path / "a.glb", _LUMPED | {"Skin": "moustache"})
    nowhere = ScanParser(tmp_path / "parser.pt")
    _, row = ingest_scan(path, ingest_config, Orientation("+Y", "+Z"), nowhere)
    assert row.status == "partial" and "no parser at" in row.reason and "run train_parser first" in row.reason

    class Blind:
        size = 64

        def __call__(self, photos):
            return np.full((len(photos), 17, *photos.shape[1:3]), 1 / 17, np.float32)

    _, row = ingest_scan(path, ingest_config, Orientation("+Y", "+Z"), Blind())
    assert row.status == "partial" and "face found where scan.yaml says its front is" in row.reason


def test_partial_scans_are_usable(ingest_config, tmp_path):
    (tmp_path / "raw").mkdir()
    _write(tmp_path / "raw/a.glb", _LUMPED | {"Skin": "moustache"}, hued=False)
    (tmp_path / "raw/scan.yaml").write_text("up: +Y\nfront: +Z\n")
    figures = ingest_batch(tmp_path / "raw", tmp_path / "scans", ingest_config, 1)
    assert (figures["scans_usable"], figures["scans_rejected"]) == (1, 0)
    assert figures["has_hair"] == 1 and figures["has_u_lip"] == 0


def test_a_part_of_one_colour_holds_what_shape_shows():
    scan = _parts("body", "head", "Gizmo", "hair")
    may_be = np.ones((4, 17), bool)
    may_be[:, labels.BACKGROUND] = False
    may_be[3] = np.arange(17) == labels.HAIR
    shape = {"skin", "r_nose", "l_nose", "mouth", "u_lip", "l_lip", "ear", "neck"}
    textured = Material(Image.new("RGB", (4, 4)))
    materials = (Material(color=(200, 150, 130)), textured, Material(), Material())
    scan = replace(scan, materials=materials, corner_uv=np.zeros((4, 3, 2)))
    found = without_painted_classes(scan, may_be)
    assert [_classes(row) for row in found] == [shape, _classes(may_be[1]), shape, {"hair"}]
    colors = np.full((4, 3, 3), 100, np.uint8)
    colors[2, 0, 0] = 120
    found = without_painted_classes(replace(scan, corner_colors=colors), may_be)
    assert [_classes(row) for row in found] == [shape, _classes(may_be[1]), _classes(may_be[2]), {"hair"}]
    assert without_painted_classes(scan, None) is None


def _spheres(*centres, names=("head", "eye")):
    meshes = [trimesh.creation.icosphere(1, 1.0)] + [trimesh.creation.icosphere(2, 0.12) for _ in centres]
    for mesh, centre in zip(meshes[1:], centres):
        mesh.apply_translation(centre)
    whole = trimesh.util.concatenate(meshes)
    part = np.repeat(np.arange(len(meshes)) > 0, [len(mesh.faces) for mesh in meshes]).astype(int)
    may_be = np.ones((2, 17), bool)
    may_be[1] = np.arange(17) == labels.EYE
    return RawScan(
        np.asarray(whole.vertices), np.asarray(whole.faces), part, tuple((n,) for n in names), None, None,
        (Material(),) * 2,
    ), may_be  # fmt: skip


def test_two_eyes_are_known_and_one_is_not():
    scan, may_be = _spheres((0.35, 0.2, 0.9), (-0.35, 0.2, 0.9))
    eyes = known_eyes(scan, may_be)
    np.testing.assert_allclose(eyes.middle, (0, 0.2, 0.9), atol=1e-6)
    assert len(eyes) == 640
    assert known_eyes(*_spheres((0.35, 0.2, 0.9))) is None
    assert known_eyes(scan, np.ones((2, 17), bool)) is None


@pytest.mark.parametrize("lean", [0, 45])
def test_a_face_is_looked_for_around_known_eyes(lean, ingest_config, tmp_path):
    """Else around the six axes: from there a head that leans by half a right angle scores badly."""
    turn = trimesh.transformations.rotation_matrix(np.radians(lean), [1, 0, 0])
    scan = read_scan(_write(tmp_path / "a.glb", _LUMPED)).welded()
    scan = replace(scan, vertices=trimesh.transform_points(scan.vertices, turn))
    may_be = label_by_names(scan, ingest_config.rules).may_be
    asked = []

    def parse(photos):
        asked.append(len(photos))
        return toyhead.Oracle()(photos)

    standings = ways_to_stand() if lean else ways_to_stand(np.array([0.0, 1, 0]))
    found = find_face(scan, Sight(process_renderer(), parse, 64), standings, may_be)
    assert rotation_angle(found.frame.rotation @ turn[:3, :3]) < 12
    # First around the line through the eyes; where up is known, only from where that fits.
    assert asked[0] == (24 if lean else 6)
    if lean:  # Then closer: the search along the axes isn't needed.
        assert asked == [24, 1, 1, 1]


def test_restricted_pixels_are_of_classes_that_their_part_may_be():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(17), (2, 3, 3)).transpose(0, 3, 1, 2)
    visible = np.array([[[-1, 0, 1], [2, 2, 0], [1, -1, 2]]] * 2)
    may_be = np.zeros((3, 17), bool)
    may_be[0, labels.EYE] = may_be[1, [labels.SKIN, labels.HAIR]] = True
    may_be[2] = True
    found = restrict(probabilities, visible, np.arange(3), may_be)
    np.testing.assert_allclose(found.sum(1), 1)
    for n, y, x in np.ndindex(2, 3, 3):
        given, kept = probabilities[n, :, y, x], found[n, :, y, x]
        if visible[n, y, x] < 0 or visible[n, y, x] == 2:
            np.testing.assert_allclose(kept, given)
        elif visible[n, y, x] == 0:
            np.testing.assert_array_equal(kept, may_be[0])
        else:
            both = given[labels.SKIN] + given[labels.HAIR]
            np.testing.assert_allclose(kept[labels.SKIN], given[labels.SKIN] / both)
            np.testing.assert_allclose(kept[labels.HAIR], given[labels.HAIR] / both)
    # What no part may be leaves them alike.
    certain = np.zeros((1, 17, 1, 1))
    certain[0, labels.CLOTH] = 1
    found = restrict(certain, np.array([[[1]]]), np.arange(3), may_be)
    assert found[0, labels.SKIN, 0, 0] == found[0, labels.HAIR, 0, 0] == 0.5
    assert restrict(certain, np.array([[[1]]]), np.arange(3), None) is certain
