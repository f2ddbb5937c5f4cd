"""Meshes and pictures of a field's volume: a sphere, whose size and colours are known."""

import io
import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from sofgan import labels
from sofgan.apps import mesh as mesh_module
from sofgan.apps import volume_picture as volume
from sofgan.apps.mesh import TrainingViews, _shown_parts, continued, extract_mesh, save_glb, smoothed, tidied
from sofgan.apps.volume_picture import (
    class_thickness,
    class_volumes,
    most_probable_volume,
    probabilities_at,
    volume_picture,
)
from sofgan.images import to_srgb
from sofgan.sof.model import field_instance
from sofgan.sof.occupancy import cell_centres
from tests import scenes


def _trimesh(mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def test_the_mesh_of_a_sphere_is_the_sphere(sphere_sof):
    mesh = extract_mesh(sphere_sof, sphere_sof.codes[0], 48)
    sphere = scenes.SphereField
    centre = np.array(sphere.CENTRE)
    distances = np.linalg.norm(mesh.vertices - centre, axis=1)
    seen = mesh.vertices[:, 2] > centre[2] + 0.3 * sphere.RADIUS
    assert np.abs(distances - sphere.RADIUS)[seen].max() < 0.01
    assert np.abs(distances - sphere.RADIUS).max() < 2 / 48  # a cell, where what is guessed begins
    whole = _trimesh(mesh)
    assert whole.is_watertight
    assert whole.euler_number == 2
    assert whole.volume == pytest.approx(
        4 / 3 * math.pi * sphere.RADIUS**3, rel=0.04
    )  # Positive: wound outward. Smoothing makes the back a little smaller.
    height = mesh.vertices[:, 1]
    for half, name in ((height > 0.03, labels.HAIR), (height < -0.03, labels.SKIN)):
        right = mesh.labels[half] == name
        assert right[seen[half]].all() and right.mean() > 0.9  # At the back they flow.


def test_a_glb_reloads_with_colours_of_classes(sphere_sof, tmp_path):
    mesh = extract_mesh(sphere_sof, sphere_sof.prepare(sphere_sof.codes[0]), 24)
    save_glb(tmp_path / "head.glb", mesh)
    (loaded,) = trimesh.load(tmp_path / "head.glb").geometry.values()
    assert len(loaded.faces) == len(mesh.faces)
    assert np.allclose(loaded.bounds, _trimesh(mesh).bounds, atol=1e-5)
    colors = {tuple(color[:3]) for color in loaded.visual.vertex_attributes["color"].tolist()}
    assert colors == {tuple(labels.PALETTE[label].tolist()) for label in (labels.SKIN, labels.HAIR)}
    assert mesh.to_glb() == mesh.to_glb()
    assert len(trimesh.load(io.BytesIO(mesh.to_glb()), file_type="glb").geometry) == 1


def test_painted_colors_are_the_pictures_in_any_viewer_whatever_its_lights(sphere_sof):
    """glTF's vertex colors are linear light, and its default material is a metal's."""
    mesh = extract_mesh(sphere_sof, sphere_sof.codes[0], 16)
    colors = np.random.default_rng(0).integers(0, 256, (len(mesh.vertices), 3), dtype=np.uint8)
    colors[0] = (0, 128, 255)
    classes, painted = (Glb(one.to_glb()) for one in (mesh, replace(mesh, colors=colors)))

    found = painted.values("COLOR_0") / 65535
    assert found[0, :3].tolist() == pytest.approx([0, 0.215861, 1], abs=1e-5) and (found[:, 3] == 1).all()
    assert (np.round(255 * to_srgb(found[:, :3])) == colors).all()
    assert painted.material["extensions"] == {"KHR_materials_unlit": {}}
    assert painted.document["extensionsUsed"] == ["KHR_materials_unlit"]

    # Classes are told by their colors, so these stay bytes; their shape is seen by lights.
    assert (classes.values("COLOR_0")[:, :3] == labels.colorize(mesh.labels)).all()
    assert "extensions" not in classes.material
    normals = classes.values("NORMAL")
    outward = mesh.vertices - np.array(scenes.SphereField.CENTRE)
    assert ((normals * outward).sum(1) > 0.7 * np.linalg.norm(outward, axis=1)).all()
    for one in (classes, painted):
        assert one.material["pbrMetallicRoughness"] == {"metallicFactor": 0, "roughnessFactor": 1}
        assert (one.values("POSITION") == mesh.vertices).all()


class Glb:
    """A mesh of one part in a GLB, by the format's own words."""

    KINDS = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}

    def __init__(self, content: bytes):
        (length,) = struct.unpack_from("<I", content, 12)
        self.document, self.bytes = json.loads(content[20 : 20 + length]), content[28 + length :]
        ((self.primitive,),) = (mesh["primitives"] for mesh in self.document["meshes"])
        self.material = self.document["materials"][self.primitive["material"]]

    def values(self, name: str) -> np.ndarray:
        accessor = self.document["accessors"][self.primitive["attributes"][name]]
        view = self.document["bufferViews"][accessor["bufferView"]]
        assert name != "COLOR_0" or accessor["normalized"]
        assert name != "COLOR_0" or accessor["componentType"] == 5121 or not {"min", "max"} & accessor.keys()
        width = int(accessor["type"].removeprefix("VEC"))
        assert view["byteOffset"] % 4 == 0 and len(self.bytes) >= view["byteOffset"] + view["byteLength"]
        kind = self.KINDS[accessor["componentType"]]
        found = np.frombuffer(self.bytes, kind, accessor["count"] * width, view["byteOffset"])
        assert found.nbytes == view["byteLength"]
        return found.reshape(-1, width)


def test_a_head_that_leaves_the_ball_is_closed_there(sphere_sof, monkeypatch):
    monkeypatch.setattr(scenes.SphereField, "CENTRE", (0.0, -0.8, 0.0))
    mesh = extract_mesh(sphere_sof, sphere_sof.codes[0], 32)
    assert _trimesh(mesh).is_watertight
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 1.01
    assert mesh.vertices[:, 1].min() == pytest.approx(-1, abs=0.02)


def test_an_empty_field_has_no_mesh(sphere_sof, monkeypatch):
    monkeypatch.setattr(scenes.SphereField, "RADIUS", -1.0)
    with pytest.raises(ValueError, match="nowhere solid"):
        extract_mesh(sphere_sof, sphere_sof.codes[0], 16)


def test_what_no_camera_of_the_training_shows_goes_on_from_what_one_shows(sphere_sof, monkeypatch):
    """A field of planes has at the nape what lies before it: here a mouth within the lower half, front and back."""
    plain = mesh_module._vertex_labels

    def with_mouth(instance, vertices):
        found = plain(instance, vertices)
        return torch.where((vertices[:, 1] < 0) & (vertices[:, 0].abs() < 0.15), labels.MOUTH, found)

    monkeypatch.setattr(mesh_module, "_vertex_labels", with_mouth)
    mesh = extract_mesh(sphere_sof, sphere_sof.codes[0], 48)
    front, back = mesh.vertices[:, 2] > 0.1, mesh.vertices[:, 2] < -0.1
    assert (mesh.labels[front] == labels.MOUTH).sum() > 50
    assert set(np.unique(mesh.labels[back])) == {labels.SKIN, labels.HAIR}
    above = mesh.vertices[back, 1] > 0.15
    assert (mesh.labels[back][above] == labels.HAIR).all()


def test_a_vertex_is_seen_where_a_view_of_the_training_meets_it(sphere_sof):
    vertices = extract_mesh(sphere_sof, sphere_sof.codes[0], 48).vertices
    views = TrainingViews(sphere_sof, sphere_sof.prepare(sphere_sof.codes[0]))
    seen = views.seen(vertices)
    towards = (vertices - np.array(scenes.SphereField.CENTRE))[:, 2] / scenes.SphereField.RADIUS
    assert seen[towards > 0.75].all() and not seen[towards < -0.1].any()
    known, centres = views.known(24), cell_centres(24).numpy()
    place = centres - np.array(scenes.SphereField.CENTRE)
    inside, distance = np.linalg.norm(place, axis=-1), np.linalg.norm(place[..., :2], axis=-1)
    ball = np.linalg.norm(centres, axis=-1) < 0.9
    assert known[ball & (inside > 0.55) & (place[..., 2] > 0)].all()  # empty, before and beside the sphere
    hidden = (distance < 0.1) & (place[..., 2] < 0.2) & (place[..., 2] > -0.5)  # within it and just behind
    assert hidden.any() and not known[hidden].any()


def _parts(*sizes: float) -> tuple[np.ndarray, np.ndarray, list[slice]]:
    """Vertices and faces of loose balls, the finer the larger, and which vertices are whose."""
    balls = [trimesh.creation.icosphere(level, 0.3) for level in sizes]
    starts = np.cumsum([0, *(len(ball.vertices) for ball in balls)])
    vertices = np.concatenate([ball.vertices + (2 * number, 0, 0) for number, ball in enumerate(balls)])
    faces = np.concatenate([ball.faces + start for ball, start in zip(balls, starts)])
    return vertices, faces, [slice(*pair) for pair in zip(starts, starts[1:])]


def test_loose_parts_that_hardly_anybody_sees_are_left_out():
    vertices, faces, (head, stud, behind) = _parts(3, 1, 1)
    classes, seen = np.full(len(vertices), labels.EARRING), np.zeros(len(vertices), bool)
    seen[head][: seen[head].size // 3] = seen[stud] = True  # of the head itself the front
    seen[behind][: seen[behind].size // 2] = True
    kept = _shown_parts(vertices, faces, classes, seen)
    assert np.array_equal(kept[0], vertices[: stud.stop])
    assert np.array_equal(kept[1], faces[faces[:, 0] < stud.stop])
    assert len(kept[2]) == len(kept[3]) == stud.stop and kept[3].sum() == seen[: stud.stop].sum()
    none = _shown_parts(vertices, faces, classes, np.zeros(len(vertices), bool))
    assert len(none[0]) == len(vertices)  # where nothing is seen at all, all stays


def test_small_pieces_of_hair_that_touch_nothing_are_left_out():
    vertices, faces, (head, bun, speck) = _parts(3, 2, 0)
    classes, seen = np.full(len(vertices), labels.HAIR), np.ones(len(vertices), bool)
    assert len(_shown_parts(vertices, faces, classes, seen)[0]) == speck.start
    classes[speck] = labels.EARRING
    assert len(_shown_parts(vertices, faces, classes, seen)[0]) == len(vertices)


def test_what_nobody_sees_is_smooth_and_all_else_as_it_was():
    log_odds = torch.full((24, 24, 24), -3.0)
    log_odds[6:18, 6:18, 6:18] = 3.0
    log_odds[:6, 6:18:2] = 3.0  # a comb behind it
    known = np.zeros((12, 12, 12), bool)
    known[3:] = True
    found = smoothed(log_odds, known, 2.0)
    assert torch.equal(found[7:], log_odds[7:])
    rows = (found[2, :, 12] > 0).int()
    assert rows.diff().abs().sum() <= 2 < (log_odds[2, :, 12] > 0).int().diff().abs().sum()


def test_small_parts_do_not_go_on_and_borders_do():
    ball = trimesh.creation.icosphere(subdivisions=3)
    places, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    seen = places[:, 2] > 0
    classes = np.where(places[:, 1] > 0.3, labels.HAIR, labels.SKIN).astype(np.uint8)
    truth = classes.copy()
    ear = np.linalg.norm(places - (1, 0, 0), axis=1) < 0.3
    classes[ear] = labels.EAR
    classes[~seen & ~ear] = labels.MOUTH
    found = continued(places, faces, classes, seen)
    assert (found[seen] == classes[seen]).all()
    assert (found[~seen] == truth[~seen]).mean() > 0.9
    assert set(np.unique(found[~seen])) == {labels.HAIR, labels.SKIN}
    for up, expected in (
        (0.1, labels.SKIN),
        (0.6, labels.HAIR),
    ):  # The nearest seen vertex of the first is hair.
        behind = np.linalg.norm(places - (0, up, -np.sqrt(1 - up**2)), axis=1).argmin()
        assert found[behind] == expected
    assert (continued(places, faces, classes, np.zeros(len(places), bool)) == classes).all()


def test_hollows_are_filled_and_specks_dropped():
    log_odds = np.full((20, 20, 20), -3.0, np.float32)
    log_odds[4:14, 4:14, 4:14] = 3.0
    log_odds[8:10, 8:10, 8:10] = -2.0  # A hollow.
    log_odds[17, 17, 17] = 5.0  # A speck.
    log_odds[4:8, 4:8, 16] = 5.0  # A part of 16 cells.
    kept = tidied(log_odds, 10) > 0
    assert kept.sum() == 1000 + 16
    assert kept[8, 8, 8]
    assert not kept[17, 17, 17]


def test_volumes_are_see_through():
    probabilities = torch.zeros(2, 40, 17)
    probabilities[..., 0] = 1
    probabilities[0, 10:14] = torch.eye(17)[labels.BROW]
    probabilities[0, 14:] = torch.eye(17)[labels.SKIN]
    spacing = torch.tensor([0.05, 0.05])
    opacities = class_volumes(class_thickness(probabilities, spacing))
    assert (opacities[1] == 0).all()
    assert opacities[0, labels.BROW - 1] == pytest.approx(
        opacities[0, labels.SKIN - 1].item()
    )  # Each its own scale.
    assert 0.8 < opacities[0, labels.SKIN - 1] < 1
    colors = most_probable_volume(probabilities, spacing)
    brow = 1 - math.exp(-12 * 4 * 0.05)
    palette = torch.from_numpy(labels.PALETTE).float()
    expected = brow * palette[labels.BROW] + (1 - brow) * palette[labels.SKIN]
    assert torch.allclose(colors[0], expected, atol=1.0)
    assert (colors[1] == 0).all()


def test_a_sheet_shows_every_class(sphere_sof):
    picture = volume_picture(sphere_sof, sphere_sof.codes[0], size=40)
    assert picture.dtype == np.uint8
    assert picture.shape == (3 * 60 - 4, 7 * 44 - 4, 3)
    tile = picture[16:56, :40].reshape(-1, 3)
    assert {tuple(labels.PALETTE[label]) for label in (labels.SKIN, labels.HAIR)} <= set(map(tuple, tile))
    prepared = sphere_sof.prepare(sphere_sof.codes[0])
    instance = field_instance(sphere_sof.model, prepared.representation)
    points = torch.tensor([[0.1, 0.2, 0.2], [0.1, -0.2, 0.2], [0.9, 0.0, -0.3], [2.0, 0.0, 0.0]])
    shown = probabilities_at(instance, prepared.occupancy, points)
    assert shown.argmax(-1).tolist() == [labels.HAIR, labels.SKIN, 0, 0]
    assert torch.allclose(shown.sum(-1), torch.ones(4), atol=1e-4)


def test_a_volume_is_looked_at_in_pieces_of_equal_memory(sphere_sof, monkeypatch):
    whole, rows, plain = volume_picture(sphere_sof, sphere_sof.codes[0], size=20), [], volume.probabilities_at
    monkeypatch.setattr(volume, "RAYS", 150)
    monkeypatch.setattr(
        volume, "probabilities_at", lambda *given: rows.append(len(given[2])) or plain(*given)
    )
    pieces = volume_picture(sphere_sof, sphere_sof.codes[0], size=20)
    assert np.abs(pieces.astype(int) - whole).max() <= 1
    assert max(rows) == 150 * volume.SAMPLES and sum(rows) == 400 * (volume.SAMPLES + 3)
