"""Strokes of a brush on label maps."""

import numpy as np

Place = tuple[float, float]


def drawn(labels: np.ndarray, label: int, start: Place, end: Place, radius: float) -> np.ndarray:
    """A label map (S, S) uint8 with a stroke in it, as a new array.

    Args:
        label: class that is painted.
        start, end: in map widths.
        radius: pixels of the map.
    """
    size = len(labels)
    rows, columns = np.mgrid[:size, :size] + 0.5
    first, along = np.multiply(start, size), np.subtract(end, start) * size
    x, y = columns - first[0], rows - first[1]
    share = ((x * along[0] + y * along[1]) / max(float(along @ along), 1e-9)).clip(0, 1)
    apart = np.hypot(x - share * along[0], y - share * along[1])
    return np.where(apart <= radius, np.uint8(label), labels)
