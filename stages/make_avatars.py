"""A batch of the embedded default: head-and-shoulder scans of invented people, as users' raw scans look."""

import argparse
from pathlib import Path

from sofgan.files import atomic_path
from sofgan.scans.avatars.batch import batch_figures, make_batch
from stages.cluster import spread
from stages.entry import enter
from stages.params import read_params, seed
from stages.tracking import stage_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder to make under data/raw/scans")
    batch = parser.parse_args().batch
    params = read_params("make_avatars")
    with (
        stage_run("make_avatars", params, item=batch) as run,
        atomic_path(Path("data/raw/scans") / batch) as folder,
    ):
        parameters = make_batch(
            folder,
            batch,
            params.scans_per_batch,
            seed(),
            spread("make_avatars", batch),
            report=lambda done, total: run.status(f"{done}/{total} avatars"),
        )
        run.final(batch_figures(parameters))


if __name__ == "__main__":
    enter(main)
