"""The report as one HTML text, from the files that the stages left. What is not there is said, not hidden."""

import math
import subprocess
from pathlib import Path

import jinja2
import yaml

from sofgan.errors import InputError, MissingInput
from sofgan.labels import NAMES, PALETTE
from stages import paths
from stages.reporting import competitors, curves, graph, headlines, pictures, texts
from stages.reporting.live import live_page

PHOTOS_SHOWN, PHOTO_PX = 12, 128
BATCHES_SHOWN = 3
CURVES_SHOWN = 6
FIRST_PICTURES = {"siw": ("samples.png", "restyle.png")}
# Columns of curves that are worth a look before the others, by what they contain.
TELLING = ("miou", "fd_", "loss", "accuracy")


def build(root: Path, title: str, max_width: int, batches: list[str]) -> str:
    """The whole page.

    Args:
        root: the project's folder.
        title: of the page.
        max_width: of a picture in pixels.
        batches: scan batches in use.
    """
    params_file = root / "params.yaml"
    params = yaml.safe_load(params_file.read_text()) if params_file.is_file() else {}
    metrics = headlines.read_figures(root)
    page = Page(root, max_width)
    sections = [
        page.portraits(),
        page.views(batches),
        page.photos(),
        page.folder("field", "The occupancy field", paths.SOF_PICTURES, "train_sof"),
        page.folder("inversion", "Heads behind label maps", paths.INVERTED, "invert_masks"),
        page.folder("conditions", "Heads to be painted", paths.CONDITIONS, "sample_conditions"),
        page.folder("painting", "Painting, while it learned", paths.SIW_PICTURES, "train_siw"),
        *page.competitors(metrics, params.get("baselines") or [], own_set(params)),
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=title,
        facts=facts(root, params, batches),
        cards=cards(metrics),
        sections=sections,
        classes=[
            (name, "#{:02x}{:02x}{:02x}".format(*colour)) for name, colour in zip(NAMES, PALETTE.tolist())
        ],
        graph=graph.draw(*graph.read_graph(root / "dvc.yaml", params))
        if (root / "dvc.yaml").is_file()
        else "",
        curves=curve_groups(root / "plots", root / "dvc.yaml"),
        scores=class_scores(metrics, root / "plots"),
        metrics=[
            (name, [(key, figure(value), texts.definition(key)) for key, value in values.items()])
            for name, values in metrics.items()
        ],
    )


class Page:
    """Sections: each a mapping with `id`, `title`, `figures`, `missing`, `notes`, and for one of them `live`, a page of
    its own, or `turntable` in its place, for another one `table`."""

    def __init__(self, root: Path, max_width: int):
        self.root, self.max_width = root, max_width

    def portraits(self) -> dict:
        """Section with what the whole makes: the sample grid, and heads to be turned, or one that was."""
        section = self.folder("portraits", "Portraits", paths.EVALUATION, "evaluate")
        try:
            section["live"] = live_page(self.root)
            return section
        except MissingInput:
            section["missing"].append(
                f"heads to be turned: {paths.SOF_INVERTED} and {paths.SIW}, of the stages invert_masks and train_siw"
            )
        except InputError as error:
            section["notes"].append(f"Heads that could be turned here are left out: {error}.")
        animation = self.root / paths.EVALUATION / "turntable.gif"
        if animation.is_file():
            section["turntable"] = pictures.animation(animation)
        else:
            section["missing"].append(
                "a head that turns: data/evaluation/turntable.gif, of the stage evaluate"
            )
        return section

    def views(self, batches: list[str]) -> dict:
        """A contact sheet a batch."""
        section = _section("views", "Scans, seen from around")
        for batch in batches[:BATCHES_SHOWN]:
            text = f"Batch {batch}: label views of each scan. Rows are scans, columns views."
            self._add(section, paths.VIEWS / batch / "contact_sheet.png", text, "render_views")
        if len(batches) > BATCHES_SHOWN:
            more = ", ".join(batches[BATCHES_SHOWN:])
            section["notes"].append(f"{len(batches) - BATCHES_SHOWN} more batches in use: {more}.")
        return section

    def photos(self) -> dict:
        """Photos with what the parser saw in them, and those whose masks came with them."""
        section = _section("photos", "Photos and their label maps")
        for name, labels, text in (
            ("ffhq", paths.PARSED, "FFHQ-like photos; what the face parser sees, laid over and alone."),
            (
                "celebamask",
                paths.PHOTOS["celebamask"],
                "CelebAMask-like photos with the masks that came with them.",
            ),
        ):
            photos = self.root / "data/photos" / name
            sheet = pictures.photo_sheet(photos, self.root / labels, PHOTOS_SHOWN, PHOTO_PX)
            if sheet is None:
                section["missing"].append(f"photos of {name}: data/photos/{name} with {labels}")
            else:
                from PIL import Image

                image = pictures.inline(Image.fromarray(sheet), self.max_width)
                section["figures"].append({**image, "caption": text})
        return section

    def folder(self, identifier: str, title: str, folder: str, stage: str) -> dict:
        """All pictures of a stage's folder."""
        section = _section(identifier, title)
        found = sorted((self.root / folder).glob("*.png"))
        order = FIRST_PICTURES.get(Path(folder).name, ())
        for path in sorted(
            found, key=lambda path: order.index(path.name) if path.name in order else len(order)
        ):
            relative = path.relative_to(self.root)
            self._add(section, relative, texts.caption(relative.relative_to("data").as_posix()), stage)
        if not found:
            section["missing"].append(f"pictures in {folder}, of the stage {stage}")
        return section

    def competitors(self, metrics: dict[str, dict], wanted: list[str], own: str) -> list[dict]:
        """A section of the paper's competitors, their figures and pictures; none where none that is wanted was trained.

        Args:
            own: the set of photos that is learned from.
        """
        trained = competitors.methods(metrics, wanted)
        if not trained:
            return []
        section = _section("competitors", "The paper's competitors")
        section["table"] = competitors.table(metrics, wanted, own)
        if section["table"] is None:
            section["missing"].append("figures of this run's painter, of the stage evaluate")
        for name in trained:
            path = Path(paths.BASELINE_PICTURES, name, "samples.png")
            text = f"{competitors.METHODS[name]}: held-out label maps, a row each, in styles, a column each."
            self._add(section, path, text, f"train_baseline@{name}")
        return [section]

    def _add(self, section: dict, path: Path, caption: str, stage: str) -> None:
        if (self.root / path).is_file():
            image = pictures.from_file(self.root / path, self.max_width)
            section["figures"].append({**image, "caption": caption})
        else:
            section["missing"].append(f"{path.as_posix()}, of the stage {stage}")


def own_set(params: dict) -> str:
    """The set of photos that the painter learns from, by params.yaml."""
    return (params.get("train_siw", {}).get("photo_sets") or ["ffhq"])[0]


def _section(identifier: str, title: str) -> dict:
    return {
        "id": identifier,
        "title": title,
        "figures": [],
        "missing": [],
        "notes": [],
        "live": None,
        "turntable": None,
        "table": None,
    }


def cards(metrics: dict[str, dict]) -> list[dict]:
    """The scores on top of the page, each with its N; those that are not there say so."""
    return [
        {"title": row.title, "value": row.text, "count": row.count, "note": row.note}
        for row in headlines.rows(metrics)
        if row.headline.better
    ]


def figure(value) -> str:
    """A metric as text."""
    if isinstance(value, float):
        return curves.short(value) if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
    return "–" if value is None else str(value)


def curve_groups(folder: Path, dvc_file: Path) -> list[tuple[str, list, list]]:
    """Curves by file under `plots/`: (name, curves shown, curves folded away), a curve being (column, SVG)."""
    axes = _x_columns(dvc_file)
    groups = []
    for path in sorted(folder.glob("*.csv")):
        table = curves.read_table(path)
        first, cells = curves.read_texts(path)
        if not table:
            continue
        if first == "truth":  # A confusion matrix: `dvc plots show` and MLflow draw it.
            continue
        if all(math.isnan(value) for value in table[first]):  # Of classes.
            del table[first]
            groups.append(
                (path.stem, [(name, curves.bars(_coloured(cells, table[name]))) for name in table], [])
            )
            continue
        x_name = axes.get(f"{folder.name}/{path.name}") or next(iter(table))
        x = table.pop(x_name, None) or list(range(len(next(iter(table.values()), []))))
        telling = sorted(table, key=lambda name: not any(word in name for word in TELLING))
        drawn = [(name, curves.draw(x, table[name], x_name)) for name in telling]
        drawn = [(name, svg) for name, svg in drawn if svg]
        groups.append((path.stem, drawn[:CURVES_SHOWN], drawn[CURVES_SHOWN:]))
    return groups


def class_scores(metrics: dict[str, dict], plots: Path) -> list[tuple[str, str]]:
    """Scores of classes, `..._iou_<class>`, as bars: (title, SVG) for each group of metrics.

    Without those of a stage that has plots/<stage>_classes.csv, which `curve_groups` draws.
    """
    groups = []
    for file, values in metrics.items():
        if (plots / f"{file}_classes.csv").is_file():
            continue
        found: dict[str, dict[str, float]] = {}
        for key, value in values.items():
            prefix, _, name = key.rpartition("iou_")
            for known in NAMES if prefix.endswith("_") or not prefix else ():
                if name == known:
                    found.setdefault(f"{prefix}iou", {})[name] = math.nan if value is None else value
        for title, scores in found.items():
            names = [name for name in NAMES if name in scores]
            groups.append(
                (f"{file}: {title}", curves.bars(_coloured(names, [scores[name] for name in names])))
            )
    return groups


def _coloured(names: list[str], values: list[float]) -> list[tuple[str, float, str]]:
    colours = dict(zip(NAMES, ("#{:02x}{:02x}{:02x}".format(*colour) for colour in PALETTE.tolist())))
    return [(name, value, colours.get(name, "var(--accent)")) for name, value in zip(names, values)]


def _x_columns(dvc_file: Path) -> dict[str, str]:
    """Each plot file's `x` in dvc.yaml."""
    if not dvc_file.is_file():
        return {}
    plots = [
        plot
        for stage in yaml.safe_load(dvc_file.read_text())["stages"].values()
        for plot in stage.get("plots", [])
    ]
    named = [next(iter(plot.items())) for plot in plots if isinstance(plot, dict)]
    return {path: options["x"] for path, options in named if "x" in (options or {})}


def facts(root: Path, params: dict, batches: list[str]) -> list[tuple[str, str]]:
    """Facts on the run. No date: the same inputs make the same page."""
    try:
        command = ["git", "rev-parse", "--short=10", "HEAD"]
        commit = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "none"
    return [
        ("profile", str(params.get("profile", "demo"))),
        ("seed", str(params.get("seed", "–"))),
        ("batches", ", ".join(batches)),
        ("commit", commit),
    ]
