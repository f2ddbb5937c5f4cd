"""Pictures of a raw scan, photo-like in its own colours, and which triangle each of their pixels shows."""

from dataclasses import replace

import numpy as np

from sofgan.cameras import Camera
from sofgan.rendering.renderer import MeshRenderer, barycentric
from sofgan.scans.materials import Material
from sofgan.scans.reading import RawScan
from sofgan.scans.unlabelled.shape_views import corner_normals, picture_shape

SUPERSAMPLING = 2  # Colours are sampled so many times finer and averaged: hair and lashes alias otherwise.
PLAIN = 8  # Colours (0..255) that differ by no more are one colour.
_BACKGROUND = 150.0  # Plain grey, as in a photo studio.
# A lamp above the camera, and light from everywhere: scans' colours often hold their own light already.
_LAMP = np.array([0.0, -0.35, -1.0]) / np.hypot(0.35, 1.0)
_AMBIENT = 0.72


def has_colors(scan: RawScan) -> bool:
    """Whether a scan shows anything beside its shape: a texture, or colours that differ."""
    if scan.corner_uv is not None and any(material.texture is not None for material in scan.materials):
        return True
    if scan.corner_colors is not None and np.ptp(scan.corner_colors.reshape(-1, 3), 0).max() > PLAIN:
        return True
    return len({material.color for material in scan.materials} - {None}) > 1


def photograph(scan: RawScan, renderer: MeshRenderer, cameras: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a scan that stands upright at about unit size; of its shape (`picture_shape`) if it has no colours.

    Args:
        scan: its vertices as the cameras see them; welded, lest the light show its triangles.
        renderer: of this process.
        cameras: a batch (N,) of arrays.

    Returns:
        photos (N, size, size, 3) uint8, and triangles seen (N, size, size) int32, -1 where there is none. Clear
        triangles are seen, but colours are those behind them.
    """
    size, fine = cameras.size, cameras.size * SUPERSAMPLING
    visible = seen_triangles(scan, renderer, cameras)
    if not has_colors(scan):
        return picture_shape(scan.vertices, scan.faces, renderer, cameras), visible
    solid = scan
    if scan.clear is not None and scan.clear.any() and not scan.clear.all():
        solid = scan.select(~scan.clear)
        renderer.load(solid.vertices, solid.faces)
    normals = corner_normals(solid.vertices, solid.faces)
    photos = []
    for camera in replace(cameras, size=fine):
        seen = renderer.render(camera)
        image = np.full((fine, fine, 3), _BACKGROUND)
        image[seen >= 0] = _shaded_colors(solid, normals, seen, camera)
        photos.append(image.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3)))
    return _exposed(np.stack(photos), visible >= 0), visible


def seen_triangles(scan: RawScan, renderer: MeshRenderer, cameras: Camera) -> np.ndarray:
    """The second of what `photograph` returns, (N, size, size) int32; leaves the scan loaded."""
    renderer.load(scan.vertices, scan.faces)
    return np.stack([renderer.render(camera) for camera in cameras])


def _shaded_colors(scan: RawScan, normals: np.ndarray, seen: np.ndarray, camera: Camera) -> np.ndarray:
    """(N, 3) float colours 0..255 of the seen pixels, in row-major order."""
    faces = seen[seen >= 0]
    weights, _ = barycentric(seen, scan.vertices, scan.faces, camera)
    colors = colors_at(scan, faces, weights)
    normal = (weights[:, :, None] * normals[faces]).sum(1) @ np.asarray(camera.cam2world)[:3, :3]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-9)
    # Scans' triangles may be wound either way: light falls on the side that is seen.
    light = np.abs(normal @ _LAMP)
    return colors * (_AMBIENT + (1 - _AMBIENT) * light)[:, None]


def colors_at(scan: RawScan, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Colours (N, 3) float, 0..255, at points of triangles.

    Args:
        faces: (N,) triangle numbers.
        weights: (N, 3) of their corners.
    """
    if scan.corner_colors is None:
        colors = np.full((len(faces), 3), 128.0)
    else:
        colors = (weights[:, :, None] * scan.corner_colors[faces]).sum(1)
    parts = scan.part_of_face[faces]
    for number in np.unique(parts):
        material = scan.materials[number] if number < len(scan.materials) else Material()
        chosen = np.flatnonzero(parts == number)
        if scan.corner_colors is None and material.color is not None:
            colors[chosen] = material.color
        if material.texture is not None and scan.corner_uv is not None:
            uv = (weights[chosen][:, :, None] * scan.corner_uv[faces[chosen]]).sum(1)
            mapped = np.isfinite(uv).all(1)
            colors[chosen[mapped]] = sample_texture(material.texture, uv[mapped])
    return colors


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear samples (N, 3) float of (H, W, 3) at texture coordinates (N, 2), which repeat beyond 0..1."""
    height, width = texture.shape[:2]
    uv = np.nan_to_num(uv)
    x, y = (uv[:, 0] % 1.0) * width - 0.5, (1 - uv[:, 1] % 1.0) * height - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    columns = np.stack([left, left + 1]).clip(0, width - 1)
    rows = np.stack([top, top + 1]).clip(0, height - 1)
    corner = {(j, i): texture[rows[j], columns[i]].astype(np.float64) for j in (0, 1) for i in (0, 1)}
    upper = corner[0, 0] * (1 - fx) + corner[0, 1] * fx
    lower = corner[1, 0] * (1 - fx) + corner[1, 1] * fx
    return upper * (1 - fy) + lower * fy


def _exposed(photos: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Photos (N, H, W, 3) with the scan's bright parts brought to one brightness, in all views alike; uint8."""
    if covered.any():
        bright = np.percentile(photos[covered].max(-1), 90)
        gain = np.clip(215.0 / max(bright, 1.0), 0.7, 2.5)
        photos = np.where(covered[..., None], photos * gain, photos)
    return np.clip(np.rint(photos), 0, 255).astype(np.uint8)
