"""How like the painter's pictures a painted mesh is, from views that it was painted by and from views between.

    python -m benchmarks.painted_mesh [--models FOLDER] [--heads 6] [--check]

Meshes of new heads, each in a look of its own, are painted (`sofgan.apps.painted_mesh`), then rendered without light,
four times as fine as the painter's pictures and averaged. Compared are pixels that the mesh covers wholly: it has
neither the pictures' background nor their shoulders. Printed is the peak signal-to-noise ratio of all heads' pixels
together; and which share of the vertices behind the head bear the class of a part of the face.
"""

import argparse
import sys

import numpy as np

from benchmarks import harness
from sofgan import cameras
from sofgan.apps import painted_mesh
from sofgan.apps.engine import Engine
from sofgan.apps.mesh import HeadMesh
from sofgan.cameras import Camera
from sofgan.labels import BROW, EYE, L_LIP, L_NOSE, MOUTH, R_NOSE, U_LIP
from sofgan.rendering.process_renderer import process_renderer

FINER = 4  # times, along a side
FACE = (BROW, EYE, R_NOSE, L_NOSE, MOUTH, U_LIP, L_LIP)
BEHIND = -0.15  # head units along z: faces are before it
LEAST_BAKED, LEAST_BETWEEN = 20.0, 18.0  # dB
BETWEEN = tuple((yaw + 7.5, 0.0) for yaw in range(-45, 45, 15))  # degrees


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, seed=0)
    found.add_argument("--models", default="starter", help="folder of the models, or starter")
    found.add_argument("--heads", type=int, default=6)
    return found


def rendered(mesh: HeadMesh, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Colors (S, S, 3) float of a mesh as a camera sees it, and the share of each pixel that it covers (S, S)."""
    renderer, fine = process_renderer(), Camera(camera.cam2world, camera.intrinsics, FINER * camera.size)
    renderer.load(mesh.vertices, mesh.faces)
    number = renderer.render(fine)
    origin, directions = cameras.rays(fine)
    seen = number >= 0
    corners = mesh.faces[number[seen]]
    a, b, c = (mesh.vertices[corners[:, k]].astype(np.float64) for k in range(3))
    normal = np.cross(b - a, c - a)
    along = ((a - origin) * normal).sum(1) / (directions[seen] * normal).sum(1)
    point = origin + along[:, None] * directions[seen]
    area = (normal**2).sum(1)
    u = (np.cross(c - b, point - b) * normal).sum(1) / area
    v = (np.cross(a - c, point - c) * normal).sum(1) / area
    shares = np.stack([u, v, 1 - u - v], 1).clip(0, 1)
    colors = np.zeros((*seen.shape, 3))
    colors[seen] = (shares[..., None] * mesh.colors[corners]).sum(1) / shares.sum(1, keepdims=True)
    blocks = (camera.size, FINER, camera.size, FINER)
    cover = seen.reshape(blocks).mean((1, 3))
    total = colors.reshape(*blocks, 3).mean((1, 3))
    return total / np.maximum(cover, 1e-9)[..., None], cover


def main(arguments) -> list[bool]:
    engine = Engine.open(arguments.models)
    size, errors, face, behind = engine.siw.resolution, {"baked": [], "between": []}, 0, 0
    for number in range(arguments.heads):
        seed = 1000 * arguments.seed + number
        head, look = engine.head(seed), engine.look(seed, 0.7)
        mesh = painted_mesh.painted_mesh(engine, head, look)
        for name, angles in (("baked", painted_mesh.ANGLES), ("between", BETWEEN)):
            for yaw, pitch in angles:
                camera = engine.camera(yaw, pitch, size)
                colors, cover = rendered(mesh, camera)
                inside = cover == 1
                off = colors[inside] - engine.picture(head, look, camera)[inside]
                errors[name].append(((off**2).sum(), off.size))
        back = mesh.vertices[:, 2] < BEHIND
        behind += back.sum()
        face += np.isin(mesh.labels[back], FACE).sum()
        harness.tell(f"head {number + 1} of {arguments.heads}")
    found = {}
    for name, values in errors.items():
        squares, count = np.sum(values, 0)
        found[name] = float(10 * np.log10(255**2 / (squares / count)))
        print(f"{name}: {len(values)} views, {found[name]:.2f} dB")
    print(f"vertices behind the head with a class of the face: {face / behind:.4f} of {behind}")
    return [
        harness.verdict("dB from views that it was painted by", found["baked"], at_least=LEAST_BAKED),
        harness.verdict("dB from views between", found["between"], at_least=LEAST_BETWEEN),
        harness.verdict("share of face behind the head", face / behind, at_most=0.0),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
