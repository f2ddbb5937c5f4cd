"""Score everything that was trained, and draw what it makes."""

from functools import partial
from pathlib import Path

import numpy as np

from sofgan import cpu
from sofgan.cpu import use_cpu
from sofgan.curves import write_classes
from sofgan.errors import InputError
from sofgan.faces.store import PhotoStore
from sofgan.files import atomic_path, sha256_file, write_bytes, write_png
from sofgan.metrics import portraits, restyling
from sofgan.metrics.config import Evaluate
from sofgan.metrics.features import to_network_range
from sofgan.metrics.segmentation import ConfusionMatrix, image_mean_iou
from sofgan.metrics.shards import Judges, painted_features, photo_features
from sofgan.metrics.turntable import style_rows, turntable_gif, turntable_labels, turntable_rows
from sofgan.seeds import numpy_generator, torch_generator
from sofgan.siw.conditions import EVALUATION, Conditions
from sofgan.siw.model import Siw, load_siw
from sofgan.siw.samples import nearest, sample_grid
from sofgan.siw.sof_maps import sample_heads, training_reference
from sofgan.sof.data import instance_name, read_views, view_files
from sofgan.sof.model import Sof, load_sof
from sofgan.sof.plausibility import Reference
from sofgan.sof.train import validate
from stages.cluster import on_cluster
from stages.entry import enter
from stages.params import batches, read_params, runtime, seed
from stages.tracking import StageRun, stage_run

SIW, PARSER = Path("models/siw.pt"), Path("models/parser.pt")
# In metrics/evaluation.json, of all figures; and the first of the distances that is measured.
HEADLINE = {"control": "control_miou"}
DISTANCES = ("fid", "fd_lite0", "fd_lite2", "fd_parser")


def main() -> None:
    params, how = read_params("evaluate"), runtime()
    use_cpu(how.threads)
    sof, siw = load_sof("models/sof_inverted.pt", how.device), load_siw(SIW, how.device)
    if siw.framing is None:
        raise InputError(f"{SIW} has no framing: train it by the stage train_siw")
    with stage_run("evaluate", params) as run:
        figures = _score_geometry(sof, params, run)
        reference = training_reference(sof)
        drawn = sampled_maps(params.sof_images, siw.generator.config.label_size)
        figures |= _score_portraits(siw, drawn, params, how.device, run)
        _draw(sof, reference, siw, drawn, params, run)
        write_classes(
            "plots/evaluation_classes.csv",
            **{name: by_class(figures, f"{name}_iou_") for name in ("held_out_view", "control")},
        )
        run.final(figures, "evaluation", headline=headline(figures))


def sampled_maps(count: int, size: int) -> np.ndarray:
    """Label maps (N, size, size) of sampled heads, N at most `count`: none of them was trained on."""
    maps = Conditions("data/conditions").maps(EVALUATION)
    return nearest(maps.fetch(np.arange(min(count, len(maps)))), size)


def headline(figures: dict[str, float]) -> dict[str, str]:
    """Names of figures by the name that DVC shows: those that metrics/evaluation.json has."""
    distance = next((name for name in DISTANCES if name in figures), None)
    return HEADLINE | ({distance: distance} if distance else {})


def by_class(figures: dict[str, float], prefix: str) -> dict[str, float]:
    """Scores of classes, by the class's name, of the figures whose names begin so."""
    return {key.removeprefix(prefix): value for key, value in figures.items() if key.startswith(prefix)}


def _score_geometry(sof: Sof, params: Evaluate, run: StageRun) -> dict[str, float]:
    """The field after both rounds on held-out views of its scans, and the fit of the inverted maps."""
    files = {instance_name(path): path for path in view_files("data/views", batches())}
    if not files.keys() >= set(sof.training_names):
        raise InputError("models/sof_inverted.pt was trained on other scans than data/views holds")
    views = read_views([files[name] for name in sof.training_names])  # in the order of their codes
    run.status("held-out views")
    confusion, _ = validate(sof.model, views.to(sof.device), params.held_out_views or None)
    with np.load("data/inverted/inversion.npz") as inversion:
        truth, fitted = inversion["labels"], inversion["fitted"]
    fit = ConfusionMatrix().update(fitted, truth)
    return {
        "held_out_view_miou": confusion.miou(),
        "held_out_views": confusion.counts.sum() // views.size**2,
        **{f"held_out_view_iou_{name}": value for name, value in confusion.per_class().items()},
        "inversion_miou": fit.miou(),
        "inversion_image_miou": float(image_mean_iou(fitted, truth).mean()),
        "inversion_maps": len(truth),
    }


def _score_portraits(
    siw: Siw, drawn: np.ndarray, params: Evaluate, device: str, run: StageRun
) -> dict[str, float]:
    """Distances to real portraits, same-domain and cross-domain, their floor, and control."""
    inception = params.inception_weights
    digests = tuple(sha256_file(path) for path in (SIW, PARSER, inception) if path)
    judges = Judges(SIW, PARSER, digests, tuple(params.extractors), inception, params.batch, device)
    workers = on_cluster("evaluate", device=device)
    if workers is None:
        judges.load()  # once, before the threads that share them
        workers = partial(cpu.map_pieces, device=device)
    if not params.inception_weights:
        run.status("no Inception weights are given (evaluate.inception_weights): FID is left out")
    stores = {name: PhotoStore(f"data/photos/{name}") for name in ("ffhq", "celebamask")}
    maps = {"ffhq": PhotoStore("data/labels/ffhq"), "celebamask": stores["celebamask"]}
    chosen = {name: portraits.draw(len(store), params.images, seed(), name) for name, store in stores.items()}
    real = {}
    for name, store in stores.items():
        what = f"{len(chosen[name])} real photos of {name}"
        run.status(f"features of {what}")
        real[name] = photo_features(
            store, chosen[name], siw.resolution, judges, workers, _teller(run, "features of", what)
        )
    size = drawn.shape[1]
    labels = {
        name: np.stack([store.labels(int(i), size) for i in chosen[name]]) for name, store in maps.items()
    }
    labels["sof"] = drawn

    # Distances are of pictures painted from one set's maps against another set's photos (spec, section 7).
    comparisons = {
        "ffhq": [("", "ffhq")],
        "celebamask": [("_celebamask_maps", "ffhq"), ("_celebamask", "celebamask")],
        "sof": [("_sof_maps", "ffhq")],
    }
    control = ConfusionMatrix()
    figures = portraits.floors(real["ffhq"], seed())
    for name, pairs in comparisons.items():
        what = f"{len(labels[name])} maps of {name}"
        run.status(f"painting {what}")
        features, seen = painted_features(
            labels[name], seed(), name, judges, workers, name == "ffhq", _teller(run, "painting", what)
        )
        control.merge(seen)
        for suffix, against in pairs:
            generator = numpy_generator(seed(), "evaluate", "kid", suffix)
            figures |= portraits.distances(features, real[against], suffix, params.kid_subset, generator)
    run.status("how far styles reach")
    photos = to_network_range(
        np.stack([stores["ffhq"].image(int(i), siw.resolution) for i in chosen["ffhq"]])
    )
    photo_labels = np.stack([maps["ffhq"].labels(int(i), siw.resolution) for i in chosen["ffhq"]])
    figures |= restyling.scores(siw, labels["celebamask"], photos, photo_labels, params.restyled_maps, seed())
    figures |= portraits.control_scores(control, params.frequent_share)
    return figures | {"control_pictures": sum(len(maps) for maps in labels.values())}


def _teller(run: StageRun, doing: str, what: str):
    return lambda done: run.status(f"{doing} {done}/{what}")


def _draw(
    sof: Sof, reference: Reference | None, siw: Siw, drawn: np.ndarray, params: Evaluate, run: StageRun
) -> None:
    """Sample grid, turntable and its animation into data/evaluation."""
    rows, columns = params.grid
    size = drawn.shape[1]
    grid = sample_grid(siw, drawn[:rows], columns, seed())
    code = sample_heads(sof, reference, 1, torch_generator(seed(), "evaluate", "turntable"))[0]
    w = style_rows(siw, params.turntable_styles, torch_generator(seed(), "evaluate", "turntable styles"))
    yaws = np.radians(params.turntable_yaws_degrees)
    views = turntable_labels(sof, code, siw.framing, yaws, size)
    frames = np.linspace(yaws.min(), yaws.max(), max(2, params.turntable_frames))
    table = turntable_rows(siw, views, w)
    with atomic_path("data/evaluation") as folder:
        folder.mkdir()
        write_png(folder / "grid.png", grid)
        write_png(folder / "turntable.png", table)
        moving = turntable_labels(sof, code, siw.framing, frames, size)
        write_bytes(folder / "turntable.gif", turntable_gif(siw, moving, w))
    run.image("samples/grid", grid)
    run.image("samples/turntable", table)


if __name__ == "__main__":
    enter(main)
