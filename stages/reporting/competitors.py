"""The paper's competitors beside ours: figures of each trained method, for a section of the report."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stages.reporting.headlines import text_of

METHODS = {
    "stylegan2": "StyleGAN2, which sees no map (arXiv 1912.04958)",
    "spade": "SPADE (arXiv 1903.07291)",
    "pix2pixhd": "Pix2PixHD (arXiv 1711.11585)",
    "sean": "SEAN (arXiv 1911.12861)",
}
DISTANCES = ("fid", "fd_lite0", "fd_lite2", "fd_parser")
OWN_CONTROL, CONTROL = "control_miou_{own}", "control_miou"  # over the same maps
STAGE = "train_baseline"
NOTE = (
    "Each painted the same held-out label maps (StyleGAN2 sees none), scored by the same networks against the same "
    "photos: Frechet distances, lower is better, with an interval of 95 percent over pictures, and "
    "how much of a map is found again in its picture (mean IoU over classes), higher is better; this run's painter may "
    "have painted each map several times for that. One training "
    "each: python -m benchmarks.baselines compares several."
)


@dataclass(frozen=True)
class Table:
    """Rows of texts under their heads."""

    head: list[str]
    rows: list[list[str]]
    note: str


def methods(metrics: Mapping[str, dict], wanted: Collection[str]) -> list[str]:
    """Those that are wanted and of which there are figures, in the order of `METHODS`.

    Figures of a method stay where they are when `baselines` lists it no more: they are of an earlier state.
    """
    return [name for name in METHODS if name in wanted and f"{STAGE}/{name}" in metrics]


def table(metrics: Mapping[str, dict], wanted: Collection[str], own: str) -> Table | None:
    """Ours and each competitor, and the floor; None: no competitor was trained, or ours not.

    Args:
        metrics: all figures by stage, as `read_figures` has them.
        wanted: methods that `baselines` lists.
        own: the set of photos that is learned from.
    """
    ours, found = metrics.get("evaluation"), methods(metrics, wanted)
    if not ours or not found:
        return None
    shown = [name for name in DISTANCES if ours.get(name) is not None]
    rows = [["this run's painter", *_row(ours, shown, OWN_CONTROL.format(own=own))]]
    rows += [[METHODS[name], *_row(metrics[f"{STAGE}/{name}"], shown, CONTROL)] for name in found]
    floors = [_figure(ours, f"{name}_floor") for name in shown]
    rows.append(["other photos, the floor", text_of(ours["n_a_side"]), *floors, ""])
    return Table(["", "N a side", *shown, "control"], rows, NOTE)


def _row(figures: dict, shown: list[str], control_name: str) -> list[str]:
    control = figures.get(control_name)
    found = [_figure(figures, name) for name in shown]
    return [text_of(figures["n_a_side"]), *found, "none" if control is None else text_of(control)]


def _figure(figures: dict, name: str) -> str:
    value, low, high = (figures.get(f"{name}{suffix}") for suffix in ("", "_low", "_high"))
    if value is None:
        return "none"
    return text_of(value) + (
        f" ({text_of(low)} to {text_of(high)})" if low is not None and high is not None else ""
    )
