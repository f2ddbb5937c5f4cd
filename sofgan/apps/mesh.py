"""A code as a mesh coloured by class: marching cubes of where its field is solid."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from sofgan.apps.baked import grid_log_odds
from sofgan.apps.surface_diffusion import diffused
from sofgan.cameras import Camera, project
from sofgan.errors import InputError
from sofgan.files import write_bytes
from sofgan.images import to_linear
from sofgan.labels import CLOTH, HAIR, HAT, NECK, SKIN, colorize
from sofgan.sof.model import field_instance
from sofgan.sof.occupancy import cell_centres, in_chunks
from sofgan.sof.render import CLASS_DEPTH, PreparedCode
from sofgan.sof.sof import Sof
from sofgan.sof.surface import surface_normals

UNSIGNED_SHORT, UNLIT = 5123, "KHR_materials_unlit"  # of glTF
RESOLUTION = 128  # cells along a side of the ball's box
LOOKS, LOOK_SIZE, TOLERANCE = 14, 128, 0.03  # views by which it is told what training saw; pixels; head units
WIDE = (SKIN, NECK, CLOTH, HAIR, HAT)  # classes that go on where nothing was seen
SPECK_SIZE = 0.04  # head units: parts with less than the volume of a cube of this side are dropped
LEAST_SEEN = 0.6  # share of a loose part's vertices: what floats behind a head shows in part, beside its neck
LEAST_HAIR = 0.02  # of the largest part's vertices: smaller pieces of hair that touch nothing are no hair
GUESS_CELLS = 48  # along a side of the box, that tell what no view shows
GUESSED = 0.06  # head units, deviation of the Gaussian that smooths it
KNOWN_DEPTH = (
    0.15  # head units below a surface that is seen, so that its place isn't touched by what is below
)
MOST_LOG_ODDS = 2.0  # in that smoothing, of whose result only the sign counts


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
        space's. `extras` are plain data that its scene holds.

        Painted colors have their light in them: they are linear, as glTF has them, and shown as they are. Those of
        classes are a matte surface's, in the palette's bytes, by which `ingest_scans` reads them again.
        """
        import trimesh
        from trimesh.exchange.gltf import export_glb

        painted = self.colors is not None
        colors = self.colors if painted else colorize(self.labels)
        mesh = trimesh.Trimesh(self.vertices, self.faces, vertex_colors=colors, process=False)
        scene = trimesh.Scene({"head": mesh})
        scene.metadata.update(extras or {})
        return export_glb(
            scene,
            include_normals=True,
            buffer_postprocessor=_linear_colors if painted else None,
            tree_postprocessor=partial(_add_material, unlit=painted),
        )


def _linear_colors(buffers: dict, tree: dict) -> None:
    """Make the colors of a file's one mesh linear light, of 16 bits: 8 would leave few for the dark."""
    (mesh,) = tree["meshes"]
    accessor = list(tree["accessors"].values())[mesh["primitives"][0]["attributes"]["COLOR_0"]]
    accessor["componentType"] = UNSIGNED_SHORT
    accessor.pop("min", None)  # of the bytes
    accessor.pop("max", None)
    key = list(buffers)[accessor["bufferView"]]
    colors = np.frombuffer(buffers[key], np.uint8).reshape(-1, 4) / 255
    colors[:, :3] = to_linear(colors[:, :3])
    buffers[key] = np.round(65535 * colors).astype("<u2").tobytes()


def _add_material(tree: dict, unlit: bool) -> None:
    """Give a file's one mesh a matte material, or one that no light changes."""
    material = {"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}
    if unlit:
        material["extensions"] = {UNLIT: {}}
        tree["extensionsUsed"] = [*tree.get("extensionsUsed", []), UNLIT]
    tree["materials"] = [material]
    tree["meshes"][0]["primitives"][0]["material"] = 0


def save_glb(path: str | Path, mesh: HeadMesh) -> None:
    """Write `HeadMesh.to_glb`."""
    write_bytes(path, mesh.to_glb())


@torch.no_grad()
def extract_mesh(sof: Sof, code, resolution: int = RESOLUTION, speck_size: float = SPECK_SIZE) -> HeadMesh:
    """The surface of one code (Z,), or of what `generate` or `prepare` returned for one, cut off at the ball.

    Hollows are filled, as rays never see them and training knows nothing of them, and specks are dropped. So are parts
    that views of the training hardly show; where of others none shows anything, the surface is smooth, and classes go
    on from what is seen.

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
    shown = TrainingViews(sof, code if isinstance(code, PreparedCode) else sof.prepare(representation))
    instance = field_instance(sof.model, representation)
    log_odds = grid_log_odds(instance, resolution, sof.device)[0]
    spacing = 2 / resolution
    log_odds = smoothed(log_odds, shown.known(GUESS_CELLS), GUESSED / spacing)
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
    seen = shown.seen(vertices)
    vertices, faces, labels, seen = _shown_parts(vertices, faces.astype(np.int64), labels, seen)
    return HeadMesh(vertices, faces, continued(vertices, faces, labels, seen))


class TrainingViews:
    """A head as it is seen from some of the cameras from which the field has learned.

    What lies behind a head was never shown. There a field of planes has what lies before it at the same height: lips
    and a nose at the nape.
    """

    def __init__(self, sof: Sof, prepared: PreparedCode):
        poses = sof.poses.cpu().numpy().astype(np.float64)
        order = np.argsort(np.arctan2(poses[:, 0, 3], poses[:, 2, 3]), kind="stable")
        chosen = poses[order[np.unique(np.linspace(0, len(poses) - 1, LOOKS).round().astype(int))]]
        self.camera = Camera(chosen, sof.intrinsics.cpu().numpy().astype(np.float64), LOOK_SIZE)
        self.depths = [view.depth.cpu().numpy() for view in sof.render_views(prepared, self.camera)]

    def seen(self, points: np.ndarray) -> np.ndarray:
        """(P,) bool: points (P, 3) on the surface that some camera shows."""
        seen = np.zeros(len(points), bool)
        for depth, shown in self._at(points):
            seen |= (shown > 0) & (np.abs(shown - depth) < TOLERANCE)
        return seen

    def known(self, cells: int) -> np.ndarray:
        """(N, N, N) bool, order z, y, x: cells over [-1, 1] that some camera sees to be empty, or that lie just below
        what it sees."""
        centres = cell_centres(cells).reshape(-1, 3).numpy()
        known = np.zeros(len(centres), bool)
        for depth, shown in self._at(centres):
            known |= (shown == 0) | (depth < shown + KNOWN_DEPTH)
        return known.reshape(cells, cells, cells)

    def _at(self, points: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each camera the depth of points, and that of the surface at their pixels: 0 where it sees nothing, NaN
        where the point is beyond its picture."""
        for one, shown in zip(self.camera, self.depths):
            places, depth = project(points.astype(np.float64), one)
            column, row = np.floor(places * LOOK_SIZE).astype(int).T
            inside = (column >= 0) & (column < LOOK_SIZE) & (row >= 0) & (row < LOOK_SIZE)
            surface = shown[row.clip(0, LOOK_SIZE - 1), column.clip(0, LOOK_SIZE - 1)]
            yield depth, np.where(inside, surface, np.nan)


def smoothed(log_odds: Tensor, known: np.ndarray, deviation: float) -> Tensor:
    """Log odds (N, N, N) that are smooth where nothing is known: the back of a head, which would be ragged.

    Args:
        known: (G, G, G) bool, of cells of the same box.
        deviation: of the Gaussian, cells of the log odds.
    """
    values = log_odds.cpu().numpy()
    blurred = ndimage.gaussian_filter(values.clip(-MOST_LOG_ODDS, MOST_LOG_ODDS), deviation)
    sure = F.interpolate(torch.from_numpy(known)[None, None].float(), values.shape, mode="trilinear")
    sure = sure[0, 0].numpy()
    return torch.from_numpy(np.where(sure > 0.5, values, blurred)).to(log_odds)


def _shown_parts(vertices, faces, labels, seen):
    """A mesh without the parts of which hardly anything is seen, such as pieces of hair that float behind a head."""
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    count = len(vertices)
    edges = coo_matrix((np.ones(len(pairs), bool), pairs.T), (count, count))
    part = connected_components(edges, directed=False)[1]
    sizes, shown = np.bincount(part), np.bincount(part, seen)
    whole = shown >= LEAST_SEEN * sizes
    whole &= (np.bincount(part, labels == HAIR) < sizes / 2) | (sizes >= LEAST_HAIR * sizes.max())
    whole[sizes.argmax()] = shown[sizes.argmax()] > 0  # A head's back is not seen, half of it.
    kept = whole[part]
    if not kept.any():
        return vertices, faces, labels, seen
    number = np.cumsum(kept) - 1
    return vertices[kept], number[faces[kept[faces[:, 0]]]], labels[kept], seen[kept]


def continued(vertices: np.ndarray, faces: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Classes (V,) of a mesh's vertices (V, 3): of those that are not seen the one that most flows there from seen ones
    which cover much, as hair and skin do; small parts, such as ears, don't go on behind a head."""
    known = seen & np.isin(labels, WIDE)
    if not known.any() or seen.all():
        return labels
    shares = (labels[:, None] == np.array(WIDE)).astype(float)
    flown = diffused(vertices, faces, np.zeros(len(vertices)), shares, known)
    return np.where(seen, labels, np.array(WIDE)[flown.argmax(1)]).astype(labels.dtype)


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
