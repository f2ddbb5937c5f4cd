"""Photos that a distance compares: those that nothing was trained on, and others."""

import numpy as np

from sofgan.errors import InputError
from sofgan.evaluation.portraits import draw
from sofgan.photos.store import HELD_OUT, PhotoStore

FEWEST_PHOTOS = 2  # of a side, as a Frechet distance needs


def sides(store: PhotoStore, limit: int, seed: int, name: str) -> dict[str, np.ndarray]:
    """Records of a set that nothing was trained on ("held-out"), and others ("training"), `limit` of each at most.

    Args:
        name: of the set, which seeds the draw.

    Raises:
        InputError: a side is too small for a distance.
    """
    held = store.splits() == HELD_OUT
    found = {"held-out": np.flatnonzero(held), "training": np.flatnonzero(~held)}
    for side, indices in found.items():
        if len(indices) < FEWEST_PHOTOS:
            more = "more" if side == "held-out" else "less"
            raise InputError(
                f"{store.path} has {len(indices)} {side} photos, and a distance needs {FEWEST_PHOTOS}: a "
                f"held_out_share of import_photos.{name} that is {more}, or more photos"
            )
    return {side: draw(indices, limit, seed, f"{name} {side}") for side, indices in found.items()}
