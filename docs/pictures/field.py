"""Pictures of a trained field, for the documentation.

    python -m docs.pictures.field --model models/sof.pt --views data/views [--out docs/images] [--mesh head.glb]
        [--seed 0] [--head 0] [--yaw-degrees -50 0 50] [--scans data/raw/scans]

Writes into --out:

    sof_truth.png    held-out views, rows in turn what was rendered from the scan and what the field draws
    sof_samples.png  new heads, a row each, from five cameras
    sof_walk.png     a walk from one head of training to another
    sof_volume.png   one head as a volume: each class' probability (`sofgan.apps.volume_picture`)
    sof_mesh.png     that head as a mesh, shaded, from --yaw-degrees

and the mesh itself to --mesh. With --scans, the raw scans of avatars, also sof_attributes.png: heads of training moved
along the directions of attributes (`sofgan.apps.attributes`) that can be trusted, and each direction's score in words.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness
from benchmarks.inputs.avatar_views import views_folder
from sofgan import cameras
from sofgan.apps.attributes import Direction, avatar_attributes, fit_directions, read_parameters
from sofgan.apps.mesh import HeadMesh, extract_mesh, save_glb
from sofgan.apps.volume_picture import volume_picture
from sofgan.cameras import Camera
from sofgan.files import write_png
from sofgan.labels import colorize
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import barycentric
from sofgan.seeds import torch_generator
from sofgan.sof.plausibility import JudgingViews, Reference, fit_reference, render_heads, sample_plausible
from sofgan.sof.sampling import interpolate, shape_features
from sofgan.sof.sof import Sof, load_sof
from sofgan.sof.train import validate
from sofgan.sof.view_set import read_views
from stages import paths

TRUTH_ROWS, TRUTH_COLUMNS = 2, 8
SAMPLES = 6
SAMPLE_VIEWS, FRONTAL = JudgingViews((-0.9, -0.45, 0.0, 0.45, 0.9)), JudgingViews((0.0,))
WALK_STOPS, WALK_FRAMES = 2, 7
AMOUNTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of an attribute, in its unit
LEAST_RELIABLE = 0.3  # of the directions that are drawn
ATTRIBUTE_HEADS = 3
MESH_SIZE, SUPERSAMPLING = 320, 3  # pixels; rendered so many times finer, then averaged
AMBIENT = 0.45  # share of light that comes from everywhere; the rest from the camera


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__, threads=2, device=True, seed=0, check=False)
    found.add_argument("--model", type=Path, default=paths.SOF)
    found.add_argument(
        "--views",
        default=str(paths.VIEWS),
        help="folder of batches; field-300: those of benchmarks.sof_quality",
    )
    found.add_argument("--out", type=Path, default=Path("docs/images"))
    found.add_argument("--mesh", type=Path, default=harness.CACHE / "sof_head.glb")
    found.add_argument("--head", type=int, default=0, help="number of the one shown as volume and as mesh")
    found.add_argument("--yaw-degrees", type=float, nargs="*", default=(-50.0, 0.0, 50.0))
    found.add_argument("--scans", type=Path, help="folder of batches with avatars.json")
    return found


def main(options) -> None:
    sof = load_sof(options.model, options.device)
    options.out.mkdir(parents=True, exist_ok=True)

    write_png(options.out / "sof_truth.png", truth_picture(sof, views_folder(options.views)))
    reference = fit_reference(render_heads(sof, sof.training_codes))
    write_png(options.out / "sof_samples.png", samples_picture(sof, reference, options.seed))
    write_png(options.out / "sof_walk.png", walk_picture(sof, options.seed))
    head = sof.prepare(sof.codes[options.head])
    write_png(options.out / "sof_volume.png", volume_picture(sof, head))
    mesh = extract_mesh(sof, head)
    save_glb(options.mesh, mesh)
    yaws = np.radians(options.yaw_degrees)
    poses = cameras.orbit(yaws, np.zeros(len(yaws)), sof.radius)
    around = Camera(poses, sof.intrinsics.cpu().numpy(), MESH_SIZE)
    views = [mesh_picture(mesh, camera) for camera in around]
    write_png(options.out / "sof_mesh.png", np.concatenate(views, 1))
    if options.scans:
        drawn = trusted_directions(sof, options.scans, options.seed)
        if drawn:
            write_png(options.out / "sof_attributes.png", attributes_picture(sof, drawn))
    print(f"pictures in {options.out}, mesh in {options.mesh}: {len(mesh.faces)} triangles")


def truth_picture(sof: Sof, folder: Path) -> np.ndarray:
    """Held-out views of the field's heads, (H, W, 3) uint8: rows in turn the truth and the field."""
    views = read_views([folder / f"{name}.npz" for name in sof.training_names])
    held_out = int(views.held_out.sum())
    columns = min(TRUTH_COLUMNS, held_out)
    rows = min(TRUTH_ROWS, held_out // columns)
    _, picture = validate(sof.model, views.to(sof.device), rows * columns, pictures=rows * columns)
    return np.concatenate(np.split(picture, rows, 1), 0)


def samples_picture(sof: Sof, reference: Reference, seed: int) -> np.ndarray:
    """New heads that are plausible, (H, W, 3) uint8: rows heads, columns cameras from the subject's right to left."""
    found = sample_plausible(sof, reference, SAMPLES, torch_generator(seed, "sof space"))
    return grid(render_heads(sof, found.codes, SAMPLE_VIEWS))


def walk_picture(sof: Sof, seed: int) -> np.ndarray:
    """Frontal views of a walk through random training heads, (H, W, 3) uint8: a row from one head to the next."""
    order = torch.randperm(len(sof.codes), generator=torch_generator(seed, "walk"))[:WALK_STOPS]
    maps = render_heads(sof, interpolate(sof.codes[order], WALK_FRAMES), FRONTAL)[:, 0]
    legs = range(0, WALK_FRAMES * (len(order) - 1), WALK_FRAMES)
    return grid([maps[first : first + WALK_FRAMES + 1] for first in legs])


def trusted_directions(sof: Sof, scans: Path, seed: int) -> dict[str, Direction]:
    """Directions of attributes that are reliable, by name; prints the score of each, and of those that aren't."""
    attributes = avatar_attributes(read_parameters(sof.instance_names, scans))
    directions = fit_directions(sof.codes, attributes, shape_features(sof.generate, sof.codes), seed)
    for name, found in directions.items():
        score = f"{found.measure:11} {found.score:5.2f}"
        print(f"direction {name:24} {score}  {found.heads:3} heads, {found.unit}")
    return {name: found for name, found in directions.items() if found.reliability >= LEAST_RELIABLE}


def attributes_picture(sof: Sof, directions: dict[str, Direction]) -> np.ndarray:
    """Frontal views of training heads moved along each direction by AMOUNTS, (H, W, 3) uint8.

    Rows are heads, those of one attribute after another; columns the amounts, 0 in the middle.
    """
    shown = sof.codes[torch.linspace(0, len(sof.codes) - 1, ATTRIBUTE_HEADS).long()]
    amounts = torch.tensor(AMOUNTS, device=sof.device)[:, None]
    moved = [code + amounts * found.vector for found in directions.values() for code in shown]
    return grid([render_heads(sof, codes, FRONTAL)[:, 0] for codes in moved])


def grid(rows) -> np.ndarray:
    """Label maps in rows (R, C, H, W), in colours: (R * H, C * W, 3) uint8."""
    return np.concatenate([np.concatenate([*colorize(row)], 1) for row in map(np.asarray, rows)], 0)


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
    sys.exit(harness.run(parser(), main))
