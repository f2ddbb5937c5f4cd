"""A code as a mesh coloured by class: marching cubes of where its field is solid."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from sofgan.apps.baked import grid_log_odds
from sofgan.cameras import Camera, project
from sofgan.errors import InputError
from sofgan.files import write_bytes
from sofgan.labels import CLOTH, HAIR, HAT, NECK, SKIN, colorize
from sofgan.sof.model import field_instance
from sofgan.sof.occupancy import cell_centres, in_chunks
from sofgan.sof.render import CLASS_DEPTH, PreparedCode
from sofgan.sof.sof import Sof
from sofgan.sof.surface import surface_normals

RESOLUTION = 128  # cells along a side of the ball's box
LOOKS, LOOK_SIZE, TOLERANCE = 14, 128, 0.03  # views by which it is told what training saw; pixels; head units
WIDE = (SKIN, NECK, CLOTH, HAIR, HAT)  # classes that go on where nothing was seen
SPECK_SIZE = 0.04  # head units: parts with less than the volume of a cube of this side are dropped


@dataclass(frozen=True)
class HeadMesh:
    """vertices (V, 3) float32 in head space, faces (F, 3) int64 wound outward, the class of each vertex
    (V,) uint8, and where it was painted the color of each (V, 3) uint8."""

    vertices: np.ndarray
    faces: np.ndarray
    labels: np.ndarray
    colors: np.ndarray | None = None

    def to_glb(self, extras: dict | None = None) -> bytes:
        """A binary glTF whose vertices have their color, or their class' where none was painted; its axes are head
        space's. `extras` are plain data that its scene holds."""
        import trimesh

        colors = colorize(self.labels) if self.colors is None else self.colors
        mesh = trimesh.Trimesh(self.vertices, self.faces, vertex_colors=colors, process=False)
        scene, buffer = trimesh.Scene({"head": mesh}), io.BytesIO()
        scene.metadata.update(extras or {})
        scene.export(file_obj=buffer, file_type="glb")
        return buffer.getvalue()


def save_glb(path: str | Path, mesh: HeadMesh) -> None:
    """Write `HeadMesh.to_glb`."""
    write_bytes(path, mesh.to_glb())


@torch.no_grad()
def extract_mesh(sof: Sof, code, resolution: int = RESOLUTION, speck_size: float = SPECK_SIZE) -> HeadMesh:
    """The surface of one code (Z,), or of what `generate` or `prepare` returned for one, cut off at the ball.

    Hollows are filled, as rays never see them and training knows nothing of them, and specks are dropped. So are parts
    that no view of the training shows; where of others none shows anything, classes go on from what is seen.

    Args:
        resolution: cells along a side of the ball's box.
        speck_size: head units; the side of the cube that a part's volume must exceed.

    Raises:
        InputError: the field is nowhere solid.
    """
    from skimage.measure import marching_cubes

    representation = code.representation if isinstance(code, PreparedCode) else code
    if not isinstance(representation, dict):
        representation = sof.generate(torch.as_tensor(representation))
    instance = field_instance(sof.model, representation)
    log_odds = grid_log_odds(instance, resolution, sof.device)[0]
    spacing = 2 / resolution
    to_ball = (1 - cell_centres(resolution, sof.device).norm(dim=-1)) / spacing
    log_odds = torch.minimum(log_odds, to_ball)
    # A border of empty space closes the surface where the ball touches its box.
    log_odds = F.pad(log_odds, (1,) * 6, value=-1.0).cpu().numpy()
    log_odds = tidied(log_odds, (speck_size / spacing) ** 3)
    if not (log_odds > 0).any():
        raise InputError("the field is nowhere solid there: this head has no surface to extract")
    places, faces, _, _ = marching_cubes(log_odds, 0.0, gradient_direction="descent")
    vertices = ((places[:, ::-1] - 0.5) * spacing - 1).astype(np.float32)  # z, y, x with a border to x, y, z
    labels = _vertex_labels(instance, torch.from_numpy(vertices.copy()).to(sof.device)).cpu().numpy()
    seen = seen_in_training(
        sof, code if isinstance(code, PreparedCode) else sof.prepare(representation), vertices
    )
    vertices, faces, labels, seen = _shown_parts(vertices, faces.astype(np.int64), labels, seen)
    return HeadMesh(vertices, faces, continued(vertices, labels, seen))


def seen_in_training(sof: Sof, prepared: PreparedCode, vertices: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices (V, 3) of a head that some camera shows from which the field has learned.

    What lies behind a head was never shown. There a field of planes has what lies before it at the same height: lips
    and a nose at the nape.
    """
    poses = sof.poses.cpu().numpy().astype(np.float64)
    order = np.argsort(np.arctan2(poses[:, 0, 3], poses[:, 2, 3]), kind="stable")
    chosen = poses[order[np.unique(np.linspace(0, len(poses) - 1, LOOKS).round().astype(int))]]
    camera = Camera(chosen, sof.intrinsics.cpu().numpy().astype(np.float64), LOOK_SIZE)
    seen = np.zeros(len(vertices), bool)
    for one, view in zip(camera, sof.render_views(prepared, camera)):
        places, depth = project(vertices.astype(np.float64), one)
        column, row = np.floor(places * LOOK_SIZE).astype(int).T
        inside = (column >= 0) & (column < LOOK_SIZE) & (row >= 0) & (row < LOOK_SIZE)
        shown = view.depth.cpu().numpy()[row.clip(0, LOOK_SIZE - 1), column.clip(0, LOOK_SIZE - 1)]
        seen |= inside & (shown > 0) & (np.abs(shown - depth) < TOLERANCE)
    return seen


def _shown_parts(vertices, faces, labels, seen):
    """A mesh without the parts of which nothing is seen, such as pieces of hair that float behind a head."""
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    count = len(vertices)
    edges = coo_matrix((np.ones(len(pairs), bool), pairs.T), (count, count))
    part = connected_components(edges, directed=False)[1]
    kept = np.bincount(part, seen)[part] > 0
    if not kept.any():
        return vertices, faces, labels, seen
    number = np.cumsum(kept) - 1
    return vertices[kept], number[faces[kept[faces[:, 0]]]], labels[kept], seen[kept]


def continued(vertices: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Classes (V,) of vertices (V, 3): of those that are not seen that of the nearest seen one which covers much, as
    hair and skin do; small parts, such as ears, don't go on behind a head."""
    known = seen & np.isin(labels, WIDE)
    if not known.any() or seen.all():
        return labels
    nearest = cKDTree(vertices[known]).query(vertices[~seen])[1]
    labels = labels.copy()
    labels[~seen] = labels[known][nearest]
    return labels


def tidied(log_odds: np.ndarray, least_cells: float) -> np.ndarray:
    """Log odds without hollows and without parts of fewer cells."""
    hollow = ndimage.label(log_odds <= 0)[0]
    outside = hollow[0, 0, 0]
    log_odds = np.where((hollow > 0) & (hollow != outside), np.abs(log_odds) + 1e-3, log_odds)
    parts, _ = ndimage.label(log_odds > 0)
    small = np.bincount(parts.ravel()) < least_cells
    small[0] = False
    return np.where(small[parts], -np.abs(log_odds), log_odds)


def _vertex_labels(instance, vertices: Tensor) -> Tensor:
    inside = vertices - CLASS_DEPTH * surface_normals(instance, vertices)
    return (in_chunks(instance.log_classes, inside).argmax(-1) + 1).to(torch.uint8)
