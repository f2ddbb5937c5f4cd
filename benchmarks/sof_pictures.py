"""Pictures of a trained field, for the documentation.

    python -m benchmarks.sof_pictures --model models/sof.pt --views data/views --out docs/images [--mesh head.glb]
        [--seed 0] [--head 0] [--yaw-degrees -50 0 50]

Writes into --out:

    sof_truth.png    held-out views, rows in turn what was rendered from the scan and what the field draws
    sof_samples.png  new heads, a row each, from five cameras
    sof_walk.png     a walk from one head of training to another
    sof_volume.png   one head as a volume: each class' probability (`sofgan.apps.volume_picture`)
    sof_mesh.png     that head as a mesh, shaded, from --yaw-degrees

and the mesh itself to --mesh, which is no picture for the documentation.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from benchmarks.sof_space import samples_picture, walk_picture
from sofgan import cameras
from sofgan.apps.mesh import HeadMesh, extract_mesh, save_glb
from sofgan.apps.volume_picture import volume_picture
from sofgan.cameras import Camera
from sofgan.errors import in_a_sentence
from sofgan.files import write_png
from sofgan.labels import colorize
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import barycentric
from sofgan.sof.data import read_views
from sofgan.sof.plausibility import fit_reference, render_heads
from sofgan.sof.sof import Sof, load_sof
from sofgan.sof.train import validate

TRUTH_ROWS, TRUTH_COLUMNS = 2, 8
SAMPLES = 6
WALK_FRAMES = 7
MESH_SIZE, SUPERSAMPLING = 320, 3  # pixels; rendered so many times finer, then averaged
AMBIENT = 0.45  # share of light that comes from everywhere; the rest from the camera


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="models/sof.pt")
    parser.add_argument("--views", type=Path, default="data/views", help="folder of batches of views")
    parser.add_argument("--out", type=Path, default="docs/images")
    parser.add_argument("--mesh", type=Path, default=".work/benchmarks/sof_head.glb")
    parser.add_argument("--seed", type=int, default=0, help="of what is sampled")
    parser.add_argument("--head", type=int, default=0, help="number of the one shown as volume and as mesh")
    parser.add_argument("--yaw-degrees", type=float, nargs="*", default=(-50.0, 0.0, 50.0))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    sof = load_sof(options.model, options.device)
    options.out.mkdir(parents=True, exist_ok=True)

    write_png(options.out / "sof_truth.png", truth_picture(sof, options.views))
    reference = fit_reference(render_heads(sof, sof.training_codes))
    write_png(options.out / "sof_samples.png", samples_picture(sof, reference, SAMPLES, options.seed))
    write_png(options.out / "sof_walk.png", walk_picture(sof, options.seed, stops=2, frames=WALK_FRAMES))
    head = sof.prepare(sof.codes[options.head])
    write_png(options.out / "sof_volume.png", volume_picture(sof, head))
    mesh = extract_mesh(sof, head)
    save_glb(options.mesh, mesh)
    yaws = np.radians(options.yaw_degrees)
    poses = cameras.orbit(yaws, np.zeros(len(yaws)), sof.radius)
    around = Camera(poses, sof.intrinsics.cpu().numpy(), MESH_SIZE)
    views = [mesh_picture(mesh, camera) for camera in around]
    write_png(options.out / "sof_mesh.png", np.concatenate(views, 1))
    print(f"pictures in {options.out}, mesh in {options.mesh}: {len(mesh.faces)} triangles")


def truth_picture(sof: Sof, folder: Path) -> np.ndarray:
    """Held-out views of the field's heads, (H, W, 3) uint8: rows in turn the truth and the field."""
    views = read_views([folder / f"{name}.npz" for name in sof.training_names])
    held_out = int(views.held_out.sum())
    columns = min(TRUTH_COLUMNS, held_out)
    rows = min(TRUTH_ROWS, held_out // columns)
    _, picture = validate(sof.model, views.to(sof.device), rows * columns, pictures=rows * columns)
    return np.concatenate(np.split(picture, rows, 1), 0)


def mesh_picture(mesh: HeadMesh, camera: Camera) -> np.ndarray:
    """The mesh in its classes' colours, lit from the camera, on white: (size, size, 3) uint8."""
    import trimesh

    size = camera.size * SUPERSAMPLING
    renderer = process_renderer()
    renderer.load(mesh.vertices, mesh.faces)
    visible = renderer.render(dataclasses.replace(camera, size=size))
    seen = visible >= 0
    weights, _ = barycentric(visible, mesh.vertices, mesh.faces, camera)
    corners = mesh.faces[visible[seen]]  # (N, 3) vertices
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    normals = np.einsum("nc,ncd->nd", weights, solid.vertex_normals[corners])
    facing = np.abs(normals @ camera.cam2world[:3, 2]) / np.linalg.norm(normals, axis=1).clip(1e-9)
    colours = np.einsum("nc,ncd->nd", weights, colorize(mesh.labels)[corners].astype(np.float64))
    image = np.full((size, size, 3), 255.0)
    image[seen] = colours * (AMBIENT + (1 - AMBIENT) * facing[:, None])
    blocks = image.reshape(camera.size, SUPERSAMPLING, camera.size, SUPERSAMPLING, 3)
    return blocks.mean((1, 3)).round().astype(np.uint8)


if __name__ == "__main__":
    sys.exit(in_a_sentence(main))
