"""Score how odd a batch's scans look beside those of the other batches: `python -m stages.score_batch --batch NAME`.

No stage of dvc.yaml, since every batch would then depend on all: the flow `render-batch` runs it once a batch is there.
"""

import argparse

from sofgan.errors import MissingInput
from sofgan.evaluation.batch_oddities import LARGEST_REFERENCE, score
from sofgan.files import atomic_path
from sofgan.sof.plausibility import FEWEST_HEADS
from sofgan.sof.view_set import view_files
from stages import paths
from stages.execution.entry import enter
from stages.params import batches, seed
from stages.tracking.run import stage_run


def main() -> None:
    """Frontal views of data/views in; data/oddities/NAME.csv and the figures of the batch out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder under data/views")
    batch = parser.parse_args().batch
    with stage_run("score_batch", {"batch": batch}, item=batch) as run:
        own = view_files(paths.VIEWS, [batch])
        others = view_files(paths.VIEWS, [name for name in batches() if name != batch])
        if not own:
            raise MissingInput(f"no views of batch '{batch}': dvc repro render_views@{batch}")
        path = paths.ODDITIES / f"{batch}.csv"
        path.unlink(missing_ok=True)
        if len(others) < FEWEST_HEADS:
            run.text(f"{len(others)} scans of other batches are too few to judge by ({FEWEST_HEADS})")
            run.final({"scans": len(own), "reference_scans": len(others)})
            return
        table = score(own, others, seed())
        with atomic_path(path) as work:
            table.to_csv(work, index=False)
        run.artifact(path)
        odd = table[~table["plausible"]]
        run.text(f"{len(odd)} of {len(table)} scans look odd: {path}")
        figures = {"scans": len(own), "reference_scans": min(len(others), LARGEST_REFERENCE), "odd": len(odd)}
        run.final(figures)


if __name__ == "__main__":
    enter(main)
