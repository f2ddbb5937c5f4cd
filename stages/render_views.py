"""Label maps and depths of every scan of one batch, from cameras around the head."""

import argparse

import numpy as np
from PIL import Image

from sofgan.views.multiview import render_batch
from stages import paths
from stages.execution.dask_shards import spread
from stages.execution.entry import enter
from stages.params import read_params, seed
from stages.tracking.run import stage_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder under data/scans")
    batch = parser.parse_args().batch
    params = read_params("render_views")
    views = paths.VIEWS / batch
    with stage_run("render_views", params, item=batch) as run:
        figures = render_batch(
            paths.SCANS / batch,
            views,
            params,
            seed(),
            spread("render_views", batch),
            progress=run,
        )
        run.image("views/contact_sheet", np.asarray(Image.open(views / "contact_sheet.png")))
        run.scalars(0, figures)  # stages.batch_metrics brings those of all batches together.


if __name__ == "__main__":
    enter(main)
