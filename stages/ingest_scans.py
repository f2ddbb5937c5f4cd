"""Raw scans of one batch become labelled meshes in head space, with a report on each.

The parser is loaded only for scans that have colours and no labels, that of shapes for those without either.
"""

import argparse

from sofgan.scans.ingestion import ingest_batch
from sofgan.scans.unlabelled.config import NO_PARSER
from sofgan.scans.unlabelled.scan_parser import ScanParser
from stages import paths
from stages.execution.dask_shards import spread
from stages.execution.entry import enter
from stages.params import device, read_params
from stages.tracking.run import stage_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder under data/raw/scans")
    batch = parser.parse_args().batch
    params = read_params("ingest_scans")
    scans = paths.SCANS / batch
    with stage_run("ingest_scans", params, item=batch) as run:
        figures = ingest_batch(
            paths.RAW_SCANS / batch,
            scans,
            params,
            spread("ingest_scans", batch),
            progress=run,
            parser=ScanParser(paths.PHOTO_PARSER, device(), of_shape=_shape_parser()),
        )
        run.artifact(scans / "report.csv")
        run.scalars(0, figures)  # stages.batch_metrics brings those of all batches together.


def _shape_parser() -> ScanParser | None:
    """Parser of train_shape_parser; None where that stage left a few bytes, as none is wanted."""
    path = paths.SHAPE_PARSER
    return ScanParser(path, device()) if path.is_file() and path.stat().st_size > len(NO_PARSER) else None


if __name__ == "__main__":
    enter(main)
