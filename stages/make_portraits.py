"""Two sets of portrait photos of generated people, one of them with masks: the embedded FFHQ and CelebAMask-HQ."""

from sofgan.avatars.portraits import make_portraits, photo_sheet
from stages import paths
from stages.execution.dask_shards import spread
from stages.execution.entry import enter
from stages.params import read_params, seed
from stages.tracking.run import stage_run

FOLDER = paths.PORTRAITS


def main() -> None:
    params = read_params("make_portraits")
    with stage_run("make_portraits", params) as run:
        figures = make_portraits(
            FOLDER,
            params,
            seed(),
            spread("make_portraits"),
            progress=run,
        )
        for name in ("ffhq", "celebamask"):
            run.image(f"portraits/{name}", photo_sheet(FOLDER / name))
        run.final(figures)


if __name__ == "__main__":
    enter(main)
