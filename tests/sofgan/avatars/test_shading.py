"""Shading against what can be known: convex bodies, shadows, energy, colours."""

import numpy as np
import pytest
import trimesh

from sofgan import cameras, labels
from sofgan.avatars.lighting import Light, Lighting, draw_background, draw_lighting
from sofgan.avatars.parts import Part
from sofgan.avatars.shading import make_head, shade, sphere_directions
from sofgan.cameras import Camera
from sofgan.images import to_linear
from sofgan.rendering.process_renderer import process_renderer

BLACK = np.zeros(3)
DIRECTIONS = sphere_directions(64)


def _sphere(radius=0.1, centre=(0, 0, 0), label=labels.CLOTH, color=128, inside_out=False) -> Part:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    faces = mesh.faces[:, ::-1] if inside_out else mesh.faces
    return Part(
        "sphere",
        (mesh.vertices + centre).astype(np.float32),
        faces.astype(np.int32),
        np.full(len(faces), label, np.uint8),
        np.full((len(mesh.vertices), 3), color, np.uint8),
        roughness=1.0,
    )


def _render(head, lighting, size=64):
    camera = Camera(cameras.orbit(0.0, 0.0, 1.0), cameras.intrinsics_from_fov(20.0), size)
    visible = process_renderer().render(camera)
    return shade(head, visible, camera, lighting), visible


def test_directions_are_even():
    np.testing.assert_allclose(np.linalg.norm(DIRECTIONS, axis=1), 1)
    np.testing.assert_allclose(DIRECTIONS.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(DIRECTIONS.T @ DIRECTIONS / len(DIRECTIONS), np.eye(3) / 3, atol=0.01)


@pytest.mark.parametrize("inside_out", [False, True])
def test_uniform_light_shows_the_albedo_of_a_convex_body(inside_out):
    """An open body in even light sends back its albedo, whichever way its triangles are wound."""
    head = make_head((_sphere(inside_out=inside_out),), process_renderer(), DIRECTIONS)
    image, visible = _render(head, Lighting((), np.ones(3), np.ones(3)))
    # The upper part: below, the directions from under the body count for less.
    seen = image[visible >= 0].reshape(-1, 3)
    top = np.nonzero(visible >= 0)[0] < 26
    np.testing.assert_allclose(seen[top], to_linear(np.array(128 / 255)), rtol=0.12)
    assert (image[visible < 0] == 0).all()


def test_a_lamp_lights_its_side_and_casts_a_shadow():
    lamp = Light(np.array([1.0, 0, 0]), np.ones(3), 30.0)
    alone = make_head((_sphere(),), process_renderer(), DIRECTIONS)
    image, _ = _render(alone, Lighting((lamp,), BLACK, BLACK))
    assert image[32, 42].mean() > 4 * image[32, 24].mean()
    bright = image[32, 36].mean()
    # A second body between lamp and sphere takes the light away.
    blocked = make_head((_sphere(), _sphere(0.2, (0.35, 0, 0))), process_renderer(), DIRECTIONS)
    image, _ = _render(blocked, Lighting((lamp,), BLACK, BLACK))
    assert image[32, 36].mean() < 0.5 * bright


def test_facing_surface_gets_the_lamps_colour():
    lamp = Light(np.array([0.0, 0, 1]), np.array([0.8, 0.5, 0.2]), 20.0)
    head = make_head((_sphere(),), process_renderer(), DIRECTIONS)
    image, _ = _render(head, Lighting((lamp,), BLACK, BLACK))
    expected = to_linear(np.array(128 / 255)) * lamp.color
    np.testing.assert_allclose(image[32, 32], expected, rtol=0.25)


def test_light_spreads_under_skin_red_furthest():
    lamp = Lighting((Light(np.array([1.0, 0, 0]), np.ones(3), 60.0),), BLACK, BLACK)
    cloth, _ = _render(make_head((_sphere(),), process_renderer(), DIRECTIONS), lamp)
    skin, _ = _render(make_head((_sphere(label=labels.SKIN),), process_renderer(), DIRECTIONS), lamp)
    shadow_edge = slice(26, 32)
    gain = skin[32, shadow_edge].sum(0) - cloth[32, shadow_edge].sum(0)
    assert gain[0] > gain[1] > gain[2] >= -1e-6


def test_parts_that_meet_share_their_normals():
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    upper = mesh.triangles_center[:, 1] > 0
    parts = tuple(
        Part(
            name, mesh.vertices.astype(np.float32), mesh.faces[half].astype(np.int32),
            np.full(half.sum(), labels.SKIN, np.uint8), np.full((len(mesh.vertices), 3), 200, np.uint8),
        )
        for name, half in (("a", upper), ("b", ~upper))
    )  # fmt: skip
    head = make_head(parts, process_renderer(), DIRECTIONS)
    used = np.unique(head.faces)
    expected = head.vertices[used] / np.linalg.norm(head.vertices[used], axis=1, keepdims=True)
    assert (head.normals[used] * expected).sum(1).min() > 0.995


def test_drawn_lights_and_backgrounds_are_plausible():
    for index in range(20):
        generator = np.random.default_rng(index)
        lighting = draw_lighting(generator)
        assert 2 <= len(lighting.lights) <= 3
        for light in lighting.lights:
            assert np.linalg.norm(light.direction) == pytest.approx(1)
            assert (light.color > 0).all()
        background = draw_background(generator, 32)
        assert background.shape == (32, 32, 3)
        assert 0 < background.min() <= background.max() <= 1.5
