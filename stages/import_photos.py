"""The two photo sets become stores: FFHQ-like photos, and CelebAMask-like photos with 17-class label maps."""

from pathlib import Path

from sofgan.photos.alignment import FaceFinder, FfhqLandmarks
from sofgan.photos.config import ImportPhotos, PhotoSource
from sofgan.photos.detection import FaceDetector, check_weights
from sofgan.photos.importing import Alignment, Selection, import_photos
from sofgan.photos.layouts import Source, SourceError, find_source
from stages.execution.entry import enter
from stages.params import read_params, runtime, workers
from stages.tracking.run import stage_run


def main() -> None:
    params = read_params("import_photos")
    figures = {}
    with stage_run("import_photos", params) as run:
        sources = {name: _source(name, params, run) for name in ("ffhq", "celebamask")}
        for name, source in sources.items():
            result = _import(name, source, params, run)
            counts = ("photos", "held_out", "validation", "people", "left_out", "noted")
            figures |= {f"{name}_{count}": getattr(result, count) for count in counts}
        run.final(figures)


def _source(name: str, params: ImportPhotos, run) -> Source:
    """A set's source, after all that could stop the stage later on is checked."""
    settings: PhotoSource = getattr(params, name)
    source = find_source(settings.source, settings.align == "ffhq", settings.void_ids)
    run.text(f"{name}: {source.folder} has the layout {source.layout}")
    if source.people:
        photos = sum(not entry.problem for entry in source.entries)
        run.text(f"{name}: who is on {len(source.people)} of {photos} photos is known")
    if name == "celebamask" and not source.labelled:
        raise SourceError(
            f"{settings.source} holds photos without masks; docs/data.md has the layouts with masks"
        )
    if settings.align == "ffhq" and source.landmarks is None:
        check_weights(params.weights, params.landmarks)
    return source


def _import(name: str, source: Source, params: ImportPhotos, run):
    settings: PhotoSource = getattr(params, name)
    store = Path("data/photos") / name
    align = Alignment(_finder(source, params), settings.align_size_px) if settings.align == "ffhq" else None
    selection = Selection(
        params.min_side_px, settings.held_out_share, settings.validation_share, settings.limit
    )
    result = import_photos(source, store, selection, align, workers(), run)
    run.artifact(store / "report.csv")
    for count, what in ((result.photos - result.held_out, "to train on"), (result.held_out, "held out")):
        if not count:
            raise SourceError(
                f"{settings.source}: of {result.photos} photos that can be used none is {what}: there must be more, or "
                "of more people"
            )
    return result


def _finder(source: Source, params: ImportPhotos) -> FaceFinder:
    if source.landmarks is not None:
        try:
            return FfhqLandmarks(source.landmarks)
        except ValueError as error:
            raise SourceError(str(error)) from error
    return FaceDetector(params.weights, params.landmarks, runtime().device)  # Only here torch is loaded.


if __name__ == "__main__":
    enter(main)
