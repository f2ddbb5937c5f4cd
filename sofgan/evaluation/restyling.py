"""Effects of styles: how much colors of regions vary over styles, and how far a restyled region reaches."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import runtime
from sofgan.labels import HAIR, resize
from sofgan.seeds import torch_generator
from sofgan.siw.model import Siw
from sofgan.siw.sheets import REGIONS

LEAST_AREA = 0.02  # share of a picture below which a region's colour isn't counted
STYLES = 32  # that each map is painted with
BAND = 1 / 16  # of the side: as near to a restyled region, change is no leakage but blending


def region_colors(images: Tensor, labels: np.ndarray, classes) -> np.ndarray:
    """Mean colours of a region in the pictures that show enough of it.

    Args:
        images: (B, 3, R, R) in [-1, 1].
        labels: (B, R, R) uint8.

    Returns:
        (n, 3) float64, n at most B.
    """
    region = torch.from_numpy(np.isin(labels, classes)).to(images.device)
    area = region.float().mean((1, 2))
    shown = area >= LEAST_AREA
    sums = (images * region[:, None]).mean((2, 3))
    return (sums[shown] / area[shown, None]).double().cpu().numpy()


def spread(colors: np.ndarray) -> float:
    """Root of the mean squared distance of colours (n, 3) from their mean."""
    return float(np.sqrt(((colors - colors.mean(0)) ** 2).sum(1).mean()))


def style_spread(
    siw: Siw, labels: np.ndarray, styles: int, seed: int, batch: int | None = None
) -> dict[str, float]:
    """Spread of each region's colour over styles, by region: the root mean square over maps.

    Args:
        labels: (N, S, S) uint8 maps, each painted with the same `styles` styles.
        batch: pictures painted at once; None: all styles of a map.
    """
    w = siw.map_styles(siw.sample_z(styles, torch_generator(seed, "metrics", "style spread")))
    squares: dict[str, list[float]] = {name: [] for name in REGIONS}

    def squared_spreads(label_map: np.ndarray) -> dict[str, float]:
        shown = resize(label_map[None], siw.resolution)
        colors: dict[str, list[np.ndarray]] = {name: [] for name in REGIONS}
        for some in w.split(batch or styles):
            images = siw.paint(np.repeat(label_map[None], len(some), 0), some)
            for name, classes in REGIONS.items():
                colors[name].append(region_colors(images, np.repeat(shown, len(some), 0), classes))
        joined = {name: np.concatenate(values) for name, values in colors.items()}
        return {name: spread(values) ** 2 for name, values in joined.items() if len(values)}

    for found in runtime.map_pieces(squared_spreads, labels, siw.device):
        for name, value in found.items():
            squares[name].append(value)
    return {name: float(np.sqrt(np.mean(values))) for name, values in squares.items() if values}


def within_reach(inside: Tensor, reach: int) -> Tensor:
    """Where (B, R, R) bool a pixel of the region `inside` (B, R, R) bool lies within that many rows and columns."""
    near = inside[:, None].float()
    # A square's largest value is that of its columns' largest: two strips, not their product, at each pixel.
    for window in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        near = F.max_pool2d(near, window, 1, (window[0] // 2, window[1] // 2))
    return near[:, 0] > 0


def leakage(
    siw: Siw, labels: np.ndarray, seed: int, classes=(HAIR,), batch: int | None = None
) -> float | None:
    """Mean change far from a restyled region over the mean change inside it; None where no map shows both.

    Far is further than `BAND` of the side. Each map is painted with a style of its own, and again with another in the
    region.

    Args:
        batch: pictures painted at once; None: all.
    """
    z = siw.sample_z(2 * len(labels), torch_generator(seed, "metrics", "leakage"))
    styles, others = siw.map_styles(z).chunk(2)
    reach = max(1, round(BAND * siw.resolution))
    sums, counts = np.zeros(2), np.zeros(2)  # of change, and of pixels: far, inside
    for start in range(0, len(labels), batch or len(labels)):
        some = slice(start, start + (batch or len(labels)))
        maps, w, other = labels[some], styles[some], others[some]
        change = (siw.paint(maps, w) - siw.restyle(maps, w, other, classes)).abs().mean(1)  # (B, R, R)
        inside = torch.from_numpy(np.isin(resize(maps, siw.resolution), classes)).to(change.device)
        near = within_reach(inside, reach)
        parts = (~near, inside)
        sums += [float((change * part).sum(dtype=torch.float64)) for part in parts]
        counts += [int(part.sum()) for part in parts]
    if not counts.all():
        return None
    far, within = sums / counts
    return float(far / within)


def scores(
    siw: Siw, labels: np.ndarray, photo_colors: dict[str, np.ndarray], batch: int, seed: int
) -> dict[str, float]:
    """Spread of regions' colours over styles by that over photos, and leakage of restyled hair.

    Args:
        labels: (N, S, S) uint8, each painted with `STYLES` styles.
        photo_colors: mean colours (n, 3) of each region in photos, by its name (`region_colors`).
        batch: pictures painted at once.

    Returns:
        `style_spread_hair` and so on, for regions that occur; `leakage_hair`, if a map shows hair.
    """
    found = {}
    for name, value in style_spread(siw, labels, STYLES, seed, batch).items():
        if len(photo_colors[name]) > 1:
            found[f"style_spread_{name}"] = value / spread(photo_colors[name])
    leaked = leakage(siw, labels, seed, batch=batch)
    return found if leaked is None else found | {"leakage_hair": leaked}
