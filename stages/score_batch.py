"""How odd a batch's scans look beside those of the other batches: `python -m stages.score_batch --batch NAME`.

No stage of dvc.yaml, since every batch would then depend on all: the flow `render-batch` runs it once a batch is there.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from sofgan.errors import MissingInput
from sofgan.files import atomic_path
from sofgan.seeds import numpy_generator
from sofgan.sof.data import view_files
from sofgan.sof.plausibility import FEWEST_HEADS, fit_reference
from stages.entry import enter
from stages.params import batches, seed
from stages.tracking import stage_run

LARGEST_REFERENCE = 500  # scans of other batches, so that many batches cost no more than some
TOLD = 3  # statistics that are named for a scan


def main() -> None:
    """Frontal views of data/views in; data/oddities/NAME.csv and the figures of the batch out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder under data/views")
    batch = parser.parse_args().batch
    with stage_run("score_batch", {"batch": batch}, item=batch) as run:
        own = view_files("data/views", [batch])
        others = view_files("data/views", [name for name in batches() if name != batch])
        if not own:
            raise MissingInput(f"no views of batch '{batch}': dvc repro render_views@{batch}")
        path = Path("data/oddities") / f"{batch}.csv"
        path.unlink(missing_ok=True)
        if len(others) < FEWEST_HEADS:
            run.status(f"{len(others)} scans of other batches are too few to judge by ({FEWEST_HEADS})")
            run.final({"scans": len(own), "reference_scans": len(others)})
            return
        table = score(own, others, seed())
        with atomic_path(path) as work:
            table.to_csv(work, index=False)
        run.artifact(path)
        odd = table[~table["plausible"]]
        run.status(f"{len(odd)} of {len(table)} scans look odd: {path}")
        figures = {"scans": len(own), "reference_scans": min(len(others), LARGEST_REFERENCE), "odd": len(odd)}
        run.final(figures)


def score(own: list[Path], others: list[Path], seed: int) -> pd.DataFrame:
    """A row a scan, the oddest first: scan, plausible, p_value, score, why.

    Args:
        own, others: view files of the batch, and of the batches that it is judged by.
        seed: of the draw of those, where they are many.
    """
    if len(others) > LARGEST_REFERENCE:
        chosen = numpy_generator(seed, "score batch").choice(len(others), LARGEST_REFERENCE, replace=False)
        others = [others[i] for i in sorted(chosen)]
    reference = fit_reference(frontal_views(others))
    scores = reference.judge(frontal_views(own))
    worst = np.argsort(-scores.excess, 1, kind="stable")[:, :TOLD]
    why = [
        ", ".join(_sentence(reference, scores, row, i) for i in columns if scores.excess[row, i] > 0)
        for row, columns in enumerate(worst)
    ]
    table = pd.DataFrame(
        {
            "scan": [path.stem for path in own],
            "plausible": scores.plausible,
            "p_value": scores.p_value.round(4),
            "score": scores.score.round(3),
            "why": why,
        }
    )
    return table.sort_values(["score", "scan"], ascending=[False, True], ignore_index=True)


def frontal_views(files: list[Path]) -> np.ndarray:
    """(N, 1, H, W) uint8: the first view of each scan, which is frontal."""
    views = []
    for path in files:
        with np.load(path) as file:
            views.append(file["labels"][:1])
    return np.stack(views)


def _sentence(reference, scores, row: int, column: int) -> str:
    value, low, high = scores.statistics[row, column], reference.low[column], reference.high[column]
    return f"{reference.names[column].removesuffix('.0')} {value:.3g} not in {low:.3g}..{high:.3g}"


if __name__ == "__main__":
    enter(main)
