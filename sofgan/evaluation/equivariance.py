"""Translation equivariance: whether a picture moves with its label map (EQ-T of Alias-Free GAN, Karras et al. 2021).

Two crops of one wide map, some pixels apart, are painted; what both show should be the same. In dB, the ratio of the
range of values to the difference: every 20 dB are a tenth of the difference.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sofgan import runtime
from sofgan.cameras import Camera
from sofgan.evaluation.intervals import decibels, over_heads
from sofgan.evaluation.view_consistency import Paint, head_styles
from sofgan.labels import resize
from sofgan.siw.condition_views import draw_view
from sofgan.siw.mixing import one_hot
from sofgan.siw.model import Siw
from sofgan.siw.portrait_camera import Framing
from sofgan.sof.sof import Sof

LONGEST = 4  # share of a picture that is shifted at most, by which it is divided
WIDE = 2  # width of a wide view by that of a picture


def wide_camera(view: Camera) -> Camera:
    """A camera of arrays, or several, that sees `WIDE` times as much: its middle pixels are those of `view`."""
    intrinsics = np.array(view.intrinsics, np.float64)
    intrinsics[..., 0, 0] /= WIDE
    intrinsics[..., 1, 1] /= WIDE
    intrinsics[..., :2, 2] = (intrinsics[..., :2, 2] - 0.5) / WIDE + 0.5
    return Camera(view.cam2world, intrinsics, WIDE * view.size)


def wide_maps(sof: Sof, codes: Tensor, framing: Framing, label_size: int) -> np.ndarray:
    """(N, 2 S, 2 S) uint8 frontal views of heads with all that stands around a portrait's map of S pixels."""
    view = wide_camera(framing.camera(0.0, 0.0, label_size))

    def draw(code: Tensor) -> np.ndarray:
        return draw_view(sof, code, Camera(np.asarray(view.cam2world), view.intrinsics, view.size))[0]

    return np.stack(list(runtime.map_pieces(draw, list(codes), sof.device)))


def crop(wide: np.ndarray, down: int, right: int, border: int = 0) -> np.ndarray:
    """The middle of a wide map (2 S, 2 S), with its content moved by so many of its pixels: (S, S), or larger by
    `border` on each side."""
    size = len(wide) // WIDE + 2 * border
    top, left = (len(wide) - size) // 2 - down, (len(wide) - size) // 2 - right
    return wide[top : top + size, left : left + size]


def stride(siw: Siw) -> int:
    """Picture pixels between two pixels of the size where synthesis starts: shifts by multiples of it change nothing
    that is learned, but at the border."""
    return siw.resolution // siw.generator.config.sizes()[0]


def shifts(siw: Siw) -> dict[str, tuple[int, ...]]:
    """Shifts in picture pixels, up to a quarter of the picture: multiples of the `stride`, and some `between` them; a
    group is left out where there are none."""
    step, longest = stride(siw), siw.resolution // LONGEST
    parts = {round(step * share) for share in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)}
    usable = sorted(part for part in parts if 0 < part <= longest)
    groups = {
        "stride": tuple(part for part in usable if part % step == 0),
        "between": tuple(part for part in usable if part % step),
    }
    return {name: group for name, group in groups.items() if group}


def squared_differences(
    paint: Paint, wide: np.ndarray, w: Tensor, pixels: Sequence[int], size: int, batch: int, border: int = 0
) -> Tensor:
    """Mean squared differences (len(pixels),) between a picture and those of the shifted maps, shifted back.

    Args:
        paint: as `Siw.paint`.
        wide: (2 S, 2 S) uint8, S a multiple of `size`.
        w: (K, w_dim): the mean over these styles, and over shifts down and to the right.
        pixels: of the pictures, above 0. What lies nearer to a border than the longest of them is left out.
        size: of the pictures.
        batch: pictures painted at once.
        border: pixels that the maps have more on each side than the pictures that `paint` makes of them.

    Raises:
        ValueError: a shift is no whole number of the map's pixels, or longer than a quarter of the picture.
    """
    times, rest = divmod(len(wide), WIDE * size)
    if rest or times < 1:
        raise ValueError(
            f"a map of {len(wide) // WIDE} pixels can't be shifted by pixels of a picture of {size}"
        )
    margin = max(pixels)
    if LONGEST * margin > size:
        raise ValueError(f"a shift of {margin} pixels leaves too little of a picture of {size}")
    ways = [(0, 0), *((d, 0) for d in pixels), *((0, d) for d in pixels)]
    maps = np.stack([crop(wide, down * times, right * times, border) for down, right in ways])
    order = np.arange(len(ways) * len(w))
    images = torch.cat(
        [
            paint(maps[rows // len(w)], w[(rows % len(w)).tolist()])
            for rows in np.split(order, range(batch, len(order), batch))
        ]
    ).unflatten(0, (len(ways), len(w)))
    inner = size - 3 * margin
    still = images[0, ..., margin : margin + inner, margin : margin + inner]
    errors = []
    for (down, right), moved in zip(ways[1:], images[1:]):
        # What was moved lies further down or right; both show the same part of the map, away from all borders.
        back = moved[..., margin + down : margin + down + inner, margin + right : margin + right + inner]
        errors.append((back - still).square().mean())
    return torch.stack(errors).view(2, len(pixels)).mean(0)


def measure_shifts(
    maps: np.ndarray,
    siw: Siw,
    styles: int,
    seed: int,
    batch: int,
    paint: Paint | None = None,
    border: int = 0,
) -> np.ndarray:
    """Mean squared differences (heads, shifts) of each head's wide map; shifts are those of `shifts` in their order.

    Args:
        maps: (heads, 2 S, 2 S) uint8.
        paint: in place of `siw.paint`.
        border: as of `squared_differences`.
    """
    pixels = [d for group in shifts(siw).values() for d in group]

    def measure(numbered: tuple[int, np.ndarray]) -> np.ndarray:
        head, wide = numbered
        with torch.inference_mode():
            w = head_styles(siw, styles, seed, head)
            found = squared_differences(paint or siw.paint, wide, w, pixels, siw.resolution, batch, border)
            return found.double().cpu().numpy()

    return np.stack(list(runtime.map_pieces(measure, list(enumerate(maps)), siw.device)))


def equivariance(measured: np.ndarray, siw: Siw, end: str = "") -> dict[str, float]:
    """PSNR in dB over each group of `shifts`, with its interval over heads.

    Args:
        measured: (heads, shifts) of `measure_shifts`.
        end: of the figures' names.

    Returns:
        `shift_db_stride<end>` and `shift_db_between<end>`, and the same with `_low` and `_high` behind.
    """
    figures, first = {}, 0
    for name, group in shifts(siw).items():
        values = measured[:, first : first + len(group)].mean(1, keepdims=True)
        first += len(group)
        figures |= over_heads(decibels, values, f"shift_db_{name}{end}")
    return figures


def paint_without_noise(siw: Siw, labels: np.ndarray, w: Tensor) -> Tensor:
    """As `Siw.paint` with one style a map, but for the noise, which is left out."""
    config = siw.generator.config
    maps = torch.from_numpy(resize(labels, config.label_size)).to(siw.device).long()
    with torch.inference_mode():
        styles = w.to(siw.device)[:, None].expand(len(maps), 1, -1)
        return siw.generator.synthesize(one_hot(maps), styles).clamp(-1, 1)
