"""Raw scans of one batch become labelled meshes in head space, with a report on each.

The parser is loaded only for scans that have colours and no labels, that of shapes for those without either.
"""

import argparse
from pathlib import Path

from sofgan.scans.ingestion import ingest_batch
from sofgan.scans.scan_parser import ScanParser
from sofgan.scans.shape_config import NO_PARSER
from stages.cluster import spread
from stages.entry import enter
from stages.params import device, read_params
from stages.tracking import stage_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder under data/raw/scans")
    batch = parser.parse_args().batch
    params = read_params("ingest_scans")
    scans = Path("data/scans") / batch
    with stage_run("ingest_scans", params, item=batch) as run:
        figures = ingest_batch(
            Path("data/raw/scans") / batch,
            scans,
            params,
            spread("ingest_scans", batch),
            report=lambda done, total: run.status(f"{done}/{total} scans"),
            parser=ScanParser("models/parsers/photos.pt", device(), of_shape=_shape_parser()),
        )
        run.artifact(scans / "report.csv")
        run.metrics(figures)  # stages.batch_metrics brings those of all batches together.


def _shape_parser() -> ScanParser | None:
    """That of train_shape_parser, which leaves a few bytes where none is wanted."""
    path = Path("models/parsers/shapes.pt")
    return ScanParser(path, device()) if path.is_file() and path.stat().st_size > len(NO_PARSER) else None


if __name__ == "__main__":
    enter(main)
