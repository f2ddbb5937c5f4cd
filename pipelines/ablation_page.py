"""The page of a set of ablations: its table, and every experiment's pictures of the same maps in the same styles."""

import io
from collections.abc import Mapping
from pathlib import Path

import jinja2
from PIL import Image

from pipelines.ablation_table import Comparison
from stages.reporting.pictures import inline

TEMPLATE = "ablations.html"
MAX_WIDTH = 1200  # of a sheet, pixels


def render(table: Comparison, changes: Mapping[str, list[str]], sheets: Mapping[str, bytes]) -> str:
    """HTML with all in it.

    Args:
        table: the figures.
        changes: of params.yaml, by experiment.
        sheets: PNG files of sample grids, by experiment; those that are missing are named as such.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        titles=[title.replace("`", "") for title in table.titles()],
        rows=[
            (name, table.trials.get(name, ""), [(cell.text(), cell.better) for cell in cells])
            for name, cells in table.rows.items()
        ],
        experiments=[
            (name, ", ".join(changes.get(name, [])) or "params.yaml as it is", _inline(sheets.get(name)))
            for name in table.trials
        ],
    )


def _inline(png: bytes | None) -> dict | None:
    if png is None:
        return None
    with Image.open(io.BytesIO(png)) as image:
        return inline(image, MAX_WIDTH)
