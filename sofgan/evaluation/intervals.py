"""Intervals of figures over heads, by the bootstrap."""

from collections.abc import Callable

import numpy as np

from sofgan.seeds import numpy_generator

DRAWS = 1000  # of as many heads as there are
LEAST_SQUARE = 1e-10  # of differences between pictures
PERCENTILES = (2.5, 97.5)


def over_heads(
    figure: Callable[[np.ndarray], float], values: np.ndarray, seed: int, name: str
) -> dict[str, float]:
    """A figure with its interval of 95 percent over heads, which are drawn anew with repetition.

    Args:
        figure: of values (..., H, k): of many draws (D, H, k) at once, or of all heads (H, k), it gives (D,) or ().
        values: (H, k), what was measured on each head.
        seed: of the draws, with the name.
        name: of the figure.

    Returns:
        `<name>`, `<name>_low` and `<name>_high`.
    """
    values = np.asarray(values, np.float64)
    rows = numpy_generator(seed, "evaluate", "bootstrap", name).integers(
        len(values), size=(DRAWS, len(values))
    )
    low, high = np.percentile(figure(values[rows]), PERCENTILES)
    return {name: float(figure(values)), f"{name}_low": float(low), f"{name}_high": float(high)}


def ratio(values: np.ndarray) -> np.ndarray:
    """Sum of the first column by that of the second, over heads: (..., H, 2) to (...)."""
    return values[..., 0].sum(-1) / values[..., 1].sum(-1)


def decibels(values: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio, dB, of mean squared differences of pictures in [-1, 1]: (..., H, 1) to (...).

    At most 106 dB, which is what rounding leaves of equal pictures in float32.
    """
    return 10 * np.log10(4 / np.maximum(values[..., 0].mean(-1), LEAST_SQUARE))
