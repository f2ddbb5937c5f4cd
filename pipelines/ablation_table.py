"""Figures of trainings beside each other, with intervals over trials."""

from collections.abc import Mapping
from dataclasses import dataclass

from sofgan.scores.intervals import Estimate, of_seeds
from stages.reporting.headlines import text_of

# Of all figures of the stage `evaluate`: title, and whether more is better.
COLUMNS = {
    "fd_lite0": ("`fd_lite0`", False),
    "fd_lite2": ("`fd_lite2`", False),
    "fd_parser": ("`fd_parser`", False),
    "fd_lite0_sof_maps": ("`fd_lite0` of heads", False),
    "control_miou_frequent": ("control, frequent classes", True),
    "warp_error_20": ("warp error, 20 degrees", False),
    "shift_db_between": ("picture shifts with its map, dB", True),
    "unlike_photos": ("share unlike photos", False),
    "leakage_hair": ("leakage of hair's style", False),
    "style_spread_hair": ("spread of hair, by photos'", True),
}
FLOOR = "floor"


@dataclass(frozen=True)
class Cell:
    """A figure of one experiment.

    Attributes:
        over: its mean over trials with the interval of 95 percent; None: of one trial alone, or not measured.
        value: that mean.
        better: than the default's, by an interval of the differences trial by trial that doesn't hold 0; None: that
            can't be said.
    """

    value: float | None
    over: Estimate | None = None
    better: bool | None = None

    def text(self) -> str:
        """A few characters: value, interval, and a sign where it is better or worse than the default's."""
        if self.value is None:
            return "-"
        mark = {None: "", True: " (better)", False: " (worse)"}[self.better]
        between = f", {text_of(self.over.low)} to {text_of(self.over.high)}" if self.over else ""
        return f"{text_of(self.value)}{between}{mark}"


@dataclass(frozen=True)
class Comparison:
    """Experiments by name, the default first, with their figures; `trials` of each that are done."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Cell, ...]]
    trials: Mapping[str, int]

    def titles(self) -> list[str]:
        """Heads of the columns."""
        arrows = {True: "up", False: "down"}
        return [f"{COLUMNS[key][0]} ({arrows[COLUMNS[key][1]]})" for key in self.columns]

    def markdown(self) -> str:
        """A table, a row an experiment."""
        lines = [
            f"| experiment | trials | {' | '.join(self.titles())} |",
            "| --- " * (2 + len(self.columns)) + "|",
        ]
        for name, cells in self.rows.items():
            trials = self.trials.get(name)
            cells = [cell.text() for cell in cells]
            lines.append(f"| {name} | {trials if trials else ''} | {' | '.join(cells)} |")
        return "\n".join(lines)


def compare(default: str, scores: Mapping[str, Mapping[str, float]]) -> Comparison:
    """The comparison of experiments with the default's.

    Args:
        default: name of the experiment that others are compared to.
        scores: figures by NAME-TRIAL.
    """
    trials: dict[str, dict[int, Mapping[str, float]]] = {default: {}}
    for full, figures in scores.items():
        name, _, trial = full.rpartition("-")
        trials.setdefault(name, {})[int(trial)] = figures
    known = [key for key in COLUMNS if any(figures.get(key) is not None for figures in scores.values())]
    rows = {
        name: tuple(_cell(key, found, trials[default]) for key in known) for name, found in trials.items()
    }
    floors = [
        [floor for figures in scores.values() if (floor := figures.get(f"{key}_{FLOOR}")) is not None]
        for key in known
    ]
    rows[FLOOR] = tuple(Cell(sum(values) / len(values) if values else None) for values in floors)
    return Comparison(tuple(known), rows, {name: len(found) for name, found in trials.items()})


def _cell(
    key: str, found: Mapping[int, Mapping[str, float]], default: Mapping[int, Mapping[str, float]]
) -> Cell:
    values = [figures[key] for figures in found.values() if figures.get(key) is not None]
    if not values:
        return Cell(None)
    if len(values) == 1:
        return Cell(values[0])
    over = of_seeds(values)
    # Trials of one number have the same data, maps and draws, so that what these change in both cancels.
    apart = [
        figures[key] - default[trial][key]
        for trial, figures in found.items()
        if trial in default and None not in (figures.get(key), default[trial].get(key))
    ]
    better = None
    if found is not default and len(apart) > 1:
        difference = of_seeds(apart)
        if difference.low > 0 or difference.high < 0:
            better = (difference.value > 0) == COLUMNS[key][1]
    return Cell(over.value, over, better)
