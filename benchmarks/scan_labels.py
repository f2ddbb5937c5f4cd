"""How well labels of scans without any are found: avatars with their labels hidden, against their true label views.

    python -m benchmarks.scan_labels [--scans 24] [--parser FILE] [--named hair,eye,... | --shape] [--check]

Each avatar of the demo's batch is written again with its colours alone, turned by random axes (half of them by any
angle about up as well) and in a random unit. It is ingested with nothing said about it, and rendered with the labels
found, from the cameras of `render_views`. The last figure is the mean IoU over the classes in truth or answer, all
views together; it is 0.6 at least, and no face is missed or turned by more than 20 degrees. A few avatars whose face
is cut away are all refused.

With `--named hair,eye,eyeglass,hat,cloth` parts of these classes keep their names and all else is called "head", as in
avatars of games; mIoU is then 0.85 at least. With --shape colours are hidden too, the parser is
`models/parsers/shapes.pt`, and the limit is of the mean over the classes of a face (`FACE`), 0.55 at least.
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from benchmarks import harness
from sofgan import cameras, labels
from sofgan.errors import InputError
from sofgan.files import write_png
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import label_map
from sofgan.scans.config import IngestScans
from sofgan.scans.face_frame import axis_rotations, rotation_angle
from sofgan.scans.head_space import METRES, Orientation
from sofgan.scans.ingestion import ingest_scan
from sofgan.scans.labelling import label_scan
from sofgan.scans.mesh_ops import clip_to_ball, middles
from sofgan.scans.reading import ScanError, read_scan
from sofgan.scans.unlabelled.scan_parser import ScanParser
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import numpy_generator
from sofgan.views.multiview import contact_sheet, sample_cameras
from stages import paths

LEAST_MIOU, LEAST_MIOU_NAMED, LEAST_FACE_MIOU, MOST_TURN_DEGREES = 0.6, 0.85, 0.55, 20.0
FACE = (
    labels.SKIN, labels.BROW, labels.EYE, labels.R_NOSE, labels.L_NOSE, labels.MOUTH, labels.U_LIP, labels.L_LIP,
    labels.EAR,
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__)
    found.add_argument("--scans", type=int, default=24)
    found.add_argument(
        "--batch", type=Path, default=paths.RAW_SCANS / "avatars-000", help="avatars of make_avatars"
    )
    found.add_argument("--parser", help=f"default: {paths.PHOTO_PARSER}, with --shape {paths.SHAPE_PARSER}")
    hidden = found.add_mutually_exclusive_group()
    hidden.add_argument("--named", default="", help="classes, with commas, whose parts keep their names")
    hidden.add_argument("--shape", action="store_true", help="hide colours too")
    found.add_argument("--faceless", type=int, default=3, help="scans without a face, of those that are GLB")
    found.add_argument("--sheet", help="write a picture: rows of found labels, each above the true ones")
    return found


def main(options) -> list[bool]:
    named = tuple(labels.NAMES.index(name) for name in options.named.split(",") if name)
    config, views = harness.block("ingest_scans"), harness.block("render_views")
    of_shape = ScanParser(options.parser or paths.SHAPE_PARSER) if options.shape else None
    scan_parser = ScanParser(options.parser or paths.PHOTO_PARSER, of_shape=of_shape)
    scans = sorted(path for path in options.batch.iterdir() if path.suffix in (".glb", ".obj"))
    if not scans:
        raise InputError(f"no avatars in {options.batch}: `dvc repro make_avatars` makes some")
    picked = [scans[i] for i in numpy_generator(0, "scan_labels").permutation(len(scans))[: options.scans]]
    total, turns, units, missed, seconds, rows = ConfusionMatrix(), [], 0, 0, 0.0, []
    for path in picked:
        generator = numpy_generator(0, "scan_labels", path.stem)
        rotation, unit = draw_standing(generator)
        with tempfile.TemporaryDirectory() as folder:
            hidden = hide_labels(
                path, Path(folder), rotation / METRES[unit], config, named, not options.shape
            )
            start = time.perf_counter()
            try:
                found, row = ingest_scan(hidden, config, Orientation(), scan_parser)
            except ScanError as error:
                print(f"{path.name}: missed: {error}")
                missed += 1
                continue
            seconds += time.perf_counter() - start
        truth, _ = ingest_scan(path, config, Orientation())
        turned = found["raw_to_head"][:3, :3] / np.cbrt(np.linalg.det(found["raw_to_head"][:3, :3]))
        turns.append(rotation_angle(turned @ rotation))
        units += row.unit == unit
        poses, _ = sample_cameras(views, generator)
        maps = in_truths_space(found, truth, rotation / METRES[unit])
        seen, true = (render(mesh, poses, views) for mesh in (maps, truth))
        # What is left open counts as background, so as wrong: no surface of these scans is.
        confusion = ConfusionMatrix().update(np.where(seen == labels.VOID, labels.BACKGROUND, seen), true)
        total.merge(confusion)
        rows += [seen[:10], true[:10]]
        print(
            f"{path.name}: mIoU {confusion.miou():.3f}, turned by {turns[-1]:.1f} degrees, {row.axes}, {row.unit}"
        )
    if not turns:
        print(f"no face is found in any of {len(picked)} scans")
        return [harness.verdict("faces missed", missed, at_most=0)]
    refused, faceless = 0, [path for path in picked if path.suffix == ".glb"][: options.faceless]
    for path in faceless:
        truth, _ = ingest_scan(path, config, Orientation())
        with tempfile.TemporaryDirectory() as folder:
            hidden = hide_labels(
                path, Path(folder), np.eye(3), config, named, not options.shape, truth["raw_to_head"]
            )
            try:
                _, row = ingest_scan(hidden, config, Orientation(), scan_parser)
                refused += row.status != "ok"
                print(f"{path.name} without a face: {row.status}, {row}")
            except ScanError as error:
                refused += 1
                print(f"{path.name} without a face: {error}")
    if options.sheet:
        write_png(Path(options.sheet), contact_sheet(rows))
    for name, iou in total.per_class().items():
        print(f"  {name:10} {iou:.3f}")
    print(f"seconds a scan {seconds / max(len(turns), 1):.1f}; units right {units}/{len(turns)}")
    print(f"turned amiss by: median {np.median(turns):.1f} degrees")
    print(f"{len(turns)} scans, {views.views_per_scan} views of {views.size_px} px each")
    print(f"mIoU {total.miou():.3f}, of the classes of a face {total.miou(FACE):.3f}")
    score, least = total.miou(), LEAST_MIOU_NAMED if named else LEAST_MIOU
    if options.shape:
        score, least = total.miou(FACE), LEAST_FACE_MIOU
    return [
        harness.verdict("faces missed", missed, at_most=0),
        harness.verdict(f"of {len(faceless)} without a face, taken", len(faceless) - refused, at_most=0),
        harness.verdict(
            "degrees turned amiss, at worst", max(turns, default=np.nan), at_most=MOST_TURN_DEGREES
        ),
        harness.verdict("mIoU of faces" if options.shape else "mIoU", score, at_least=least),
    ]


def draw_standing(generator: np.random.Generator) -> tuple[np.ndarray, str]:
    """A rotation (3, 3) of a scan that stood +Y up and +Z front, and a unit."""
    axes = axis_rotations()
    rotation = axes[generator.integers(len(axes))].T
    if generator.random() < 0.5:
        angle = generator.uniform(-np.pi, np.pi)
        turn = np.eye(3)
        turn[0::2, 0::2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        rotation = rotation @ turn
    return rotation, generator.choice(["m", "cm", "mm"]).item()


def hide_labels(
    path: Path,
    folder: Path,
    matrix: np.ndarray,
    config: IngestScans,
    named: tuple[int, ...] = (),
    colors: bool = True,
    raw_to_head: np.ndarray | None = None,
) -> Path:
    """Write a scan with its colours alone, or without: no segmentation texture, names of `named` classes' parts only.

    Vertices are turned by `matrix` (3, 3). With `raw_to_head` (4, 4) what lies before the middle of a GLB's head is
    left out.
    """
    if path.suffix == ".obj":
        lines = path.read_text().replace(path.stem, "scan").splitlines()
        for number, line in enumerate(lines):
            if line.startswith("v "):
                lines[number] = "v {:.6g} {:.6g} {:.6g}".format(
                    *(matrix @ np.array(line.split()[1:4], float))
                )
        if named:
            triangles = [line for line in lines if line.startswith("f ")]
            lines = [line for line in lines if not line.startswith("f ")]
            groups = names_of_faces(path, config, named)
            for name in sorted(set(groups)):
                lines += [f"g {name}"] + [line for line, group in zip(triangles, groups) if group == name]
        if not colors:
            lines = [line for line in lines if line.split(" ")[0] in ("v", "f")]
            lines = [re.sub(r"/\d+", "", line) for line in lines]
        (folder / "scan.obj").write_text("\n".join(lines))
        if not colors:
            return folder / "scan.obj"
        (folder / "scan.mtl").write_text(path.with_suffix(".mtl").read_text().replace(path.stem, "scan"))
        Image.open(path.with_suffix(".png")).save(folder / "scan.png")
        return folder / "scan.obj"
    scene = trimesh.load_scene(path, process=False)
    meshes = [
        scene.geometry[name] for _, name in (scene.graph[node] for node in sorted(scene.graph.nodes_geometry))
    ]
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    faces = np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, offsets)])
    groups = names_of_faces(path, config, named)
    if raw_to_head is not None:
        behind = middles(vertices, faces) @ raw_to_head[2, :3] + raw_to_head[2, 3] < 0.05
        faces, groups = faces[behind], groups[behind]
    shown = np.concatenate([mesh.visual.vertex_colors for mesh in meshes]) if colors else None
    hidden = trimesh.Scene()
    for name in sorted(set(groups)):
        mesh = trimesh.Trimesh(vertices @ matrix.T, faces[groups == name], vertex_colors=shown, process=False)
        mesh.remove_unreferenced_vertices()
        hidden.add_geometry(mesh, node_name=name, geom_name=name)
    if not named:
        (folder / "scan.ply").write_bytes(mesh.export(file_type="ply"))
        return folder / "scan.ply"
    (folder / "scan.glb").write_bytes(hidden.export(file_type="glb"))
    return folder / "scan.glb"


def names_of_faces(path: Path, config: IngestScans, named: tuple[int, ...]) -> np.ndarray:
    """Names (F,) of parts that a scan's triangles are put in: of their class, or "head"."""
    scan, seg = read_scan(path), path.with_name(path.stem + "_seg.png")
    if not named:
        return np.full(len(scan.faces), "head")
    texture = np.asarray(Image.open(seg).convert("RGB")) if seg.exists() else None
    labelled = label_scan(scan, config.rules, texture, config.palette_tolerance, config.max_off_palette)
    assert len(labelled.face_labels) == len(scan.faces), "a part of it is dropped"
    known = np.isin(labelled.face_labels, named)
    return np.where(known, np.array(labels.NAMES)[labelled.face_labels], "head")


def in_truths_space(found: dict, truth: dict, matrix: np.ndarray) -> dict:
    """The scan with its found labels in the head space of the true one."""
    back = np.linalg.inv(found["raw_to_head"])
    raw = (found["vertices"] @ back[:3, :3].T + back[:3, 3]) @ np.linalg.inv(matrix).T
    vertices = raw @ truth["raw_to_head"][:3, :3].T + truth["raw_to_head"][:3, 3]
    vertices, faces, origin = clip_to_ball(vertices, found["faces"], 1.0)
    return {"vertices": vertices, "faces": faces, "face_labels": found["face_labels"][origin]}


def render(mesh: dict, poses: np.ndarray, views) -> np.ndarray:
    """Label maps (N, H, W) of a scan."""
    renderer = process_renderer()
    around = cameras.Camera(poses, cameras.intrinsics_from_fov(views.fov_degrees), views.size_px)
    renderer.load(mesh["vertices"], mesh["faces"])
    return np.stack([label_map(renderer.render(camera), mesh["face_labels"]) for camera in around])


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
