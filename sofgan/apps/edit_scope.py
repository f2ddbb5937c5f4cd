"""What an edit of a label map is about, and what is taken because of it from a head that was suggested."""

import numpy as np

from sofgan.labels import (
    BACKGROUND,
    BROW,
    EAR,
    EARRING,
    EYE,
    EYEGLASS,
    L_LIP,
    L_NOSE,
    MOUTH,
    NECKLACE,
    NUM_CLASSES,
    R_NOSE,
    SKIN,
    U_LIP,
)  # fmt: skip

PARTS = (BROW, EYE, R_NOSE, L_NOSE, MOUTH, U_LIP, L_LIP, EAR, EARRING, EYEGLASS, NECKLACE)
COVERED = 0.97  # share of painted pixels that the edit's classes are about


def about(before: np.ndarray, after: np.ndarray) -> list[int]:
    """Classes that an edit is about: the fewest of which nearly every painted pixel has one, before (N,) or after.

    Longer hair is about hair alone, whatever it hides; a hat in the place of hair is about the hat. Of classes that say
    as much, skin and background come last.
    """
    left, found = np.ones(len(before), bool), []
    while left.mean() > 1 - COVERED:
        counts = [(left & ((before == one) | (after == one))).sum() for one in range(NUM_CLASSES)]
        order = sorted(range(NUM_CLASSES), key=lambda one: (-counts[one], one in (SKIN, BACKGROUND), one))
        found.append(order[0])
        left &= (before != order[0]) & (after != order[0])
    return found


def takes(
    ours: np.ndarray, theirs: np.ndarray, classes: list[int], known: np.ndarray, kept_parts: np.ndarray
) -> np.ndarray:
    """Whether a place is taken from the suggested head: its class changes, to or from what the edit is about, into one
    that the head had or that was painted, and not out of a small part that the edited view still shows."""
    concerned = np.isin(ours, classes) | np.isin(theirs, classes)
    return (ours != theirs) & concerned & np.isin(theirs, known) & ~np.isin(ours, kept_parts)
