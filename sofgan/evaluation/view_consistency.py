"""Warp error: how far a painted head's texture moves on it while the camera goes around.

Along an orbit, with style and noise fixed, each picture is warped onto its neighbours by the field's depth. Where both
show the same surface they should agree; the mean absolute difference is divided by that between styles, of the same
views at the same pixels. So 0 is texture that is fixed to the head, and at 1 the next view may as well be another
style's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from sofgan import runtime
from sofgan.cameras import Camera
from sofgan.evaluation.config import GAPS_DEGREES
from sofgan.evaluation.intervals import over_heads, ratio
from sofgan.progress import SILENT, Progress
from sofgan.seeds import torch_generator
from sofgan.siw.condition_views import draw_view
from sofgan.siw.model import Siw
from sofgan.siw.portrait_camera import Framing
from sofgan.sof.sof import Sof
from sofgan.warping import depth_of_pixels, find_warp, neighbours

# Maps (B, S, S) uint8 and styles (B or 1, w_dim) to pictures (B, 3, R, R) in [-1, 1], as `Siw.paint` does.
Paint = Callable[[np.ndarray, Tensor], Tensor]


@dataclass(frozen=True)
class Orbit:
    """Views of one head along an orbit.

    Attributes:
        labels: (V, S, S) uint8, with shoulders.
        depth: (V, R, R) float32 at the centres of a painted picture's pixels, 0 where it isn't known.
        cameras: the V cameras, of float32 tensors, of R pixels.
        yaws_degrees: V.
    """

    labels: np.ndarray
    depth: Tensor
    cameras: Camera
    yaws_degrees: tuple[float, ...]


def render_orbit(
    sof: Sof, code: Tensor, framing: Framing, yaws_degrees: Sequence[float], label_size: int, resolution: int
) -> Orbit:
    """Views of a code's head at pitch 0, to be painted at `resolution` pixels from maps of `label_size`."""
    yaws = np.radians(np.asarray(yaws_degrees, np.float64))
    views = framing.camera(yaws, np.zeros_like(yaws), max(label_size, resolution))
    ready = sof.prepare(code)
    labels, depth = zip(*(draw_view(sof, ready, view) for view in views))
    cam2world, intrinsics = (
        torch.as_tensor(array, dtype=torch.float32, device=sof.device)
        for array in (views.cam2world, views.intrinsics)
    )
    whole = torch.from_numpy(np.stack(depth)).to(sof.device)
    return Orbit(
        np.stack(labels),
        depth_of_pixels(whole, intrinsics, resolution),
        Camera(cam2world, intrinsics, resolution),
        tuple(yaws_degrees),
    )


def paint_orbit(paint: Paint, labels: np.ndarray, w: Tensor, batch: int) -> Tensor:
    """Each view in each style: (V, K, 3, R, R).

    Args:
        labels: (V, S, S) uint8.
        w: (K, w_dim).
        batch: pictures painted at once.
    """
    views, styles = (grid.ravel() for grid in np.mgrid[: len(labels), : len(w)])
    parts = [
        paint(labels[views[first : first + batch]], w[styles[first : first + batch].tolist()])
        for first in range(0, len(views), batch)
    ]
    return torch.cat(parts).unflatten(0, (len(labels), len(w)))


def differences(images: Tensor, orbit: Orbit, gap_degrees: float) -> tuple[Tensor, Tensor]:
    """Mean absolute differences of a head's pictures: of one style between two views, and between two styles.

    Args:
        images: (V, K, 3, R, R), at least two styles.
        gap_degrees: of yaw between the views.

    Returns:
        Two scalars: the mean over all pairs of views and styles, and over all pairs of styles on the same views. In
        each view all pixels are meant that show what the other view of the pair shows too.

    Raises:
        ValueError: no two views lie so far apart.
    """
    sources, targets = neighbours(orbit.yaws_degrees, gap_degrees)
    if not sources:
        raise ValueError(f"no two of the yaws {orbit.yaws_degrees} are {gap_degrees} degrees apart")
    warp = find_warp(orbit.depth, orbit.cameras, sources, targets)
    weights = warp.seen / warp.seen.sum((1, 2), keepdim=True).clamp(min=1)  # (P, R, R)

    def mean(difference: Tensor) -> Tensor:  # (P, ..., R, R), over pixels and pairs of views
        return torch.einsum("p...hw,phw->p...", difference.abs(), weights).mean()

    there = images[targets]
    moved = warp.apply(images[sources].flatten(1, 2)).view_as(there)
    first, second = torch.tensor(list(combinations(range(images.shape[1]), 2)), device=images.device).T
    between = [mean(there[:, a] - there[:, b]) for a, b in zip(first.tolist(), second.tolist())]
    return mean(moved - there), torch.stack(between).mean()


def measure_orbit(images: Tensor, orbit: Orbit) -> np.ndarray:
    """(gaps, 2) float64 of `differences`, a row for each of `GAPS_DEGREES`."""
    found = [torch.stack(differences(images, orbit, gap)) for gap in GAPS_DEGREES]
    return torch.stack(found).double().cpu().numpy()


def head_styles(siw: Siw, count: int, seed: int, head: int) -> Tensor:
    """(count, w_dim) random styles of a head: each head has its own, so that an interval over heads is one over styles
    too."""
    return siw.map_styles(siw.sample_z(count, torch_generator(seed, "evaluate", "orbit styles", head)))


def measure_heads(
    orbits: Sequence[Orbit],
    siw: Siw,
    styles: int,
    seed: int,
    batch: int,
    paint: Paint | None = None,
) -> np.ndarray:
    """Differences (heads, gaps, 2) along orbits (`differences`), each head painted in styles of its own.

    Args:
        paint: in place of `siw.paint`, which has the same noise for all views.
    """

    def measure(numbered: tuple[int, Orbit]) -> np.ndarray:
        head, orbit = numbered
        with torch.inference_mode():
            images = paint_orbit(
                paint or siw.paint, orbit.labels, head_styles(siw, styles, seed, head), batch
            )
            return measure_orbit(images, orbit)

    return np.stack(list(runtime.map_pieces(measure, list(enumerate(orbits)), siw.device)))


def warp_errors(measured: np.ndarray, prefix: str = "warp_error", end: str = "") -> dict[str, float]:
    """The warp error at each gap, with its interval over heads.

    Args:
        measured: (heads, gaps, 2), as `measure_heads` gives it.
        prefix, end: of the figures' names.

    Returns:
        `<prefix>_<gap><end>`, and the same with `_low` and `_high` behind.
    """
    figures = {}
    for gap, values in zip(GAPS_DEGREES, np.moveaxis(measured, 1, 0)):
        figures |= over_heads(ratio, values, f"{prefix}_{gap}{end}")
    return figures


def render_orbits(
    sof: Sof, codes: Tensor, siw: Siw, yaws_degrees: Sequence[float], progress: Progress = SILENT
) -> list[Orbit]:
    """Orbits of several heads, framed as a generator's portraits are.

    Args:
        codes: (N, Z).
        progress: listener, which gets the count of heads.
    """
    label_size, resolution = siw.generator.config.label_size, siw.resolution

    def render(code: Tensor) -> Orbit:
        return render_orbit(sof, code, siw.framing, yaws_degrees, label_size, resolution)

    orbits = []
    for orbit in runtime.map_pieces(render, list(codes), sof.device):
        orbits.append(orbit)
        progress.items(len(orbits), len(codes), "orbits")
    return orbits
