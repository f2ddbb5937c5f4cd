"""Avatars: the same bytes every time, every class, sound meshes, the right sides, the same labels in both formats."""

import functools

import numpy as np
import pytest
import trimesh
from PIL import Image

from sofgan import labels
from sofgan.avatars import batch, export, surfaces
from sofgan.avatars.model import AvatarModel

COUNT = 16


@functools.cache
def model():
    return AvatarModel.load()


@functools.cache
def avatars():
    return [model().build(f"avatar_{k}", np.random.default_rng([3, k])) for k in range(COUNT)]


def parts_named(avatar):
    return {part.name: part for part in avatar.parts}


def test_meshes_are_sound():
    for avatar in avatars():
        names = [part.name for part in avatar.parts]
        assert len(names) == len(set(names))
        for part in avatar.parts:
            assert part.vertices.dtype == np.float32 and part.faces.dtype == np.int32
            assert part.face_labels.dtype == np.uint8 and part.vertex_colors.dtype == np.uint8
            assert np.isfinite(part.vertices).all(), (avatar.name, part.name)
            assert part.faces.min() >= 0 and part.faces.max() < len(part.vertices)
            assert len(part.face_labels) == len(part.faces) > 0
            assert len(part.vertex_colors) == len(part.vertices)
            assert (part.face_labels > 0).all() and (part.face_labels < labels.NUM_CLASSES).all()
            assert np.abs(part.vertices - [0, 0.745, 0.045]).max() < 0.4  # metres, round the head
            assert 0 < part.opacity <= 1 and 0 <= part.roughness <= 1


def test_every_class_occurs_and_every_style_is_drawn():
    seen = set()
    for avatar in avatars():
        for part in avatar.parts:
            seen |= set(np.unique(part.face_labels).tolist())
    assert seen == set(range(1, labels.NUM_CLASSES))
    assert len({avatar.parameters["hair"] for avatar in avatars()}) >= 6


def test_every_head_has_its_features_on_the_right_sides():
    for avatar in avatars():
        parts = parts_named(avatar)
        nose = parts["nose"]
        x = nose.vertices[nose.faces].mean(1)[:, 0]
        assert x[nose.face_labels == labels.R_NOSE].max() < 1e-3  # the subject's right is at -X
        assert x[nose.face_labels == labels.L_NOSE].min() > -1e-3
        for feature in ("eye", "brow"):
            assert parts[f"left_{feature}"].vertices[:, 0].mean() > 0.01
            assert parts[f"right_{feature}"].vertices[:, 0].mean() < -0.01

        def height(name, parts=parts):
            return parts[name].vertices[:, 1].mean()

        order = ("left_brow", "left_eye", "nose", "upper_lip", "lower_lip", "neck")
        heights = [height(name) for name in order]
        assert heights == sorted(heights, reverse=True)
        assert nose.vertices[:, 2].max() > parts["left_eye"].vertices[:, 2].max()


def test_eyes_are_seen_from_the_front():
    """Rays from the front meet an eye, and within it the dark pupil, before anything else."""
    bare = [avatar for avatar in avatars() if "glasses" not in avatar.parameters][:8]
    visible = 0
    for avatar in bare:
        mesh = trimesh.util.concatenate(
            [trimesh.Trimesh(p.vertices, p.faces, process=False) for p in avatar.parts]
        )
        classes = np.concatenate([part.face_labels for part in avatar.parts])
        eye = parts_named(avatar)["left_eye"].vertices[:760].mean(0)
        x, y = np.meshgrid(np.linspace(-0.012, 0.012, 13), np.linspace(-0.008, 0.008, 9))
        origins = np.stack([eye[0] + x.ravel(), eye[1] + y.ravel(), np.full(x.size, 0.4)], 1)
        hit = mesh.ray.intersects_first(origins, np.tile([0.0, 0.0, -1.0], (len(origins), 1)))
        visible += (classes[hit[hit >= 0]] == labels.EYE).mean() > 0.1
    assert visible >= 0.8 * len(bare)


def test_hair_hides_the_scalp():
    """Seen from above, a haired head without a hat is hair but at its rim."""
    for avatar in avatars():
        if avatar.parameters["hair"] == "bald" or "hat" in avatar.parameters:
            continue
        mesh = trimesh.util.concatenate(
            [trimesh.Trimesh(p.vertices, p.faces, process=False) for p in avatar.parts]
        )
        classes = np.concatenate([part.face_labels for part in avatar.parts])
        x, z = np.meshgrid(np.linspace(-0.04, 0.04, 15), np.linspace(0.0, 0.08, 15))
        origins = np.stack([x.ravel(), np.full(x.size, 1.2), z.ravel()], 1)
        hit = mesh.ray.intersects_first(origins, np.tile([0.0, -1.0, 0.0], (len(origins), 1)))
        assert (classes[hit] == labels.HAIR).all(), avatar.parameters


def test_colors_vary_between_people():
    means = {name: [] for name in ("skin", "hair", "cloth")}
    for avatar in avatars():
        for name, values in means.items():
            if name in parts_named(avatar):
                values.append(parts_named(avatar)[name].vertex_colors.mean(0))
    for values in means.values():
        assert np.std(values, axis=0).mean() > 20


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes_and_scans_do_not_depend_on_each_other(tmp_path):
    first = batch.make_batch(tmp_path / "first", "avatars-000", 3, seed=5)
    second = batch.make_batch(tmp_path / "second", "avatars-000", 2, seed=5)
    a, b = files(tmp_path / "first"), files(tmp_path / "second")
    assert set(b) < set(a)
    assert all(a[name] == b[name] for name in b if name != "avatars.json")
    assert {name: first[name] for name in second} == second
    other = batch.make_batch(tmp_path / "other", "avatars-001", 1, seed=5)
    assert files(tmp_path / "other")["avatar_0000.glb"] != a["avatar_0000.glb"]
    assert set(first["avatar_0000"]) >= {"hair", "expression", "format"} and len(other) == 1


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    avatar = next(a for a in avatars() if "glasses" in a.parameters)
    export.write_glb(avatar, folder / "head.glb")
    export.write_obj(avatar, folder, "head")
    return avatar, folder


def test_glb_has_a_named_mesh_for_each_part(written):
    avatar, folder = written
    scene = trimesh.load_scene(folder / "head.glb")
    assert set(scene.geometry) == {part.name for part in avatar.parts}
    for part in avatar.parts:
        mesh = scene.geometry[part.name]
        np.testing.assert_allclose(mesh.triangles_center, part.vertices[part.faces].mean(1), atol=1e-6)
        colors = np.asarray(mesh.visual.vertex_colors)[mesh.faces][..., :3]
        np.testing.assert_array_equal(colors, part.vertex_colors[part.faces])


def test_obj_carries_the_same_faces_labels_and_colors(written):
    avatar, folder = written
    vertices, uvs, faces = [], [], []
    for line in (folder / "head.obj").read_text().splitlines():
        kind, *values = line.split()
        if kind == "v":
            vertices.append([float(v) for v in values])
        elif kind == "vt":
            uvs.append([float(v) for v in values])
        elif kind == "f":
            faces.append([[int(i) - 1 for i in corner.split("/")] for corner in values])
    vertices, uvs, faces = np.array(vertices), np.array(uvs), np.array(faces)
    segmentation = np.asarray(Image.open(folder / "head_seg.png"))
    texture = np.asarray(Image.open(folder / "head.png"))
    assert max(segmentation.shape) <= 1024 and texture.shape == segmentation.shape

    def texels(image, uv):
        size = len(image)
        return image[((1 - uv[:, 1]) * size).astype(int), (uv[:, 0] * size).astype(int)]

    center = texels(segmentation, uvs[faces[..., 1]].mean(1))
    classes = np.concatenate([part.face_labels for part in avatar.parts])
    np.testing.assert_array_equal(center, labels.PALETTE[classes])
    expected = np.concatenate([part.vertices[part.faces] for part in avatar.parts])
    np.testing.assert_allclose(vertices[faces[..., 0]], expected, atol=1e-5)
    colors = np.concatenate([part.vertex_colors[part.faces] for part in avatar.parts])
    for corner in range(3):
        np.testing.assert_array_equal(texels(texture, uvs[faces[:, corner, 1]]), colors[:, corner])


def test_obj_refuses_more_faces_than_its_texture_holds():
    with pytest.raises(ValueError, match="don't fit"):
        export._texture_size(512 * 512 + 1)


def test_split_at_level_follows_the_zero_line():
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(5.0), indexing="ij"), -1).reshape(-1, 2)
    points = np.c_[grid, np.zeros(len(grid))]
    quad = np.arange(len(grid)).reshape(6, 5)
    quads = np.stack([quad[:-1, :-1], quad[1:, :-1], quad[1:, 1:], quad[:-1, 1:]], -1).reshape(-1, 4)
    faces = surfaces.triangulate(quads)
    level = points[:, 0] + 0.3 * points[:, 1] - 2.63
    cut, origin, matrix = surfaces.split_at_level(faces, level)
    new, new_level = matrix @ points, matrix @ level
    area = np.linalg.norm(surfaces.face_normals(new, cut), axis=1) / 2
    assert area.sum() == pytest.approx(20)
    np.testing.assert_allclose(np.bincount(origin, area), 0.5)
    signs = np.sign(np.where(np.abs(new_level) < 1e-9, 0, new_level))[cut]
    assert not ((signs > 0).any(1) & (signs < 0).any(1)).any()
    positive = area[new_level[cut].mean(1) > 0].sum()
    assert positive == pytest.approx(
        np.clip(5 - (2.63 - 0.3 * np.linspace(0, 4, 2001)), 0, 5).mean() * 4, rel=1e-3
    )


def test_catmull_clark_rounds_a_cube_and_keeps_a_plane_flat():
    cube = trimesh.creation.box()
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) - 0.5
    matrix, fine = surfaces.catmull_clark(quads, 8)
    smooth = matrix @ corners
    assert smooth.shape == (8 + 12 + 6, 3) and fine.shape == (24, 4)
    np.testing.assert_allclose(matrix.sum(1), 1)
    # Vertex rule for valence 3: (face points' mean + 2 edge midpoints' mean) / 3 = 5/18 of the corner's coordinates.
    np.testing.assert_allclose(np.abs(smooth[:8]), 5 / 18)
    assert abs(cube.volume) > abs(trimesh.Trimesh(smooth, surfaces.triangulate(fine)).volume) > 0.3


def test_pieces_are_wound_outwards():
    box = trimesh.creation.box()
    far = trimesh.creation.icosphere(subdivisions=1)
    far.apply_translation([5, 0, 0])
    vertices = np.concatenate([box.vertices, far.vertices])
    faces = np.concatenate([box.faces[:, ::-1], far.faces + len(box.vertices)])
    turned = surfaces.wound_outwards(vertices, faces)
    assert trimesh.Trimesh(box.vertices, turned[:12], process=False).volume > 0
    np.testing.assert_array_equal(turned[12:], faces[12:])
