"""Pictures of the shape of a scan, colours aside: what a parser sees of scans that have none."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from sofgan.cameras import Camera
from sofgan.rendering.renderer import MeshRenderer, barycentric
from sofgan.scans.mesh_ops import area_vectors

SUPERSAMPLING = 2  # Pictures are drawn so many times finer and averaged.
# How wide a neighbourhood hollows are told by, and how deep ones saturate: shares of the picture's side.
_HOLLOW_WIDTH, _HOLLOW_DEPTH = 0.02, 0.005


def picture_shape(
    vertices: np.ndarray,
    faces: np.ndarray,
    renderer: MeshRenderer,
    cameras: Camera,
) -> np.ndarray:
    """Pictures of a surface that stands upright at about unit size; leaves it loaded.

    Their red is how far the surface faces up, -1 to 1, their green how far it faces the camera, as twice the squared
    cosine less 1, their blue how far it lies before what surrounds it: lips part in a hollow, and brows stand out.
    Each of them stays as it is in a mirror.

    Args:
        vertices, faces: (V, 3), (F, 3); one vertex a place, lest every triangle have normals of its own.
        renderer: of this process.
        cameras: a batch (N,) of arrays.

    Returns:
        (N, size, size, 3) uint8, mid-grey where there is nothing.
    """
    renderer.load(vertices, faces)
    normals = corner_normals(vertices, faces)
    return np.stack([_picture(vertices, faces, normals, renderer, camera) for camera in cameras])


def corner_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3, 3) unit normals at corners, smooth over shared vertices; 0 where they cancel."""
    area = area_vectors(vertices, faces)
    flat, count = faces.reshape(-1), len(vertices)
    summed = np.stack([np.bincount(flat, np.repeat(area[:, axis], 3), count) for axis in range(3)], -1)
    summed /= np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-30)
    return summed[faces]


def _picture(vertices, faces, normals, renderer, camera: Camera) -> np.ndarray:
    size, fine = camera.size, camera.size * SUPERSAMPLING
    seen = renderer.render(replace(camera, size=fine))
    covered = seen >= 0
    channels = np.zeros((fine, fine, 3))
    if covered.any():
        weights, depth = barycentric(seen, vertices, faces, camera)
        normal = (weights[:, :, None] * normals[seen[covered]]).sum(1) @ np.asarray(camera.cam2world)[:3, :3]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-9)
        normal *= np.where(normal[:, 2:] > 0, -1.0, 1.0)  # Triangles may be wound either way.
        # Squared, the cosine to the camera has contrast where faces are seen straight.
        channels[covered, 0], channels[covered, 1] = -normal[:, 1], 2 * normal[:, 2] ** 2 - 1
        channels[covered, 2] = _before_surroundings(covered, depth, float(camera.intrinsics[0, 0]))
    channels = channels.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3))
    return np.rint(127.5 + 127.5 * channels).astype(np.uint8)


def _before_surroundings(covered: np.ndarray, depth: np.ndarray, focal: float) -> np.ndarray:
    """(N,) -1..1 of the covered pixels: how much nearer they are than the mean around them that is covered."""
    sigma = _HOLLOW_WIDTH * len(covered)
    image = np.zeros(covered.shape, np.float32)
    # Depths in widths of the picture where the surface is.
    image[covered] = depth * (focal / np.median(depth))
    total = ndimage.gaussian_filter(image, sigma, truncate=2.5)
    share = ndimage.gaussian_filter(covered.astype(np.float32), sigma, truncate=2.5)
    return np.tanh((total[covered] / share[covered].clip(1e-6) - image[covered]) / _HOLLOW_DEPTH)
