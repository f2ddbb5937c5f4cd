"""What styles change: how much colours of regions vary over styles, and how far a restyled region reaches."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import cpu
from sofgan.labels import HAIR
from sofgan.seeds import torch_generator
from sofgan.siw.model import Siw
from sofgan.siw.samples import REGIONS, nearest

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


def style_spread(siw: Siw, labels: np.ndarray, styles: int, seed: int) -> dict[str, float]:
    """Spread of each region's colour over styles, by region: the root mean square over maps.

    Args:
        labels: (N, S, S) uint8 maps, each painted with the same `styles` styles.
    """
    w = siw.map_styles(siw.sample_z(styles, torch_generator(seed, "metrics", "style spread")))
    squares: dict[str, list[float]] = {name: [] for name in REGIONS}

    def squared_spreads(label_map: np.ndarray) -> dict[str, float]:
        images = siw.paint(np.repeat(label_map[None], styles, 0), w)
        shown = np.repeat(nearest(label_map[None], siw.resolution), styles, 0)
        colors = {name: region_colors(images, shown, classes) for name, classes in REGIONS.items()}
        return {name: spread(values) ** 2 for name, values in colors.items() if len(values)}

    for found in cpu.map_pieces(squared_spreads, labels, siw.device):
        for name, value in found.items():
            squares[name].append(value)
    return {name: float(np.sqrt(np.mean(values))) for name, values in squares.items() if values}


def leakage(siw: Siw, labels: np.ndarray, seed: int, classes=(HAIR,)) -> float | None:
    """Mean change far from a restyled region over the mean change inside it; None where no map shows both.

    Far is further than `BAND` of the side. Each map is painted with a style of its own, and again with another in the
    region.
    """
    w, other = siw.map_styles(
        siw.sample_z(2 * len(labels), torch_generator(seed, "metrics", "leakage"))
    ).chunk(2)
    change = (siw.paint(labels, w) - siw.restyle(labels, w, other, classes)).abs().mean(1)  # (N, R, R)
    region = np.isin(nearest(labels, siw.resolution), classes)
    inside = torch.from_numpy(region).to(change.device)
    reach = max(1, round(BAND * siw.resolution))
    near = F.max_pool2d(inside[:, None].float(), 2 * reach + 1, 1, reach)[:, 0] > 0
    if not inside.any() or near.all():
        return None
    return float(change[~near].mean() / change[inside].mean())


def scores(
    siw: Siw, labels: np.ndarray, photos: Tensor, photo_labels: np.ndarray, maps: int, seed: int
) -> dict[str, float]:
    """Spread of regions' colours over styles by that over photos, and leakage of restyled hair.

    Args:
        labels: (N, S, S) uint8, of which the first `maps` are painted, each with `STYLES` styles.
        photos: (M, 3, R, R) in [-1, 1] at the generator's resolution.
        photo_labels: (M, R, R) uint8.

    Returns:
        `style_spread_hair` and so on, for regions that occur; `leakage_hair`, if a map shows hair.
    """
    found = {}
    for name, value in style_spread(siw, labels[:maps], STYLES, seed).items():
        colors = region_colors(photos, photo_labels, REGIONS[name])
        if len(colors) > 1:
            found[f"style_spread_{name}"] = value / spread(colors)
    leaked = leakage(siw, labels[:maps], seed)
    return found if leaked is None else found | {"leakage_hair": leaked}
