"""The two photo sets become stores: FFHQ-like photos, and CelebAMask-like photos with 17-class label maps."""

from pathlib import Path

from sofgan.faces.importing import import_photos
from sofgan.faces.sources import find_source
from stages.params import read_params, workers
from stages.tracking import stage_run


def main() -> None:
    params = read_params("import_photos")
    figures = {}
    with stage_run("import_photos", params) as run:
        for name, settings in (("ffhq", params.ffhq), ("celebamask", params.celebamask)):
            source = find_source(settings.source)
            run.status(f"{name}: {settings.source} has the layout {source.layout}")
            if name == "celebamask" and not source.labelled:
                raise SystemExit(
                    f"{settings.source} holds photos without masks; see README, 'Your own photos'"
                )
            store = Path("data/photos") / name
            result = import_photos(
                source,
                store,
                min_side_px=params.min_side_px,
                held_out_share=settings.held_out_share,
                limit=settings.limit,
                workers=workers(),
                progress=lambda done, total, name=name: run.status(f"{name}: {done}/{total} files"),
            )
            run.artifact(store / "report.csv")
            counts = ("photos", "held_out", "left_out", "noted")
            figures |= {f"{name}_{count}": getattr(result, count) for count in counts}
        run.final(figures)


if __name__ == "__main__":
    main()
