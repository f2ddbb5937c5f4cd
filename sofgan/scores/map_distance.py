"""Distance between sets of label maps: what heads look like before anyone paints them.

Label maps are told apart by how much of which class is where: shares of the classes on a coarse grid, and lengths of
the classes' borders. Their Frechet distance shows the gap of a geometry by itself, where a distance of painted pictures
shows it together with the painter's. As of any such distance, N decides on its size: it stands beside a floor.
"""

import numpy as np

from sofgan.labels import NAMES, NUM_CLASSES, resize

GRID = 4  # cells along a side
SIZE = 64  # pixels at which maps are looked at
PLACED = 1e-3  # least share of a map at which a class has a place


def map_features(maps: np.ndarray) -> np.ndarray:
    """(N, 17 * 16 + 17) float32 of label maps (N, S, S) uint8: share of each cell of a 4 x 4 grid that each class
    takes, then the length of each class' borders, in map widths."""
    maps = resize(maps, SIZE)
    cell = SIZE // GRID
    features = np.empty((len(maps), NUM_CLASSES * (GRID**2 + 1)), np.float32)
    across, down = maps[:, :, 1:] != maps[:, :, :-1], maps[:, 1:] != maps[:, :-1]
    for index in range(NUM_CLASSES):
        own = maps == index
        cells = own.reshape(-1, GRID, cell, GRID, cell).mean((2, 4)).reshape(len(maps), -1)
        features[:, index * GRID**2 : (index + 1) * GRID**2] = cells
        borders = ((own[:, :, 1:] | own[:, :, :-1]) & across).sum((1, 2))
        borders = borders + ((own[:, 1:] | own[:, :-1]) & down).sum((1, 2))
        features[:, NUM_CLASSES * GRID**2 + index] = borders / SIZE
    return features


def map_differences(maps: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """Differences of two sets of label maps (N, S, S), (M, S, S) that can be read.

    Returns:
        shares: half of the sum over classes of the differences of their mean shares, 0 to 1;
        places: mean distance of a class' mean place in one set from that in the other, image widths, over the classes
        that maps of both show;
        borders: mean length of all borders by that of the others.
    """
    first, second = (_described(resize(some, SIZE)) for some in (maps, others))
    shown = first["shown"] & second["shown"]
    apart = np.linalg.norm(first["places"][shown] - second["places"][shown], axis=1)
    return {
        "shares": float(np.abs(first["shares"] - second["shares"]).sum() / 2),
        "places": float(apart.mean()) if shown.any() else 0.0,
        "borders": float(first["borders"] / max(second["borders"], 1e-9)),
    }


def _described(maps: np.ndarray) -> dict[str, np.ndarray]:
    axis = (np.arange(SIZE) + 0.5) / SIZE
    shares, places = np.zeros((len(maps), len(NAMES))), np.full((len(maps), len(NAMES), 2), np.nan)
    for index in range(NUM_CLASSES):
        own = maps == index
        shares[:, index] = own.mean((1, 2))
        there = shares[:, index] >= PLACED
        mass = own[there].sum((1, 2))[:, None]
        places[there, index] = np.stack([own[there].sum(1) @ axis, own[there].sum(2) @ axis], 1) / mass
    shown = ~np.isnan(places).all((0, 2))
    middle = np.zeros((len(NAMES), 2))
    middle[shown] = np.nanmean(places[:, shown], 0)
    borders = (maps[:, :, 1:] != maps[:, :, :-1]).mean() + (maps[:, 1:] != maps[:, :-1]).mean()
    return {"shares": shares.mean(0), "places": middle, "shown": shown, "borders": borders}
