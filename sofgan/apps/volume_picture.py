"""The semantic occupancy field as a volume to look at (the paper's Fig. 2): each class' probability, the most
probable class, slices, and the label map that they give."""

import numpy as np
import torch
from torch import Tensor

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.labels import NAMES, PALETTE, colorize
from sofgan.sof.model import field_instance
from sofgan.sof.occupancy import SKIP, FieldInstance, Occupancy, in_chunks
from sofgan.sof.rays import as_tensors, ball_interval, camera_rays
from sofgan.sof.render import PreparedCode
from sofgan.sof.sof import Sof
from sofgan.sof.volume_marcher import stratified

SAMPLES = 96
RAYS = 1 << 14  # looked along at a time: their samples' probabilities take some 100 MB
CLASS_OPTICAL_DEPTH = 2.5  # of a class where it is thickest
CLASS_LEAST = 0.05  # head units
VOLUME_DENSITY = 12.0  # per head unit where a class is certain
COLUMNS = 7
# Planes through the head: title, and the head's axes along the picture's x and down its y.
SLICES = {
    "slice x = 0": ((0, 0, 1), (0, -1, 0)),
    "slice z = 0": ((1, 0, 0), (0, -1, 0)),
    "slice y = 0": ((1, 0, 0), (0, 0, 1)),
}


def probabilities_at(instance: FieldInstance, occupancy: Occupancy | None, points: Tensor) -> Tensor:
    """Class probabilities (P, K) at points (P, 3); certain background outside the ball and in empty cells."""
    held = (points * points).sum(-1) < 1
    if occupancy is not None:
        held &= occupancy.at(points.T) != SKIP
    inside = points[held]
    result = points.new_zeros((len(points), instance.num_classes))
    result[:, 0] = 1
    if len(inside):
        log_empty = in_chunks(instance.log_empty, inside)[:, None]
        solid = -torch.expm1(log_empty)
        result[held] = torch.cat([log_empty.exp(), solid * in_chunks(instance.log_classes, inside).exp()], -1)
    return result


def blend_colors(probabilities: Tensor) -> Tensor:
    """Colours (..., 3) in 0..255 of class probabilities (..., K)."""
    return probabilities @ torch.as_tensor(PALETTE, dtype=probabilities.dtype, device=probabilities.device)


def class_thickness(probabilities: Tensor, spacing: Tensor) -> Tensor:
    """Head units (N, K - 1) of each class along rays.

    Args:
        probabilities: (N, S, K) of samples along them.
        spacing: (N,) head units between samples.
    """
    return spacing[:, None] * probabilities[..., 1:].sum(1)


def class_volumes(thickness: Tensor) -> Tensor:
    """Fig. 2a: opacities (N, K - 1) in 0..1 of each class alone, its probability being the density.

    Each class has a density of its own, by which thin brows show as well as skin; one whose thickest place has
    less than `CLASS_LEAST` head units stays faint.

    Args:
        thickness: (N, K - 1) head units of each along the rays of a whole picture.
    """
    density = CLASS_OPTICAL_DEPTH / thickness.amax(0).clamp_min(CLASS_LEAST)
    return -torch.expm1(-density * thickness)


def most_probable_volume(probabilities: Tensor, spacing: Tensor) -> Tensor:
    """Fig. 2b: colours (N, 3) in 0..255 of the most probable class, its probability being the density.

    Arguments as of `class_thickness`, samples in order of depth.
    """
    most, label = probabilities.max(-1)
    density = torch.where(label > 0, most, 0.0) * VOLUME_DENSITY * spacing[:, None]
    reached = torch.exp(density - density.cumsum(-1))  # Light that gets to each sample.
    colors = torch.as_tensor(PALETTE, device=label.device)[label.long()].float()
    return ((reached * -torch.expm1(-density))[..., None] * colors).sum(1)


@torch.no_grad()
def volume_picture(
    sof: Sof, code, yaw: float = 0.5, pitch: float = 0.1, size: int = 160, radius: float | None = None
) -> np.ndarray:
    """A sheet of one code (Z,), or of what `prepare` returned for one: (H, W, 3) uint8.

    Tiles are the label map, the most probable class as a see-through volume, slices through the head's middle,
    and each class' probability as a see-through volume of its own.

    Args:
        yaw, pitch: radians, of the camera (see `sofgan.cameras.orbit`); `radius` is the training views' if None.
        size: pixels along a tile's side.
    """
    prepared = code if isinstance(code, PreparedCode) else sof.prepare(code)
    instance = field_instance(sof.model, prepared.representation)
    pose = cameras.orbit(yaw, pitch, radius or sof.radius)
    camera = as_tensors(Camera(pose, sof.intrinsics, size), sof.device)
    view = sof.render(prepared, camera)
    rays = camera_rays(camera)
    near, far, _ = ball_interval(rays)
    thickness, colors = [], []
    for start in range(0, size * size, RAYS):
        some = (slice(None), slice(start, start + RAYS))
        depths = stratified(near[some], far[some], SAMPLES, None)
        spacing = (far - near)[some][0] * rays.directions[some][0].norm(dim=-1) / SAMPLES
        points = rays[some].at(depths).flatten(0, 2)
        sampled = probabilities_at(instance, prepared.occupancy, points).unflatten(0, depths.shape[1:])
        thickness.append(class_thickness(sampled, spacing))
        colors.append(most_probable_volume(sampled, spacing))
    tiles = {"label map": colorize(view.labels.cpu().numpy())}
    tiles["most probable class"] = _image(torch.cat(colors), size)
    steps = (torch.arange(size, device=sof.device) + 0.5) * (2 / size) - 1
    for title, (right, down) in SLICES.items():
        right, down = (torch.tensor(axis, device=sof.device, dtype=torch.float32) for axis in (right, down))
        plane = steps[None, :, None] * right + steps[:, None, None] * down
        shown = probabilities_at(instance, prepared.occupancy, plane.flatten(0, 1))
        tiles[title] = _image(blend_colors(shown), size)
    opacities = class_volumes(torch.cat(thickness))
    for label in range(1, instance.num_classes):
        color = torch.as_tensor(PALETTE[label], device=sof.device)
        tiles[NAMES[label]] = _image(opacities[:, label - 1, None] * color, size)
    return _sheet(tiles, size)


def _image(colors: Tensor, size: int) -> np.ndarray:
    return colors.round().clamp(0, 255).to(torch.uint8).reshape(size, size, 3).cpu().numpy()


def _sheet(tiles: dict[str, np.ndarray], size: int) -> np.ndarray:
    """Tiles under their titles, row by row."""
    from PIL import Image, ImageDraw

    title_px, gap_px = 16, 4
    rows = -(-len(tiles) // COLUMNS)
    step_x, step_y = size + gap_px, size + gap_px + title_px
    sheet = Image.new("RGB", (COLUMNS * step_x - gap_px, rows * step_y - gap_px), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (title, tile) in enumerate(tiles.items()):
        x, y = index % COLUMNS * step_x, index // COLUMNS * step_y
        draw.text((x + size / 2, y + title_px / 2), title, "black", anchor="mm")
        sheet.paste(Image.fromarray(tile), (x, y + title_px))
    return np.asarray(sheet)
