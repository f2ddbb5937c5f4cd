"""Score everything that was trained, and draw what it makes."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import Tensor

from sofgan.errors import InputError
from sofgan.evaluation import distances, orbit_scores, portraits, style_scores, yaw_bins
from sofgan.evaluation.config import Evaluate
from sofgan.evaluation.kept_features import kept_features
from sofgan.evaluation.shards import Judges, Maps, SourceMaps, StoreMaps, painted_features, photo_features
from sofgan.evaluation.sides import sides
from sofgan.evaluation.turntable import style_rows, turntable_gif, turntable_labels, turntable_rows
from sofgan.evaluation.worst_samples import worst_samples, worst_sheet
from sofgan.files import atomic_path, sha256_file, write_bytes, write_png
from sofgan.parallel import Mapper, gpus
from sofgan.photos.store import PhotoStore
from sofgan.runtime import map_pieces, use_cpu, use_gpu
from sofgan.scores.inception import check_inception
from sofgan.scores.segmentation import ConfusionMatrix, image_mean_iou
from sofgan.seeds import torch_generator
from sofgan.siw.condition_store import EVALUATION, Conditions, shards
from sofgan.siw.condition_views import HeadSampling, sample_heads, training_reference
from sofgan.siw.model import Siw, load_siw, to_uint8
from sofgan.siw.painted_sets import paint_all
from sofgan.siw.sheets import sample_grid
from sofgan.sof.sof import Sof, load_sof
from sofgan.sof.train import validate
from sofgan.sof.view_set import instance_name, read_views, view_files
from sofgan.training import write_classes
from stages import paths
from stages.code_lists import code_digests
from stages.execution.dask_shards import over_devices, spread
from stages.execution.entry import enter
from stages.params import batches, read_params, runtime, seed
from stages.tracking.run import StageRun, stage_run

# In metrics/evaluation.json, of all figures; and the first of the distances that is measured.
HEADLINE = {"control": "control_miou"}
TURNING = {"warp_20": "warp_error_20"}  # where it was measured
DISTANCES = ("fid", "fd_lite0", "fd_lite2", "fd_parser")
WORST = (4, 8)  # rows and columns of the sheet of pictures most unlike photos
MAPS_OF_YAW = 2000  # by which the rule is fitted that tells a map's yaw, at most


def main() -> None:
    params, how = read_params("evaluate"), runtime()
    use_cpu(how.threads)
    use_gpu(how.device, exact=True)
    if params.inception_weights:
        check_inception(params.inception_weights)  # now, not after hours of painting
    sof, siw = load_sof(paths.SOF_INVERTED, how.device), load_siw(paths.SIW, how.device)
    if siw.framing is None:
        raise InputError(f"{paths.SIW} has no framing: train it by the stage train_siw")
    stores = {name: PhotoStore(path) for name, path in paths.PHOTOS.items()}
    chosen = {name: sides(store, params.images, seed(), name) for name, store in stores.items()}
    with stage_run("evaluate", params) as run:
        figures = _score_geometry(sof, params, run)
        sampling = read_params("sample_conditions").sampling
        reference = training_reference(sof) if sampling.judged else None
        heads = sampled_maps(params.sof_images, siw.generator.config.label_size)
        found, worst = _score_portraits(siw, heads, chosen, params, how.device, how.workers, run)
        figures |= found
        drawn = HeadSampling(sampling.sampling(), reference)
        orbiting = sample_heads(sof, drawn, params.orbit_heads, torch_generator(seed(), "evaluate", "orbits"))
        figures |= orbit_scores.scores(sof, orbiting, siw, params, seed(), spread("evaluate"), run)
        turned = sample_heads(sof, drawn, 1, torch_generator(seed(), "evaluate", "turntable"))
        _draw(sof, turned[0], siw, heads, params, worst, run)
        write_classes(
            paths.PLOTS / "evaluation_classes.csv",
            **{name: by_class(figures, f"{name}_iou_") for name in ("held_out_view", "control")},
        )
        run.final(figures, "evaluation", headline=headline(figures))


def sampled_maps(count: int, size: int) -> SourceMaps:
    """Label maps (size, size) of sampled heads, `count` at most: none of them was trained on."""
    maps = Conditions(paths.CONDITIONS).maps(EVALUATION)
    return SourceMaps(maps, np.arange(min(count, len(maps))), size)


def headline(figures: dict[str, float]) -> dict[str, str]:
    """Names of figures by the name that DVC shows: those that metrics/evaluation.json has."""
    distance = next((name for name in DISTANCES if name in figures), None)
    turning = {short: name for short, name in TURNING.items() if name in figures}
    return HEADLINE | ({distance: distance} if distance else {}) | turning


def by_class(figures: dict[str, float], prefix: str) -> dict[str, float]:
    """Scores of classes, by the class's name, of the figures whose names begin so."""
    return {key.removeprefix(prefix): value for key, value in figures.items() if key.startswith(prefix)}


def _score_geometry(sof: Sof, params: Evaluate, run: StageRun) -> dict[str, float]:
    """The field after both rounds on held-out views of its scans, and the fit of the inverted maps."""
    files = {instance_name(path): path for path in view_files(paths.VIEWS, batches())}
    if not files.keys() >= set(sof.training_names):
        raise InputError("models/sof_inverted.pt was trained on other scans than data/views holds")
    views = read_views([files[name] for name in sof.training_names])  # in the order of their codes
    run.text("held-out views")
    confusion, _ = validate(sof.model, views.to(sof.device), params.held_out_views or None)
    with np.load(paths.INVERTED / "inversion.npz") as inversion:
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
    siw: Siw, heads: Maps, chosen: dict, params: Evaluate, device: str, readers: int, run: StageRun
) -> tuple[dict[str, float], np.ndarray]:
    """Distances to real portraits and their floors, control, what styles change, and a sheet of the worst pictures.

    All maps that are painted are of people, or of heads, that no training saw.
    """
    inception = params.inception_weights
    files = [path for path in (paths.SIW, paths.PHOTO_PARSER, inception) if path]
    devices = gpus(device)
    judges = Judges(
        paths.SIW, paths.PHOTO_PARSER, tuple(map(sha256_file, files)), tuple(params.extractors), inception,
        params.batch, device, readers=max(1, readers // max(1, len(devices))),
    )  # fmt: skip
    if not params.inception_weights:
        run.text("no Inception weights are named (evaluate.inception_weights): FID is left out")
    with over_devices("evaluate", device) as workers:
        if workers is None:
            judges.load()  # once, before the threads that share them
            workers = partial(map_pieces, device=device)
        return _distances(siw, heads, chosen, params, judges, workers, run)


def _distances(
    siw: Siw, heads: Maps, chosen: dict, params: Evaluate, judges: Judges, workers: Mapper, run: StageRun
) -> tuple[dict[str, float], np.ndarray]:
    """Distances as `_score_portraits` gives them, of the records that `sides` chose of each set."""
    stores = {name: PhotoStore(path) for name, path in paths.PHOTOS.items()}
    map_stores = {name: PhotoStore(path) for name, path in paths.OWN_MAPS.items()}
    size, resolution = siw.generator.config.label_size, siw.resolution
    own, other = directions(read_params("train_siw").photo_sets)
    real, maps, colors = {}, {"sof": heads}, {}
    for name, store in stores.items():
        for side, indices in chosen[name].items():
            run.text(f"features of {len(indices)} {side} photos of {name}")
            shown = (
                StoreMaps(map_stores[name], indices, resolution)
                if (name, side) == (own, "held-out")
                else None
            )
            made_of = _made_of(store, indices, resolution, shown, judges)
            real[name, side], found = kept_features(
                paths.FEATURES, made_of,
                partial(photo_features, store, indices, resolution, judges, workers, run, shown),
            )  # fmt: skip
            colors |= found
            if side == "held-out":
                maps[name] = StoreMaps(map_stores[name], indices, size)

    painted, control, figures = {}, ConfusionMatrix(), {}
    for name, count in distances.pictures(real, maps, params.images, own).items():
        run.text(f"painting {count} pictures of {len(maps[name])} maps of {name}")
        painted[name], seen = painted_features(maps[name], count, seed(), name, judges, workers, run)
        control.merge(seen)
        figures[f"control_miou_{name}"] = seen.miou()
    run.text("distances")
    figures |= distances.compared(real, painted, len(maps[own]), params.kid_subset, (own, other), seed())
    photos = {side: StoreMaps(map_stores[own], indices, size) for side, indices in chosen[own].items()}
    figures |= by_yaw({side: real[own, side] for side in photos}, painted["sof"], photos, maps["sof"])
    figures |= distances.of_maps(heads, photos, params.kid_subset, seed())
    run.text("how far styles reach, and borders")
    restyled = range(min(params.restyled_maps, len(maps[other])))
    few = np.stack([maps[other].labels(index) for index in restyled])
    figures |= style_scores.scores(few, colors, judges, seed())
    first, count = next(iter(painted[own])), WORST[0] * WORST[1]
    worst = worst_samples(painted[own][first][: len(maps[own])], real[own, "training"][first], count)
    figures["unlike_photos"] = worst.unlike
    sheet = worst_sheet(worst, partial(_picture, siw, maps[own], own), WORST[1])
    figures |= portraits.control_scores(control, params.frequent_share)
    return figures | {"control_pictures": control.counts.sum() // resolution**2}, sheet


def directions(photo_sets: Sequence[str]) -> tuple[str, str]:
    """The photo set that was learned from, the first of several, and the other, whose maps are painted too."""
    own = photo_sets[0]
    (other,) = paths.PHOTOS.keys() - {own}
    return own, other


def _made_of(store: PhotoStore, indices: np.ndarray, size: int, maps: StoreMaps | None, judges: Judges):
    """What photos' features depend on."""
    return {
        "photos": store.fingerprint(),
        "records": indices.tolist(),
        "size": size,
        "maps": maps and maps.store.fingerprint(),
        "extractors": judges.extractors,
        "networks": judges.digests[1:],  # the first is the painter's
        "batch": judges.batch,
        "device": judges.device,
        "code": code_digests("evaluate"),
    }


def by_yaw(real: dict, painted: dict, photos: dict[str, Maps], heads: Maps) -> dict[str, float]:
    """Frechet distances of painted heads from photos that are turned as far, each with its floor of as many, and the
    error of the rule by which maps tell their yaw.

    Args:
        real: features by side of the photos that were learned from.
        painted: features of pictures of `heads`.
        photos: label maps by side of the same.
    """
    conditions = Conditions(paths.CONDITIONS)
    maps = conditions.maps(EVALUATION)
    known = maps.fetch(np.arange(min(len(maps), MAPS_OF_YAW)))
    poses = [conditions.seen(EVALUATION, i, "cam2world")["cam2world"] for i in range(len(shards(len(known))))]
    yaws = yaw_bins.camera_yaws(np.concatenate(poses))[: len(known)]
    rule = yaw_bins.YawOfMaps(known, yaws)

    sets = painted, real["held-out"], real["training"]
    turned = [rule.of_all(maps) for maps in (heads, photos["held-out"], photos["training"])]
    figures = yaw_bins.compare_bins(*sets, turned, "_sof_yaw", seed())
    return figures | {"yaw_error_degrees": rule.error(known, yaws)}


def _picture(siw: Siw, maps: Maps, name: str, number: int) -> np.ndarray:
    """A picture (R, R, 3) uint8 of a set, as it was scored."""
    ((_, painted),) = paint_all(siw, maps.labels(number)[None], seed(), name, 1, number)
    return to_uint8(painted)[0]


def _draw(
    sof: Sof, code: Tensor, siw: Siw, heads: Maps, params: Evaluate, worst: np.ndarray, run: StageRun
) -> None:
    """Sample grid, turntable of the head of a code with its animation, and worst samples, into data/evaluation."""
    rows, columns = params.grid
    size = siw.generator.config.label_size
    grid = sample_grid(siw, np.stack([heads.labels(row) for row in range(rows)]), columns, seed())
    w = style_rows(siw, params.turntable_styles, torch_generator(seed(), "evaluate", "turntable styles"))
    yaws = np.radians(params.turntable_yaws_degrees)
    views = turntable_labels(sof, code, siw.framing, yaws, size)
    frames = np.linspace(yaws.min(), yaws.max(), max(2, params.turntable_frames))
    table = turntable_rows(siw, views, w)
    with atomic_path(paths.EVALUATION) as folder:
        folder.mkdir()
        write_png(folder / "grid.png", grid)
        write_png(folder / "turntable.png", table)
        write_png(folder / "worst.png", worst)
        moving = turntable_labels(sof, code, siw.framing, frames, size)
        write_bytes(folder / "turntable.gif", turntable_gif(siw, moving, w))
    run.image("samples/grid", grid)
    run.image("samples/turntable", table)
    run.image("samples/worst", worst)


if __name__ == "__main__":
    enter(main)
