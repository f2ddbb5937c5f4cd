"""Cuts keep area and shape, and end exactly on the surface."""

import numpy as np
import trimesh

from sofgan.scans.mesh_ops import clip_to_ball, cut_at_plane, subdivide


def test_plane_cut_keeps_the_surface_and_separates_the_sides():
    sphere = trimesh.creation.icosphere(subdivisions=3)
    normal, offset = np.array([0.6, 0.0, 0.8]), 0.123
    vertices, faces, origin = cut_at_plane(sphere.vertices, sphere.faces, normal, offset)
    cut = trimesh.Trimesh(vertices, faces, process=False)
    np.testing.assert_allclose(cut.area, sphere.area, rtol=1e-9)
    assert cut.is_watertight
    heights = (vertices @ normal - offset)[faces]
    assert (((heights > -1e-9).all(1)) | ((heights < 1e-9).all(1))).all()
    # Each piece lies in the plane of the triangle that it is part of, and faces the same way.
    np.testing.assert_allclose(cut.face_normals, sphere.face_normals[origin], atol=1e-6)


def test_ball_clip_is_a_clean_circle():
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 41), np.linspace(-2, 2, 41)), -1).reshape(-1, 2)
    index = np.arange(41 * 41).reshape(41, 41)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    vertices = np.concatenate([grid + 0.013, np.full((len(grid), 1), 0.6)], 1)
    points, pieces, origin = clip_to_ball(vertices, faces, 1.0)
    disc = trimesh.Trimesh(points, pieces, process=False)
    radii = np.linalg.norm(points[:, :2], axis=1)
    assert radii.max() <= 0.8 + 1e-12
    border = np.unique(disc.edges_sorted[trimesh.grouping.group_rows(disc.edges_sorted, require_count=1)])
    np.testing.assert_allclose(radii[border], 0.8, atol=1e-12)
    np.testing.assert_allclose(disc.area, np.pi * 0.64, rtol=5e-3)
    assert len(points) == len(np.unique(pieces))
    assert origin.max() < len(faces)


def test_what_lies_inside_is_untouched():
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.7)
    points, pieces, origin = clip_to_ball(sphere.vertices, sphere.faces, 1.0)
    np.testing.assert_array_equal(points[pieces], sphere.vertices[sphere.faces])
    np.testing.assert_array_equal(origin, np.arange(len(sphere.faces)))


def test_subdivision_is_conforming_and_its_weights_rebuild_the_corners():
    sphere = trimesh.creation.icosphere(subdivisions=2)
    marked = np.random.default_rng(0).random(len(sphere.faces)) < 0.2
    vertices, faces, origin, weights = subdivide(sphere.vertices, sphere.faces, marked)
    fine = trimesh.Trimesh(vertices, faces, process=False)
    assert fine.is_watertight  # Neighbours of divided triangles share the new vertices.
    np.testing.assert_allclose(fine.area, sphere.area, rtol=1e-12)
    np.testing.assert_allclose(weights @ sphere.vertices[sphere.faces[origin]], vertices[faces], atol=1e-12)
    np.testing.assert_allclose(fine.face_normals, sphere.face_normals[origin], atol=1e-6)
    assert (np.bincount(origin)[marked] == 4).all()


def test_nothing_marked_changes_nothing():
    sphere = trimesh.creation.icosphere(subdivisions=1)
    vertices, faces, origin, _ = subdivide(sphere.vertices, sphere.faces, np.zeros(len(sphere.faces), bool))
    np.testing.assert_array_equal(faces, sphere.faces)
    np.testing.assert_array_equal(vertices, sphere.vertices)
