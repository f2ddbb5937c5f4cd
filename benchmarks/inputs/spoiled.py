"""Photos spoiled a little, more, and most, by which it is seen what a score notices."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from sofgan.seeds import numpy_generator

BLUR_PX = (0.5, 1.0, 2.0)  # deviation, of pictures of 128 pixels
NOISE = (8, 16, 32)  # deviation, of 255
SWAPPED = (1 / 4, 3 / 8, 1 / 2)  # side of the square that comes from another picture, of the picture's
DROPPED = (1 / 4, 1 / 2, 2 / 3)  # of the pictures, those that are brightest
KEPT = (1 / 2, 1 / 4, 1 / 8)  # of the pictures, each of which comes so much more often
COPIED = (1 / 4, 1 / 2, 1)  # of the pictures, by ones of the set that is compared with


def blurred(pictures: np.ndarray, deviation: float, _) -> np.ndarray:
    """(N, S, S, 3) uint8 by a Gaussian."""
    sigma = (0, deviation, deviation, 0)
    return (
        np.stack([gaussian_filter(one[None].astype(np.float32), sigma)[0] for one in pictures])
        .round()
        .astype(np.uint8)
    )


def noisy(pictures: np.ndarray, deviation: float, stream: np.random.Generator) -> np.ndarray:
    """The same with Gaussian noise."""
    noise = stream.normal(scale=deviation, size=pictures.shape)
    return np.clip(pictures + noise, 0, 255).round().astype(np.uint8)


def swapped(pictures: np.ndarray, share: float, stream: np.random.Generator) -> np.ndarray:
    """The same with a square in the middle of each from another of them: parts of people that don't belong together."""
    side = pictures.shape[1]
    square = round(side * share)
    start = (side - square) // 2
    part = np.s_[:, start : start + square, start : start + square]
    shift = int(stream.integers(1, len(pictures)))
    made = pictures.copy()
    made[part] = np.roll(pictures, shift, 0)[part]
    return made


SPOILED: dict[str, tuple[Callable, tuple[float, ...]]] = {
    "blur": (blurred, BLUR_PX),
    "noise": (noisy, NOISE),
    "swapped middles": (swapped, SWAPPED),
}


def levels(photos: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """Pictures to compare with (count, S, S, 3), and by name of what was done, by level in words, as many pictures.

    Args:
        photos: (N, S, S, 3) uint8, N at least four times `count`.
        seed: of the sides and the noise.
    """
    order = numpy_generator(seed, "spoiled", "sides").permutation(len(photos))
    real, pool = photos[order[:count]], photos[order[count : 4 * count]]
    painted = pool[:count]
    made = {}
    for name, (spoil, steps) in SPOILED.items():
        made[name] = {"none": painted} | {
            f"{step:.3g}": spoil(painted, step, numpy_generator(seed, "spoiled", name)) for step in steps
        }
    dark = np.argsort(pool.mean((1, 2, 3)), kind="stable")
    made["brightest dropped"] = {"none": painted} | {
        f"{share:.0%}": pool[np.sort(dark[: round(len(pool) * (1 - share))])][:count] for share in DROPPED
    }
    made["repeated"] = {"none": painted} | {
        f"{share:.3g}": np.resize(painted[: round(count * share)], painted.shape) for share in KEPT
    }
    made["copies"] = {"none": painted} | {
        f"{share:.0%}": np.concatenate((real[: round(count * share)], painted[round(count * share) :]))
        for share in COPIED
    }
    return real, made
