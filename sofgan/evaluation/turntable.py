"""One head from several sides in several styles: as a picture, and as an animation."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sofgan.images import sheet
from sofgan.labels import colorize, resize
from sofgan.siw.model import Siw, to_uint8
from sofgan.siw.portrait_camera import Framing
from sofgan.siw.shoulders import add_shoulders
from sofgan.sof.sof import Sof


def turntable_labels(sof: Sof, code: Tensor, framing: Framing, yaws: np.ndarray, size: int) -> np.ndarray:
    """Label views of one code, with shoulders, from yaws in radians: (V, size, size) uint8."""
    cameras = framing.camera(yaws, np.zeros_like(yaws), size)
    views = sof.render_views(code, cameras)
    return np.stack(
        [add_shoulders(view.labels.cpu().numpy(), camera) for view, camera in zip(views, cameras)]
    )


def turntable_rows(siw: Siw, labels: np.ndarray, w: Tensor) -> np.ndarray:
    """Label views above their paintings, a row a style: ((1 + K) * R, V * R, 3) uint8.

    Args:
        labels: (V, S, S) uint8.
        w: (K, w_dim). Noise and style are fixed along a row, so only the view changes.
    """
    rows = [
        colorize(resize(labels, siw.resolution)),
        *(to_uint8(siw.paint(labels, style[None])) for style in w),
    ]
    return sheet(np.concatenate(rows), len(labels))


def turntable_gif(siw: Siw, labels: np.ndarray, w: Tensor, frames_per_second: int = 12) -> bytes:
    """The same as an animation, label view and styles side by side, there and back: an endless GIF."""
    size, count = siw.resolution, len(labels)
    views = turntable_rows(siw, labels, w).reshape(1 + len(w), size, count, size, 3)
    frames = [np.concatenate(list(views[:, :, i]), 1) for i in range(count)]
    frames += frames[-2:0:-1]
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=1000 // frames_per_second,
        loop=0,
    )
    return buffer.getvalue()


def style_rows(siw: Siw, count: int, generator: torch.Generator) -> Tensor:
    """Random styles (count, w_dim)."""
    return siw.map_styles(siw.sample_z(count, generator))
