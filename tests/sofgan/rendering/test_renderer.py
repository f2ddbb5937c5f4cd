"""The rasteriser against an analytic sphere, a ray caster, and its own promises."""

import numpy as np
import pytest
import trimesh

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import FAR, barycentric, label_map

INTRINSICS = cameras.intrinsics_from_fov(29.0)


@pytest.fixture(scope="module")
def renderer():
    return process_renderer()


def _bumpy_head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A closed surface with folds, on which every class has triangles."""
    mesh = trimesh.creation.icosphere(subdivisions=4)
    generator = np.random.default_rng(3)
    bumps = generator.normal(size=(24, 3))
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    vertices = mesh.vertices * (0.6 + 0.3 * np.exp(-12 * (1 - mesh.vertices @ bumps.T)).max(1)[:, None])
    face_labels = (np.arange(len(mesh.faces)) * 7919 % labels.NUM_CLASSES).astype(np.uint8)
    return vertices, mesh.faces, face_labels


def test_depth_of_a_sphere_is_analytic(renderer):
    sphere = trimesh.creation.icosphere(subdivisions=5)
    renderer.load(sphere.vertices, sphere.faces)
    camera = Camera(cameras.orbit(0.4, 0.2, 4.0), INTRINSICS, 96)
    renderer.render(camera)
    depth = renderer.last_depth()
    origin, directions = cameras.rays(camera)
    a, b = (directions**2).sum(-1), directions @ origin
    discriminant = b * b - a * (origin @ origin - 1)
    # Well inside the silhouette, where the faceted sphere is close to the round one.
    inside = discriminant > 0.1
    truth = (-b - np.sqrt(np.where(inside, discriminant, 0))) / a
    assert inside.sum() > 3000
    np.testing.assert_allclose(depth[inside], truth[inside], atol=2e-3)
    assert (depth[discriminant < -0.1] == 0).all()


def test_same_triangles_as_a_ray_caster(renderer):
    vertices, faces, face_labels = _bumpy_head()
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    renderer.load(vertices, faces)
    differing = total = 0
    for yaw, pitch in ((0.0, 0.0), (0.8, 0.3), (-0.5, -0.4)):
        camera = Camera(cameras.orbit(yaw, pitch, 3.5), INTRINSICS, 128)
        visible = renderer.render(camera)
        origin, directions = cameras.rays(camera)
        flat = directions.reshape(-1, 3)
        hit = mesh.ray.intersects_first(np.broadcast_to(origin, flat.shape), flat).reshape(128, 128)
        differing += (label_map(visible, face_labels) != label_map(hit, face_labels)).sum()
        total += hit.size
    assert trimesh.ray.has_embree
    assert differing / total < 2e-3  # pixels whose centre lies on an edge, to rounding


def test_corners_keep_their_places(renderer):
    """Each image corner sees the quad's own corner: no flip, no transposition, half-pixel centres."""
    quad = np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0], [0, 0, 0.0]])
    faces = np.array([[4, 1, 0], [4, 2, 1], [4, 3, 2], [4, 0, 3]])  # top, right, bottom, left
    renderer.load(quad, faces)
    intrinsics = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])  # at distance 4 the quad fills the image
    visible = renderer.render(Camera(cameras.orbit(0.0, 0.0, 4.0), intrinsics, 8))
    assert (visible >= 0).all()
    assert visible[0, 4] == 0
    assert visible[4, 7] == 1
    assert visible[7, 4] == 2
    assert visible[4, 0] == 3


def test_principal_point_and_focal_length_are_those_of_cameras_project(renderer):
    target = np.array([0.21, -0.13, 0.05])
    small = trimesh.creation.icosphere(subdivisions=2, radius=0.01)
    renderer.load(small.vertices + target, small.faces)
    intrinsics = np.array([[1.7, 0, 0.43], [0, 1.9, 0.58], [0, 0, 1]])
    camera = Camera(cameras.orbit(0.5, -0.3, 3.0), intrinsics, 512)
    rows, columns = np.nonzero(renderer.render(camera) >= 0)
    expected, _ = cameras.project(target, camera)
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], expected * 512, atol=0.3)


def test_back_faces_are_drawn_and_sizes_can_change(renderer):
    triangle = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0.0]])
    for faces in ([[0, 1, 2]], [[0, 2, 1]]):
        renderer.load(triangle, np.array(faces))
        for size in (16, 64):
            visible = renderer.render(Camera(cameras.orbit(0.0, 0.0, 4.0), INTRINSICS, size))
            assert visible.shape == (size, size)
            assert set(np.unique(visible)) == {-1, 0}


def test_barycentric_rebuilds_the_seen_point(renderer):
    vertices, faces, _ = _bumpy_head()
    renderer.load(vertices, faces)
    camera = Camera(cameras.orbit(0.3, 0.1, 4.0), INTRINSICS, 64)
    visible = renderer.render(camera)
    weights, depth = barycentric(visible, vertices, faces, camera)
    points = (weights[..., None] * vertices[faces[visible[visible >= 0]]]).sum(1)
    image, z = cameras.project(points, camera)
    rows, columns = np.nonzero(visible >= 0)
    np.testing.assert_allclose(z, depth, atol=1e-9)
    # The depth buffer tells the same, but for triangles seen edge-on.
    differs = np.abs(renderer.last_depth()[visible >= 0] - depth) > 2e-4
    assert differs.mean() < 0.01
    # The point is on the ray of its pixel, but for triangles seen edge-on, whose weights were clipped.
    error = np.abs(image * 64 - np.stack([columns + 0.5, rows + 0.5], -1)).max(-1)
    assert np.quantile(error, 0.99) < 1e-6
    assert error.max() < 0.1


def test_distance_map_is_parallel_and_linear(renderer):
    square = np.array([[-0.5, -0.5, 0.3], [0.5, -0.5, 0.3], [0.5, 0.5, 0.1], [-0.5, 0.5, 0.1]])
    renderer.load(square, np.array([[0, 1, 2], [0, 2, 3]]))
    distance = renderer.distance_map(cameras.orbit(0.0, 0.0, 3.0), 1.0, 64)
    hit = distance < FAR - 1
    assert hit.sum() == 32 * 32
    np.testing.assert_allclose(distance[16, 32], 2.9, atol=4e-3)
    np.testing.assert_allclose(distance[47, 32], 2.7, atol=4e-3)


def test_an_empty_mesh_is_refused(renderer):
    with pytest.raises(ValueError, match="without faces"):
        renderer.load(np.zeros((0, 3)), np.zeros((0, 3), int))
