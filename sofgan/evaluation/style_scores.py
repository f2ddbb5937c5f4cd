"""Effects of styles, and of borders that move, in the pictures of some maps."""

import numpy as np

from sofgan.evaluation import restyling
from sofgan.evaluation.border_shift import border_shifts
from sofgan.evaluation.diversity import diversity
from sofgan.evaluation.shards import Colors, Judges

STYLES = 8  # that each map is painted in, where distances between styles are measured
FEWEST = 2  # maps, of which there is an interval


def scores(labels: np.ndarray, colors: Colors, judges: Judges, seed: int) -> dict[str, float]:
    """Spread of colours by that of photos, leakage, distances between styles, and moves of painted borders.

    Args:
        labels: (N, S, S) uint8, that nothing was trained on.
        colors: of photos' regions, as `photo_features` gives them.
        judges: of the painter; the first of their extractors measures distances between styles.
        seed: of styles and intervals.
    """
    siw, parser, extractors = judges.load()
    figures = restyling.scores(siw, labels, colors, judges.batch, seed)
    if len(labels) < FEWEST:
        return figures
    figures |= diversity(siw, labels, extractors[0], STYLES, seed, judges.batch)
    return figures | border_shifts(siw, labels, parser.parse, seed)
