"""Views of a scan: cameras around the head, label maps and depths, in one file a scan."""

import dataclasses
import os
from functools import partial
from pathlib import Path

import numpy as np

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.errors import MissingInput
from sofgan.files import FIGURES, atomic_path, write_json, write_npz, write_png
from sofgan.images import sheet
from sofgan.parallel import Mapper, map_in_processes
from sofgan.progress import SILENT, Progress
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import label_map
from sofgan.seeds import numpy_generator
from sofgan.views.config import RenderViews

TRAIN, HELD_OUT = 0, 1


@dataclasses.dataclass(frozen=True)
class Views:
    """Views rendered of one scan.

    Attributes:
        labels: (N, H, W) uint8 class ids, `labels.VOID` where a surface's class is unknown.
        depth: (N, H, W) float16 camera z in head-space units, 0 where nothing is hit.
        cam2world: (N, 4, 4) float32, OpenCV axes.
        intrinsics: (3, 3) float32, in image widths.
        split: (N,) uint8, `TRAIN` or `HELD_OUT`.
    """

    labels: np.ndarray
    depth: np.ndarray
    cam2world: np.ndarray
    intrinsics: np.ndarray
    split: np.ndarray

    def save(self, path: str | os.PathLike) -> None:
        """Write a views file; equal views are equal bytes."""
        write_npz(path, **dataclasses.asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Views":
        """Read a views file."""
        with np.load(path) as arrays:
            return cls(**{field.name: arrays[field.name] for field in dataclasses.fields(cls)})


def sample_cameras(config: RenderViews, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cameras around a head, and which of them are held out.

    The first is frontal. The yaws of the others are stratified, so that even a few views see both sides.

    Returns:
        cam2world (N, 4, 4) float32 and split (N,) uint8.
    """
    count = config.views_per_scan
    strata = (generator.permutation(count - 1) + generator.random(count - 1)) / max(count - 1, 1)
    yaw = np.append(0.0, np.radians(config.yaw_degrees) * (2 * strata - 1))
    pitch = np.append(0.0, np.radians(generator.uniform(*config.pitch_degrees, count - 1)))
    jitter = np.append(0.0, generator.uniform(-config.radius_jitter, config.radius_jitter, count - 1))
    split = np.full(count, TRAIN, np.uint8)
    split[1 + generator.permutation(count - 1)[: config.held_out_views]] = HELD_OUT
    return cameras.orbit(yaw, pitch, config.radius * (1 + jitter)).astype(np.float32), split


def render_scan(
    renderer,
    vertices: np.ndarray,
    faces: np.ndarray,
    face_labels: np.ndarray,
    config: RenderViews,
    generator: np.random.Generator,
) -> Views:
    """All views of one scan.

    Args:
        renderer: a `sofgan.rendering.renderer.MeshRenderer`.
        vertices, faces, face_labels: the scan in head space, as in its file.
        config: which views.
        generator: draws the cameras.
    """
    cam2world, split = sample_cameras(config, generator)
    intrinsics = cameras.intrinsics_from_fov(config.fov_degrees).astype(np.float32)
    renderer.load(vertices, faces)
    maps, depths = [], []
    for camera in Camera(cam2world, intrinsics, config.size_px):
        visible = renderer.render(camera)
        maps.append(label_map(visible, face_labels))
        depths.append(renderer.last_depth().astype(np.float16))
    return Views(np.stack(maps), np.stack(depths), cam2world, intrinsics, split)


def render_batch(
    scans: Path,
    views: Path,
    config: RenderViews,
    seed: int,
    workers: int | Mapper,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Render every scan file of a folder into a views file, and a contact sheet.

    A scan's views depend on the seed, the folder's name and its own, not on which others there are.

    Args:
        scans: folder of scan files (`<scan>.npz`).
        views: folder that receives `<scan>.npz`, `contact_sheet.png` and `figures.json`.
        config: which views.
        seed: of the run.
        workers: processes; a result does not depend on how many.
        progress: listener, which gets the count of scans.

    Returns:
        what is in `figures.json`: scans, views, and for each class the share of pixels that it covers
        (`area_<class>`; and `area_void` where there is any).

    Raises:
        MissingInput: the folder holds no scan.
    """
    paths = sorted(scans.glob("*.npz"))
    if not paths:
        raise MissingInput(f"{scans} holds no scan; run ingest_scans first")
    counts = np.zeros(labels.NUM_CLASSES + 1, np.int64)
    with atomic_path(views) as folder:
        folder.mkdir()
        task = partial(_render_file, folder=folder, config=config, seed=seed)
        for done, found in enumerate(map_in_processes(task, paths, workers), 1):
            counts += found
            progress.items(done, len(paths), "scans")
        rows = (Views.load(folder / path.name) for path in paths[: config.sheet_scans])
        write_png(
            folder / "contact_sheet.png", contact_sheet([row.labels[: config.sheet_views] for row in rows])
        )
        figures = {"scans": float(len(paths)), "views": float(len(paths) * config.views_per_scan)}
        shares = counts / counts.sum()
        names = [*labels.NAMES, "void"] if counts[-1] else labels.NAMES
        figures |= {f"area_{name}": float(share) for name, share in zip(names, shares)}
        write_json(folder / FIGURES, figures)
    return figures


def _render_file(path: Path, folder: Path, config: RenderViews, seed: int) -> np.ndarray:
    with np.load(path) as scan:
        rendered = render_scan(
            process_renderer(),
            scan["vertices"],
            scan["faces"],
            scan["face_labels"],
            config,
            numpy_generator(seed, "views", path.parent.name, path.stem),
        )
    rendered.save(folder / path.name)
    counts = np.bincount(rendered.labels.reshape(-1), minlength=labels.VOID + 1)
    return np.append(counts[: labels.NUM_CLASSES], counts[labels.VOID])


def contact_sheet(maps: list[np.ndarray], cell_px: int = 96) -> np.ndarray:
    """One picture of many label maps: a row a scan, a column a view.

    Args:
        maps: (N, H, W) label maps of each scan.
        cell_px: size of a cell; maps are resized to it by nearest neighbour.

    Returns:
        (rows * cell, columns * cell, 3) uint8.
    """
    columns = max(len(scan) for scan in maps)
    cells = np.zeros((len(maps), columns, cell_px, cell_px), np.uint8)
    for row, scan in enumerate(maps):
        cells[row, : len(scan)] = labels.resize(scan, cell_px)
    return labels.colorize(sheet(cells.reshape(-1, cell_px, cell_px), columns))
