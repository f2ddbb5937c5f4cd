"""The few figures by which a whole run is judged, with what N counts: the report's cards and `python -m pipelines
metrics` are made of this list. It is in the order in which the stages run."""

import dataclasses
from pathlib import Path

from sofgan.files import read_json
from stages.paths import FIGURES


@dataclasses.dataclass(frozen=True)
class Headline:
    """One figure.

    Attributes:
        stage: in dvc.yaml.
        keys: names among all figures of the stage; the first that was measured is meant.
        title: what is measured; `{key}` stands for that name.
        note: what it is, in a few words.
        count: what N counts, with `{n}`, and the name of N among all figures; None: no N.
        better: `up`, `down`, or "" for a count, which is no score.
        short: its name in metrics/<file>.json; `{key}` as in `title`; "" where it is not there.
        optional: only embedded data or some settings have it: without it nothing is missing.
        floor: what its floor is of, where it has one.
    """

    stage: str
    keys: tuple[str, ...]
    title: str
    note: str
    count: tuple[str, str] | None = None
    better: str = ""
    short: str = ""
    optional: bool = False
    floor: str = "as many real photos, kept from training, against the same"

    @property
    def file(self) -> str:
        """Name of the stage's files under metrics/ and metrics/all/."""
        return FILES.get(self.stage, self.stage)


FILES = {"evaluate": "evaluation"}  # Where a stage's files have another name than it has.

HEADLINES = (
    Headline("make_avatars", ("scans",), "Avatars", "scans of invented people", optional=True),
    Headline(
        "make_portraits",
        ("ffhq_photos",),
        "Portraits",
        "drawn as FFHQ-like photos",
        ("of {n} people", "ffhq_identities"),
        optional=True,
    ),
    Headline(
        "make_portraits",
        ("celebamask_photos",),
        "Portraits and masks",
        "drawn as CelebAMask-like photos",
        ("of {n} people", "celebamask_identities"),
        optional=True,
    ),
    Headline(
        "ingest_scans",
        ("scans_usable",),
        "Scans",
        "read, labelled and brought to head space",
        ("{n} left out", "scans_rejected"),
    ),
    Headline("render_views", ("views",), "Label views", "rendered around the scans", ("{n} scans", "scans")),
    Headline(
        "import_photos", ("ffhq_photos",), "Photos", "imported, FFHQ-like", ("{n} left out", "ffhq_left_out")
    ),
    Headline(
        "import_photos",
        ("celebamask_photos",),
        "Photos with masks",
        "imported, CelebAMask-like",
        ("{n} left out", "celebamask_left_out"),
    ),
    Headline(
        "train_parser",
        ("held_out_miou",),
        "Face parser, mIoU",
        "on photos of people kept from training, which chose nothing",
        ("{n} photos", "held_out_photos"),
        "up",
        "parser",
    ),
    Headline("parse_faces", ("photos",), "Photos parsed", "FFHQ-like ones, to label maps"),
    Headline(
        "train_sof",
        ("held_out_miou",),
        "Field, mIoU",
        "field against rendered truth, views never trained on",
        ("{n} views", "held_out_views"),
        "up",
        "field",
    ),
    Headline(
        "train_sof",
        ("new_head_miou",),
        "New heads, mIoU",
        "heads never trained on, code fitted to some views, scored on others",
        ("{n} heads", "new_heads"),
        "up",
        "new_head",
        optional=True,
    ),
    Headline(
        "invert_masks",
        ("input_miou",),
        "Inversion, mIoU",
        "map fitted by code and camera, against that map; mean over maps",
        ("{n} maps", "maps"),
        "up",
        "masks",
    ),
    Headline(
        "train_siw", ("kimg",), "Painter, kimg", "thousand photos shown while it was trained", short="kimg"
    ),
    Headline(
        "evaluate",
        ("held_out_view_miou",),
        "Field after round 2",
        "its mIoU on such views again, after it learned from masks",
        ("{n} views", "held_out_views"),
        "up",
    ),
    Headline(
        "evaluate",
        ("control_miou",),
        "Control, mIoU",
        "painted, then parsed again, against the map it was painted from: one that nothing was trained on",
        ("{n} pictures", "control_pictures"),
        "up",
        "control",
    ),
    Headline(
        "evaluate",
        ("control_miou_frequent",),
        "Control, frequent classes",
        "the same over the classes that show often enough to be judged",
        ("{n} classes", "control_classes_frequent"),
        "up",
        optional=True,
    ),
    Headline(
        "evaluate",
        ("fid", "fd_lite0", "fd_lite2", "fd_parser"),
        "Portraits, {key}",
        "painted from maps kept from training, against photos that were trained on",
        ("{n} a side", "n_a_side"),
        "down",
        "{key}",
        optional=True,
    ),
    Headline(
        "evaluate",
        ("warp_error_20",),
        "Warp error, 20 degrees",
        "one style seen from two sides, warped onto each other, by the difference between styles",
        ("{n} heads", "orbit_heads"),
        "down",
        "warp_20",
        optional=True,
        floor="avatars, whose texture is fixed to them",
    ),
)

BETTER = {"up": "higher is better", "down": "lower is better", "": ""}


@dataclasses.dataclass(frozen=True)
class Row:
    """A headline as it is shown: texts; `value` is None, and `note` says why, where it was not measured.

    `short` is its name in `dvc metrics`; "" where it is not there.
    """

    headline: Headline
    title: str
    short: str
    value: float | None
    text: str
    count: str
    note: str


def read_figures(root: Path) -> dict[str, dict]:
    """All figures of each file under metrics/all, by stage (and batch)."""
    folder = root / FIGURES
    return {
        path.relative_to(folder).with_suffix("").as_posix(): read_json(path)
        for path in sorted(folder.rglob("*.json"))
    }


def rows(figures: dict[str, dict]) -> list[Row]:
    """A row a headline; those of optional ones that were not measured are left out.

    Args:
        figures: as `read_figures` has them.
    """
    found = []
    for headline in HEADLINES:
        values = _of_stage(figures, headline.file)
        key = next((key for key in headline.keys if values.get(key) is not None), None)
        if key is None and headline.optional:
            continue
        title = headline.title.format(key=key or headline.keys[0])
        if key is None:
            why = f"the stage {headline.stage} has not run yet"
            if values:
                why = f"not measured: {headline.keys[0]} of the stage {headline.stage}"
            found.append(Row(headline, title, "", None, "–", "", why))
            continue
        note = headline.note
        low, high = (values.get(f"{key}_{end}") for end in ("low", "high"))
        if low is not None and high is not None:
            note += f"; from {text_of(low)} to {text_of(high)}, its interval of 95 percent"
        if (floor := values.get(f"{key}_floor")) is not None:
            note += f"; floor {text_of(floor)}: {headline.floor}"
        if headline.better:
            note += f"; {BETTER[headline.better]}"
        found.append(
            Row(
                headline,
                title,
                headline.short.format(key=key),
                values[key],
                text_of(values[key]),
                _count(headline, values),
                note,
            )
        )
    return found


def text_of(value: float) -> str:
    """A figure as people write it: 0.812, 8.5, 312, 96,000."""
    if value == int(value) and (abs(value) >= 1 or value == 0):
        return f"{int(value):,}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _count(headline: Headline, values: dict) -> str:
    if headline.count is None:
        return ""
    text, key = headline.count
    count = values.get(key)
    return "not given" if count is None else text.format(n=text_of(count))


def _of_stage(figures: dict[str, dict], file: str) -> dict:
    """Figures of a stage; of one that runs once a batch, the sums over batches of what it counted."""
    if file in figures:
        return figures[file]
    sums: dict[str, float] = {}
    for name, values in figures.items():
        if name.startswith(f"{file}/"):
            for key, value in values.items():
                if value is not None:
                    sums[key] = sums.get(key, 0) + value
    return sums
