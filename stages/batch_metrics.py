"""Figures of all batches in use, brought together: how many scans, how many views, what is in them.

A metrics file for each batch would make two tables of a hundred rows of fifty batches, and `dvc.lock` longer for each.
"""

import numpy as np

from sofgan.files import FIGURES, read_json
from stages import paths
from stages.execution.entry import enter
from stages.params import batches
from stages.tracking.run import stage_run

# By stage: its folder, and which of its figures are counts; of the rest, means, the first count is the weight.
STAGES = {
    "ingest_scans": (paths.SCANS, ("scans_usable", "scans_rejected")),
    "render_views": (paths.VIEWS, ("views", "scans")),
}


def main() -> None:
    """figures.json of each batch in; metrics/ingest_scans.json and metrics/render_views.json out."""
    names = batches()
    with stage_run("batch_metrics", {"batches": names}) as run:
        for stage, (folder, counts) in STAGES.items():
            run.final(together([read_json(folder / name / FIGURES) for name in names], counts), name=stage)


def together(figures: list[dict[str, float]], counts: tuple[str, ...]) -> dict[str, float]:
    """Sums of what is counted, means of the rest, weighted by the first count; and how many batches there are.

    A figure that some batches lack, as that of void surfaces, is 0 in these.
    """
    weights = [batch[counts[0]] for batch in figures]
    keys = dict.fromkeys(key for batch in figures for key in batch)
    return {"batches": len(figures)} | {
        key: sum(batch.get(key, 0) for batch in figures)
        if key in counts
        else float(np.average([batch.get(key, 0.0) for batch in figures], weights=weights))
        for key in keys
    }


if __name__ == "__main__":
    enter(main)
