"""Estimates with their interval of 95 percent over pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sofgan.errors import InputError

Z = 1.959963984540054  # half the width of 95 percent of a normal distribution, in deviations
GROUPS = 20  # of the jackknife


@dataclass(frozen=True)
class Estimate:
    """A value, its interval's ends, and its standard error."""

    value: float
    low: float
    high: float
    error: float

    @classmethod
    def of(cls, value: float, error: float, width: float = Z) -> "Estimate":
        """An interval as wide as `width` standard errors on either side."""
        return cls(value, value - width * error, value + width * error, error)


def student(freedom: int) -> float:
    """Half the width of 95 percent of Student's distribution of so many degrees of freedom, in deviations."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def of_seeds(values: Sequence[float]) -> Estimate:
    """Mean over trainings from several seeds, with Student's interval.

    Raises:
        InputError: there is one alone.
    """
    if len(values) < 2:
        raise InputError("an interval over seeds needs two figures at least")
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return Estimate.of(float(np.mean(values)), float(error), student(len(values) - 1))


def from_influences(value: float, *influences: np.ndarray) -> Estimate:
    """The infinitesimal jackknife: the variance of a figure is that of its mean influence, on each side.

    Args:
        influences: (N,) of the pictures of each side, whose sets are independent: derivatives of the figure by a
            picture's weight times N.
    """
    variance = sum(np.mean(values**2) / len(values) for values in influences)
    return Estimate.of(float(value), float(np.sqrt(variance)))


def jackknife(
    figure: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    counts: tuple[int, int],
    generator: np.random.Generator,
) -> dict[str, Estimate]:
    """Figures of two sets with intervals, by leaving out a twentieth of both sets at a time.

    Drawing with repetition would not do for figures of nearest neighbours: a picture that is drawn twice is its own.

    Args:
        figure: of the numbers of the pictures that are left on each side, by name.
        counts: pictures a side.
        generator: draws the groups.
    """
    if min(counts) < GROUPS:
        raise ValueError(f"an interval needs {GROUPS} pictures a side at least, not {min(counts)}")
    groups = [generator.permutation(count) % GROUPS for count in counts]
    whole = figure(*(np.arange(count) for count in counts))
    left = [figure(*(np.flatnonzero(group != one) for group in groups)) for one in range(GROUPS)]
    estimates = {}
    for name, value in whole.items():
        values = np.array([some[name] for some in left])
        error = np.sqrt((GROUPS - 1) / GROUPS * ((values - values.mean()) ** 2).sum())
        estimates[name] = Estimate.of(value, float(error), student(GROUPS - 1))
    return estimates
