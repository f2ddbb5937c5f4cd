"""Intervals of figures over heads, by the jackknife.

Heads are few. Percentiles of the bootstrap hold the truth in some 85 of 100 cases with 6 heads and in half of them with
2; Student's interval around the jackknife's error holds it in 94, as its test counts.
"""

from collections.abc import Callable

import numpy as np

from sofgan.scores.intervals import Estimate, student

LEAST_SQUARE = 1e-10  # of differences between pictures


def over_heads(figure: Callable[[np.ndarray], float], values: np.ndarray, name: str) -> dict[str, float]:
    """A figure with its interval of 95 percent over heads, each of which is left out once.

    Args:
        figure: of values (..., H, k) it gives (...).
        values: (H, k), what was measured on each head, of 2 heads at least.
        name: of the figure.

    Returns:
        `<name>`, `<name>_low` and `<name>_high`.

    Raises:
        ValueError: there is one head alone.
    """
    values = np.asarray(values, np.float64)
    heads = len(values)
    if heads < 2:
        raise ValueError("an interval over heads needs two at least")
    left = figure(np.stack([np.delete(values, one, 0) for one in range(heads)]))
    error = np.sqrt((heads - 1) / heads * ((left - left.mean()) ** 2).sum())
    found = Estimate.of(float(figure(values)), float(error), student(heads - 1))
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def ratio(values: np.ndarray) -> np.ndarray:
    """Sum of the first column by that of the second, over heads: (..., H, 2) to (...)."""
    return values[..., 0].sum(-1) / values[..., 1].sum(-1)


def decibels(values: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio, dB, of mean squared differences of pictures in [-1, 1]: (..., H, 1) to (...).

    At most 106 dB, which is what rounding leaves of equal pictures in float32.
    """
    return 10 * np.log10(4 / np.maximum(values[..., 0].mean(-1), LEAST_SQUARE))
