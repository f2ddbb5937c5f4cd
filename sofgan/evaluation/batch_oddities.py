"""Scores of how odd a batch's scans look beside those of other batches."""

from pathlib import Path

import numpy as np
import pandas as pd

from sofgan.seeds import numpy_generator
from sofgan.sof.plausibility import fit_reference

LARGEST_REFERENCE = 500  # scans of other batches, so that many batches cost no more than some


TOLD = 3  # statistics that are named for a scan


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
