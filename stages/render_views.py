"""Label maps and depths of every scan of one batch, from cameras around the head."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sofgan.views.multiview import render_batch
from stages.cluster import spread
from stages.entry import enter
from stages.params import read_params, seed
from stages.tracking import stage_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder under data/scans")
    batch = parser.parse_args().batch
    params = read_params("render_views")
    views = Path("data/views") / batch
    with stage_run("render_views", params, item=batch) as run:
        figures = render_batch(
            Path("data/scans") / batch,
            views,
            params,
            seed(),
            spread("render_views", batch),
            report=lambda done, total: run.status(f"{done}/{total} scans"),
        )
        run.image("views/contact_sheet", np.asarray(Image.open(views / "contact_sheet.png")))
        run.metrics(figures)  # stages.batch_metrics brings those of all batches together.


if __name__ == "__main__":
    enter(main)
