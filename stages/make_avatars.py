"""A batch of the embedded default: head-and-shoulder scans of invented people, as users' raw scans look."""

import argparse

from sofgan.avatars.batch import batch_figures, make_batch
from sofgan.files import atomic_path
from stages import paths
from stages.execution.dask_shards import spread
from stages.execution.entry import enter
from stages.params import read_params, seed
from stages.tracking.run import stage_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", required=True, help="folder to make under data/raw/scans")
    batch = parser.parse_args().batch
    params = read_params("make_avatars")
    with (
        stage_run("make_avatars", params, item=batch) as run,
        atomic_path(paths.RAW_SCANS / batch) as folder,
    ):
        parameters = make_batch(
            folder,
            batch,
            params.scans_per_batch,
            seed(),
            spread("make_avatars", batch),
            progress=run,
        )
        run.final(batch_figures(parameters))


if __name__ == "__main__":
    enter(main)
