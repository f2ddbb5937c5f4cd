"""Which way a segmentation texture is read: avatars whose labels are painted on other layouts, both ways.

    python -m benchmarks.texture_way [--scans 32] [--batch data/raw/scans/avatars-000] [--check]

Each textured avatar of the batch is taken as it is, and what is seen of it from outside (an avatar's layers can't
share one layout) is painted again: around the vertical axis, as front and back, and as an atlas of six views along the
axes. Every texture is scored as it is and turned top to bottom (`turning_score`), with the file upright and upside
down. Limit: none of an upright file is read the wrong way, and of one that is upside down no right one is turned.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh
from scipy.ndimage import distance_transform_edt

from benchmarks import harness
from sofgan import labels
from sofgan.scans.labelling import label_by_texture
from sofgan.scans.materials import read_pixels
from sofgan.scans.mesh_ops import area_vectors
from sofgan.scans.reading import RawScan, read_scan
from sofgan.scans.texture_orientation import TURNED_ABOVE, turning_score
from stages import paths

_SIZE = 768
_UPSIDE_DOWN = np.diag([1.0, -1.0, -1.0])


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__)
    found.add_argument("--scans", type=int, default=32)
    found.add_argument("--batch", type=Path, default=paths.RAW_SCANS / "avatars-000")
    return found


def main(options) -> list[bool]:
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for path in sorted(options.batch.glob("*.obj"))[: options.scans]:
        for layout, scan, right, wrong in layouts_of(path):
            for standing, matrix in (("upright", np.eye(3)), ("upside down", _UPSIDE_DOWN)):
                stood = replace(scan, vertices=scan.vertices @ matrix).welded()
                pair = turning_score(stood, right, wrong), turning_score(stood, wrong, right)
                scores.setdefault((layout, standing), []).append(pair)
    failures = 0
    for (layout, standing), pairs in scores.items():
        right, turned = np.array(pairs).T
        wrong, missed = int((right > TURNED_ABOVE).sum()), int((turned <= TURNED_ABOVE).sum())
        failures += wrong + (missed if standing == "upright" else 0)
        print(
            f"{layout}, {standing}: {len(pairs)} textures; right ones score at most {right.max():.2f}, turned ones at "
            f"least {turned.min():.2f} (turned above {TURNED_ABOVE}); wrongly turned {wrong}, not turned {missed}"
        )
    return [harness.verdict("textures read the wrong way", failures, at_most=0)]


def layouts_of(path: Path):
    """For each layout its name, the scan (F triangles), and the labels (F,) that its texture gives right and turned."""
    scan = read_scan(path)
    texture = read_pixels(path.with_name(f"{path.stem}_seg.png"))
    true = _labels(scan, texture)
    yield "its own", scan, true, _labels(scan, texture[::-1])
    seen = _seen_from_outside(scan)
    scan, true = scan.select(seen), true[seen]
    for name, uv in _layouts(scan).items():
        painted = replace(scan, corner_uv=uv)
        texture = _paint(uv, true)
        yield name, painted, _labels(painted, texture), _labels(painted, texture[::-1])


def _labels(scan: RawScan, texture: np.ndarray) -> np.ndarray:
    return label_by_texture(scan, texture, 441.0, 1.0).face_labels


def _seen_from_outside(scan: RawScan) -> np.ndarray:
    mesh = trimesh.Trimesh(scan.vertices, scan.faces, process=False)
    outwards = mesh.triangles_center - mesh.bounds.mean(0)
    outwards[:, 1] *= 0.15
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    return ~mesh.ray.intersects_any(mesh.triangles_center + outwards * 1e-4, outwards)


def _layouts(scan: RawScan) -> dict[str, np.ndarray]:
    """Texture coordinates (F, 3, 2) of each layout."""
    corners, low, high = scan.vertices[scan.faces], scan.vertices.min(0), scan.vertices.max(0)
    normals = area_vectors(scan.vertices, scan.faces)
    yaw = np.arctan2(*(corners - (low + high) / 2)[..., [0, 2]].transpose(2, 0, 1)) / (2 * np.pi) + 0.5
    across = np.ptp(yaw, axis=1, keepdims=True) > 0.5
    yaw = np.where(across & (yaw >= 0.5), 0.0, yaw)
    height = (corners[..., 1] - low[1]) / (high[1] - low[1])
    unit = 0.02 + 0.96 * (corners - low) / (high - low).max()
    axis, behind = np.abs(normals).argmax(1), normals[:, 2] < 0
    cell = 2 * axis + (np.take_along_axis(normals, axis[:, None], 1)[:, 0] > 0)
    views = np.stack([unit[..., [2, 1]], unit[..., [0, 2]], unit[..., [0, 1]]])[axis, np.arange(len(axis))]
    return {
        "around the axis": np.stack([0.01 + 0.98 * yaw, 0.01 + 0.98 * height], -1),
        "front and back": np.stack([(unit[..., 0] + behind[:, None]) / 2, unit[..., 1]], -1),
        "atlas of six views": (views + np.stack([cell % 3, cell // 3], -1)[:, None]) / (3, 2),
    }


def _paint(uv: np.ndarray, face_labels: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8: labels of the triangles on the texture, spread over what none covers."""
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], 60)
    points = np.einsum("sk,fkc->fsc", weights, uv)
    columns, rows = np.moveaxis((points * (1, -1) + (0, 1)) * _SIZE, -1, 0).astype(int).clip(0, _SIZE - 1)
    image = np.full((_SIZE, _SIZE), 255, np.uint8)
    image[rows, columns] = face_labels[:, None]
    nearest = distance_transform_edt(image == 255, return_distances=False, return_indices=True)
    return labels.PALETTE[image[tuple(nearest)]].astype(np.uint8)


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
