"""Sample pictures: fixed grids that show a training's progress."""

from functools import partial

import numpy as np
import torch

from sofgan import runtime
from sofgan.labels import BACKGROUND, CLOTH, EAR, HAIR, L_NOSE, NECK, R_NOSE, SKIN, colorize, resize
from sofgan.seeds import torch_generator
from sofgan.siw.model import Siw, to_uint8

# Regions that are restyled in pictures and measured in metrics.
REGIONS = {
    "skin": (SKIN, R_NOSE, L_NOSE, EAR, NECK),
    "hair": (HAIR,),
    "cloth": (CLOTH,),
    "background": (BACKGROUND,),
}


def sample_grid(siw: Siw, labels: np.ndarray, styles: int, seed: int, psi: float = 1.0) -> np.ndarray:
    """Rows: label maps, first column their colours; columns: the same style over all maps.

    Args:
        labels: (rows, S, S) uint8.
        seed: of the styles.

    Returns:
        (rows * R, (1 + styles) * R, 3) uint8.
    """
    z = siw.sample_z(styles, torch_generator(seed, "siw", "grid"))
    w = siw.map_styles(z, psi)
    size = siw.resolution
    columns = [colorize(resize(labels, size)).reshape(-1, size, 3)]
    maps = torch.from_numpy(labels)
    columns += runtime.map_pieces(
        lambda style: to_uint8(siw.paint(maps, style)).reshape(-1, size, 3), w.split(1), siw.device
    )
    return np.concatenate(columns, 1)


def restyle_strip(siw: Siw, labels: np.ndarray, seed: int, psi: float = 1.0) -> np.ndarray:
    """Sheet of what a region's style changes: a row a map; columns: its colors, painted with one style, painted with
    that style but for skin, hair, cloth and background in turn with another's, and painted with the other.

    Args:
        labels: (rows, S, S) uint8.

    Returns:
        (rows * R, 7 * R, 3) uint8.
    """
    w, other = siw.map_styles(siw.sample_z(2, torch_generator(seed, "siw", "restyle")), psi).split(1)
    maps = torch.from_numpy(labels)
    tasks = [partial(siw.paint, maps, w)]
    tasks += [partial(siw.restyle, maps, w, other, classes) for classes in REGIONS.values()]
    tasks.append(partial(siw.paint, maps, other))
    images = runtime.map_pieces(lambda task: task(), tasks, siw.device)
    size = siw.resolution
    columns = [colorize(resize(labels, size)).reshape(-1, size, 3)]
    return np.concatenate(columns + [to_uint8(image).reshape(-1, size, 3) for image in images], 1)
