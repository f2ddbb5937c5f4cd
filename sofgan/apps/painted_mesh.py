"""A head's mesh with the colors of its painted views."""

from dataclasses import replace

import numpy as np

from sofgan.apps.engine import Engine
from sofgan.apps.looks import Look
from sofgan.apps.mesh import HeadMesh, extract_mesh
from sofgan.apps.surface_diffusion import diffused
from sofgan.cameras import project
from sofgan.progress import SILENT, Progress

ANGLES = tuple((yaw, pitch) for pitch in (-15.0, 15.0) for yaw in range(-45, 46, 15))  # degrees; as trained
TOLERANCE = 0.03  # head units that a vertex may lie behind what a view shows there
SHARPNESS = 4  # power of how much a view faces a vertex: views from the front of a place have their say
LEAST_WEIGHT = 0.02  # of views that see a vertex: a glance along the surface shows half of what is behind it
RESOLUTION = 160  # cells along a side


def painted_mesh(engine: Engine, code, look: Look, progress: Progress = SILENT) -> HeadMesh:
    """The mesh of a head, each vertex with the mean color of the views that see it. Over what none sees, such as the
    head's back, the colors of its borders flow, within a class."""
    import trimesh

    mesh = extract_mesh(engine.sof, engine.prepared(code), RESOLUTION)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    normals = np.asarray(solid.vertex_normals)
    size = engine.siw.resolution
    total, weight = np.zeros((len(mesh.vertices), 3)), np.zeros(len(mesh.vertices))
    for number, (yaw, pitch) in enumerate(ANGLES, 1):
        camera = engine.camera(yaw, pitch, size)
        view = engine.view(code, camera)
        picture = engine.paint(view.labels, look)
        places, depth = project(mesh.vertices.astype(np.float64), camera)
        column, row = (np.floor(places * size).astype(int)).T
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        column, row = column.clip(0, size - 1), row.clip(0, size - 1)
        seen = inside & (np.abs(view.depth[row, column] - depth) < TOLERANCE)
        towards = camera.cam2world[:3, 3] - mesh.vertices
        facing = (normals * towards).sum(1) / np.linalg.norm(towards, axis=1)
        share = np.where(seen, facing.clip(0) ** SHARPNESS, 0.0)
        total += share[:, None] * picture[row, column]
        weight += share
        progress.items(number, len(ANGLES), "views")
    known = weight > LEAST_WEIGHT
    colors = total / np.maximum(weight, LEAST_WEIGHT)[:, None]
    if known.any():
        colors = diffused(mesh.vertices, mesh.faces, mesh.labels, colors, known)
    return replace(mesh, colors=colors.round().clip(0, 255).astype(np.uint8))
