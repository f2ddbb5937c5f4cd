"""Figures that say what they are of, and that are compared with their like alone."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from sofgan.errors import InputError
from sofgan.scores.intervals import Estimate, of_seeds


class UnlikeFigures(InputError):
    """Figures that say nothing about each other; the message names what they differ in."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A score with all that decides on its size.

    Attributes:
        name: of the score, such as `fd`, `fd_inf`, `kd`, `precision`.
        value, low, high: with the interval of 95 percent; `interval` says over what.
        n_painted, n_real: pictures a side.
        extractor, resize: of the features; an extractor's name stands for its weights.
        real_data: digest of the pictures that are compared with.
        painted_data: digest of those that are scored.
        painted_size, real_size: of the pictures before the extractor's resize, in words.
        painted_quality, real_quality: of their JPEG files, in words.
        floor: the score of real pictures in the place of painted ones, at the same numbers; None: not measured.
        interval: `pictures` or `seeds`.
    """

    name: str
    value: float
    low: float
    high: float
    n_painted: int
    n_real: int
    extractor: str
    resize: str
    real_data: str
    painted_data: str
    painted_size: str = "not known"
    real_size: str = "not known"
    painted_quality: str = "not known"
    real_quality: str = "not known"
    floor: float | None = None
    interval: str = "pictures"

    @classmethod
    def of(cls, name: str, estimate: Estimate, **settings) -> "Figure":
        """A figure of an estimate and of the remaining attributes."""
        return cls(name, estimate.value, estimate.low, estimate.high, **settings)

    def __sub__(self, other: "Figure") -> Estimate:
        """Difference with an interval as of independent errors. The sets share the real pictures, and what these
        change in both cancels, so that the interval is rather too wide.

        Raises:
            UnlikeFigures: they can't be compared.
        """
        check_alike((self, other))
        value = self.value - other.value
        below = np.hypot(self.value - self.low, other.high - other.value)
        above = np.hypot(self.high - self.value, other.value - other.low)
        return Estimate(value, float(value - below), float(value + above), float((below + above) / 2 / 1.96))

    def __lt__(self, other: "Figure") -> bool:
        """Whether the value is less.

        Raises:
            UnlikeFigures: they can't be compared.
        """
        check_alike((self, other))
        return self.value < other.value

    def to_mapping(self) -> dict[str, str | float | int | None]:
        """Plain data by attribute, as JSON takes it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping) -> "Figure":
        """The figure that `to_mapping` wrote.

        Raises:
            InputError: a key is missing or unknown.
        """
        fields = dataclasses.fields(cls)
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        wrong = sorted((needed - mapping.keys()) | (mapping.keys() - {field.name for field in fields}))
        if wrong:
            raise InputError(f"this is no figure of ours: {', '.join(wrong)} missing or unknown")
        return cls(**mapping)


# What may differ between figures that are compared: results, and whose pictures are scored.
_FREE = ("value", "low", "high", "floor", "painted_data", "interval")
_ALIKE = [field.name for field in dataclasses.fields(Figure) if field.name not in _FREE]


def check_alike(figures: Sequence[Figure]) -> None:
    """See that figures can be compared.

    Raises:
        UnlikeFigures: they differ in more than results and the pictures that are scored.
    """
    for other in figures[1:]:
        pairs = [(name, getattr(figures[0], name), getattr(other, name)) for name in _ALIKE]
        apart = [f"{name} ({one} and {two})" for name, one, two in pairs if one != two]
        if apart:
            raise UnlikeFigures(f"these figures can't be compared: they differ in {', '.join(apart)}")


def over_seeds(figures: Sequence[Figure]) -> Figure:
    """Mean over trainings from several seeds, with Student's interval of 95 percent over them.

    Raises:
        UnlikeFigures: they can't be compared.
        InputError: there is one alone.
    """
    check_alike(figures)
    over = of_seeds([figure.value for figure in figures])
    return dataclasses.replace(
        figures[0],
        value=over.value,
        low=over.low,
        high=over.high,
        painted_data=" ".join(figure.painted_data for figure in figures),
        interval="seeds",
    )


def table(figures: Mapping[str, Figure]) -> str:
    """Lines of a Markdown table, a row for each name.

    Raises:
        UnlikeFigures: they can't be compared.
    """
    check_alike(list(figures.values()))
    first = next(iter(figures.values()))
    lines = [
        f"{first.name} by {first.extractor}, {first.resize}; {first.n_painted} and {first.n_real} pictures",
        "",
        "| pictures | value | 95 % | floor |",
        "| --- | --- | --- | --- |",
    ]
    for name, figure in figures.items():
        floor = "-" if figure.floor is None else f"{figure.floor:.4g}"
        lines.append(f"| {name} | {figure.value:.4g} | {figure.low:.4g} to {figure.high:.4g} | {floor} |")
    return "\n".join(lines)
