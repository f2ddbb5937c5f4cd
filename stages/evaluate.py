"""Score everything that was trained, and draw what it makes."""

from functools import partial

import numpy as np
from torch import Tensor

from sofgan.errors import InputError
from sofgan.evaluation import orbit_scores, portraits, restyling, yaw_bins
from sofgan.evaluation.config import Evaluate
from sofgan.evaluation.shards import Judges, Maps, SourceMaps, StoreMaps, painted_features, photo_features
from sofgan.evaluation.sides import FEWEST_PHOTOS, sides
from sofgan.evaluation.turntable import style_rows, turntable_gif, turntable_labels, turntable_rows
from sofgan.files import atomic_path, sha256_file, write_bytes, write_png
from sofgan.labels import resize
from sofgan.parallel import Mapper, gpus
from sofgan.photos.store import PhotoStore
from sofgan.runtime import map_pieces, use_cpu, use_gpu
from sofgan.scores import map_distance
from sofgan.scores.inception import check_inception
from sofgan.scores.segmentation import ConfusionMatrix, image_mean_iou
from sofgan.seeds import numpy_generator, torch_generator
from sofgan.siw.condition_store import EVALUATION, Conditions, shards
from sofgan.siw.condition_views import HeadSampling, sample_heads, training_reference
from sofgan.siw.model import Siw, load_siw
from sofgan.siw.sheets import sample_grid
from sofgan.sof.sof import Sof, load_sof
from sofgan.sof.train import validate
from sofgan.sof.view_set import instance_name, read_views, view_files
from sofgan.training import write_classes
from stages import paths
from stages.execution.dask_shards import over_devices, spread
from stages.execution.entry import enter
from stages.params import batches, read_params, runtime, seed
from stages.tracking.run import StageRun, stage_run

# In metrics/evaluation.json, of all figures; and the first of the distances that is measured.
HEADLINE = {"control": "control_miou"}
TURNING = {"warp_20": "warp_error_20"}  # where it was measured
DISTANCES = ("fid", "fd_lite0", "fd_lite2", "fd_parser")
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
        figures |= _score_portraits(siw, heads, chosen, params, how.device, how.workers, run)
        drawn = HeadSampling(sampling.sampling(), reference)
        orbiting = sample_heads(sof, drawn, params.orbit_heads, torch_generator(seed(), "evaluate", "orbits"))
        figures |= orbit_scores.scores(sof, orbiting, siw, params, seed(), spread("evaluate"), run)
        turned = sample_heads(sof, drawn, 1, torch_generator(seed(), "evaluate", "turntable"))
        _draw(sof, turned[0], siw, heads, params, run)
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
) -> dict[str, float]:
    """Distances to real portraits and their floors, control, and what styles change.

    All maps that are painted are of people, or of heads, that no training saw.
    """
    inception = params.inception_weights
    digests = tuple(sha256_file(path) for path in (paths.SIW, paths.PHOTO_PARSER, inception) if path)
    devices = gpus(device)
    judges = Judges(
        paths.SIW, paths.PHOTO_PARSER, digests, tuple(params.extractors), inception, params.batch, device,
        readers=max(1, readers // max(1, len(devices))),
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
) -> dict[str, float]:
    """Distances as `_score_portraits` gives them, of the records that `sides` chose of each set."""
    stores = {name: PhotoStore(path) for name, path in paths.PHOTOS.items()}
    map_stores = {"ffhq": PhotoStore(paths.PARSED), "celebamask": stores["celebamask"]}
    size, resolution = siw.generator.config.label_size, siw.resolution
    real, maps, colors = {}, {"sof": heads}, {}
    for name, store in stores.items():
        for side, indices in chosen[name].items():
            run.text(f"features of {len(indices)} {side} photos of {name}")
            held_ffhq = (name, side) == ("ffhq", "held-out")
            real[name, side], found = photo_features(
                store, indices, resolution, judges, workers, run,
                StoreMaps(map_stores[name], indices, resolution) if held_ffhq else None,
            )  # fmt: skip
            colors |= found
            if side == "held-out":
                maps[name] = StoreMaps(map_stores[name], indices, size)

    painted, control, figures = {}, ConfusionMatrix(), {}
    for name, count in pictures(real, maps, params.images).items():
        run.text(f"painting {count} pictures of {len(maps[name])} maps of {name}")
        painted[name], seen = painted_features(maps[name], count, seed(), name, judges, workers, run)
        control.merge(seen)
        figures[f"control_miou_{name}"] = seen.miou()
    run.text("distances")
    figures |= compared(real, painted, len(maps["ffhq"]), params.kid_subset)
    photos = {side: StoreMaps(map_stores["ffhq"], indices, size) for side, indices in chosen["ffhq"].items()}
    figures |= by_yaw(real, painted["sof"], photos, maps["sof"])
    figures |= of_maps(heads, photos, params.kid_subset)
    run.text("how far styles reach")
    restyled = range(min(params.restyled_maps, len(maps["celebamask"])))
    few = np.stack([maps["celebamask"].labels(index) for index in restyled])
    figures |= restyling.scores(siw, few, colors, params.batch, seed())
    figures |= portraits.control_scores(control, params.frequent_share)
    return figures | {"control_pictures": control.counts.sum() // resolution**2}


def of_maps(heads: Maps, photos: dict[str, Maps], kid_subset: int) -> dict[str, float]:
    """Distances of sampled heads' label maps from those of photos, unpainted, with floors, and what they differ in."""

    def small(maps: Maps) -> np.ndarray:
        return np.stack([resize(maps.labels(index), map_distance.SIZE) for index in range(len(maps))])

    own, unseen, seen = (small(maps) for maps in (heads, photos["held-out"], photos["training"]))
    features = ({"fd_maps": map_distance.map_features(maps)} for maps in (own, unseen, seen))
    figures = portraits.compare(*features, "_unpainted", kid_subset, seed())
    for end, maps in (("", own), ("_floor", unseen)):
        differences = map_distance.map_differences(maps, seen)
        figures |= {f"maps_{name}_unpainted{end}": value for name, value in differences.items()}
    return figures


def pictures(real: dict, maps: dict[str, Maps], limit: int) -> dict[str, int]:
    """Numbers of pictures painted from each set of maps: one of each, and of the FFHQ-like set's, where there are
    more training photos, as many as these, in further styles."""
    counts = {name: len(maps[name]) for name in ("ffhq", "celebamask", "sof")}
    training = len(next(iter(real["ffhq", "training"].values())))
    return counts | {"ffhq": max(counts["ffhq"], min(limit, training))}


def compared(real: dict, painted: dict, held_out_maps: int, kid_subset: int) -> dict[str, float]:
    """All distances with their floors (spec, section 7): of pictures of one set's held-out maps, against another set's
    photos or its own, against photos that were trained on, which is the field's custom, and against others.

    Args:
        real: features by set and side.
        painted: features by set; of the FFHQ-like one the first `held_out_maps` are of its held-out photos' maps.
    """

    def rows(features: dict, chosen) -> dict:
        return {name: values[chosen] for name, values in features.items()}

    ffhq, unseen = real["ffhq", "training"], real["ffhq", "held-out"]
    own = rows(painted["ffhq"], slice(held_out_maps))
    figures = {}
    for suffix, *three in (
        ("", own, unseen, ffhq),
        ("_celebamask_maps", painted["celebamask"], unseen, ffhq),
        (
            "_celebamask",
            painted["celebamask"],
            real["celebamask", "held-out"],
            real["celebamask", "training"],
        ),
        ("_sof_maps", painted["sof"], unseen, ffhq),
    ):
        figures |= portraits.compare(*three, suffix, kid_subset, seed())
    # Maps of one half of the held-out photos, against the other half.
    if held_out_maps >= 2 * FEWEST_PHOTOS:
        order = numpy_generator(seed(), "evaluate", "halves").permutation(held_out_maps)
        one, other = np.sort(order[: held_out_maps // 2]), np.sort(order[held_out_maps // 2 :])
        figures |= portraits.compare(
            rows(own, one), rows(unseen, one), rows(unseen, other), "_held_out", kid_subset, seed()
        )
    if len(next(iter(painted["ffhq"].values()))) > held_out_maps:
        figures |= portraits.compare_all(painted["ffhq"], ffhq, "_repeated")
    return figures


def by_yaw(real: dict, painted: dict, photos: dict[str, Maps], heads: Maps) -> dict[str, float]:
    """Frechet distances of painted heads from photos that are turned as far, each with its floor of as many, and the
    error of the rule by which maps tell their yaw.

    Args:
        real: features by set and side.
        painted: features of pictures of `heads`.
        photos: label maps by side of the FFHQ-like photos.
    """
    conditions = Conditions(paths.CONDITIONS)
    maps = conditions.maps(EVALUATION)
    known = maps.fetch(np.arange(min(len(maps), MAPS_OF_YAW)))
    poses = [conditions.seen(EVALUATION, i, "cam2world")["cam2world"] for i in range(len(shards(len(known))))]
    yaws = yaw_bins.camera_yaws(np.concatenate(poses))[: len(known)]
    rule = yaw_bins.YawOfMaps(known, yaws)

    sets = painted, real["ffhq", "held-out"], real["ffhq", "training"]
    turned = [rule.of_all(maps) for maps in (heads, photos["held-out"], photos["training"])]
    figures = yaw_bins.compare_bins(*sets, turned, "_sof_yaw", seed())
    return figures | {"yaw_error_degrees": rule.error(known, yaws)}


def _draw(sof: Sof, code: Tensor, siw: Siw, heads: Maps, params: Evaluate, run: StageRun) -> None:
    """Sample grid, and turntable of the head of a code with its animation, into data/evaluation."""
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
        moving = turntable_labels(sof, code, siw.framing, frames, size)
        write_bytes(folder / "turntable.gif", turntable_gif(siw, moving, w))
    run.image("samples/grid", grid)
    run.image("samples/turntable", table)


if __name__ == "__main__":
    enter(main)
