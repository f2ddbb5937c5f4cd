"""Checks of all of params.yaml at once, before anything is run; loads no torch."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from sofgan.config import ConfigError, read_yaml
from sofgan.errors import UserError
from sofgan.files import sha256_file
from sofgan.scores.inception_weights import INCEPTION_SHA256
from stages import params, paths
from stages.execution.recovery import maker
from stages.tracking.lineage import read_lock

SCANS = paths.RAW_SCANS
OPTIONAL = ("make_avatars", "make_portraits")


def check_all(root: Path) -> None:
    """See that params.yaml is valid: every block of it, and the files that it newly names.

    Raises:
        ConfigError: naming all that is wrong, a sentence each.
    """
    path = root / "params.yaml"
    faults = list(faults_of_blocks(path)) or [*faults_between_blocks(path), *faults_of_files(root)]
    if faults:
        raise ConfigError("; ".join(faults))


def faults_of_blocks(path: Path) -> Iterator[str]:
    """A sentence for each block that is missing, unknown or not valid, and for what is no block."""
    document = read_yaml(path)
    if not isinstance(document, dict):
        yield f"{path.name} is no mapping of blocks"
        return
    known = {*params.BLOCKS, *params.PLAIN}
    strangers = [key for key in document if key not in known]
    for key in strangers:
        near = difflib.get_close_matches(str(key), known - document.keys(), n=1) or difflib.get_close_matches(
            str(key), known, n=1
        )
        yield f"{path.name}: unknown block '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
    for block in params.BLOCKS:
        if block not in document:
            # Under a strange name, where there is one; and who has scans and photos makes none.
            if not strangers and block not in OPTIONAL:
                yield f"{path.name}: no block '{block}'"
            continue
        try:
            params.block_of(document[block], block, path)
        except UserError as error:
            yield str(error)
    readers = {
        "seed": params.seed_of, "batches": params.batches_of, "baselines": params.baselines_of
    }  # fmt: skip
    for key, read in readers.items():
        if key in document or not strangers:
            try:
                read(document, path)
            except UserError as error:
                yield str(error)


def faults_between_blocks(path: Path) -> Iterator[str]:
    """A sentence for each pair of blocks, all of them valid, that don't fit each other."""
    document = read_yaml(path)
    names = ("sample_conditions", "train_siw", "evaluate")
    conditions, train, evaluate = (params.block_of(document[name], name, path) for name in names)
    least = train.generator.label_size
    if not least <= conditions.size_px <= 2 * least:
        yield (
            f"{path.name}: sample_conditions.size_px lies between train_siw.generator.label_size {least} and twice "
            f"that, as windows of the maps are cut to it, not {conditions.size_px}"
        )
    if train.uses("sof") and not conditions.maps:
        yield (
            f"{path.name}: train_siw.map_proportions gives sof a share, but sample_conditions.maps is 0: set that "
            "share to 0, or have maps made"
        )
    if train.compares_views:
        yield from (f"{path.name}: {fault}" for fault in _of_compared_views(conditions, train))
    if evaluate.sof_images > conditions.evaluation_maps:
        yield (
            f"{path.name}: evaluate.sof_images {evaluate.sof_images} are more than there are "
            f"(sample_conditions.evaluation_maps {conditions.evaluation_maps})"
        )


def _of_compared_views(conditions, train) -> Iterator[str]:
    """Sentences where views of heads are to be compared, but can't be."""
    otherwise = "or train_siw.consistency_every is 0"
    resolution, views = train.generator.resolution, conditions.framing.views_per_head
    if conditions.size_px % resolution:
        yield (
            f"sample_conditions.size_px {conditions.size_px} is a multiple of train_siw.generator.resolution "
            f"{resolution}, as depth of pixels is compared, {otherwise}"
        )
    if views < 2 or conditions.maps < views:
        yield (
            f"sample_conditions.framing.views_per_head is at least 2 and sample_conditions.maps at least as many, not "
            f"{views} and {conditions.maps}, as two views of a head are compared, {otherwise}"
        )


def faults_of_files(root: Path) -> Iterator[str]:
    """A sentence for each file, folder and batch that params.yaml names anew and that is not there.

    Only what differs from what dvc.lock has of a stage that ran before: such a stage would run, and its outs would be
    lost. What was there then may well be elsewhere now, as on another machine that has only what was made of it.
    """
    document, lock = read_yaml(root / "params.yaml"), read_lock(root)
    for stage, check in FILES.items():
        before = lock.get(stage, {}).get("params", {}).get("params.yaml", {}).get(stage)
        if before is not None and before != document[stage]:
            block = params.block_of(document[stage], stage, root / "params.yaml")
            yield from check(root, block)
    yield from _batches(root, document, lock)


def _sources(root: Path, block) -> Iterator[str]:
    for name in ("ffhq", "celebamask"):
        settings = getattr(block, name)
        if not _is_had(root, settings.source) and maker(settings.source, root) is None:
            yield (
                f"params.yaml: import_photos.{name}.source: {settings.source} is not there: put the photos there, or "
                "change it"
            )
        elif settings.align == "ffhq" and not (root / settings.source / "ffhq-dataset-v2.json").is_file():
            from sofgan.photos.detection import check_weights  # It knows the files' digests.

            try:
                check_weights(root / block.weights, block.landmarks)
            except UserError as error:
                yield f"params.yaml: import_photos.{name}: {error}"


def _pretrained(root: Path, block) -> Iterator[str]:
    if block.pretrained.path:
        yield from _file(
            root,
            "train_parser.pretrained",
            block.pretrained.path,
            block.pretrained.sha256,
            "`python -m pipelines weights` fetches it",
        )


def _warm_start(root: Path, block) -> Iterator[str]:
    warm = block.warm_start
    if warm.field:
        yield from _file(root, "train_sof.warm_start", warm.field, warm.sha256, "empty trains from the start")


def _inception(root: Path, block) -> Iterator[str]:
    if block.inception_weights:
        path = block.inception_weights
        hint = "`python -m pipelines weights` fetches it; empty leaves FID out"
        yield from _file(root, "evaluate.inception_weights", path, INCEPTION_SHA256, hint)


def _photo_folders(root: Path, block) -> Iterator[str]:
    sources = params.read_params("import_photos", root / "params.yaml")
    folders = [root / getattr(sources, name).source for name in block.photo_sets]
    if not block.photo_proportions or not all(folder.is_dir() for folder in folders):
        return
    there = {path.name for folder in folders for path in folder.glob("*/")}
    for name in block.photo_proportions:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = (
                f"did you mean '{near[0]}'?"
                if near
                else f"no folder of {', '.join(map(str, folders))} is called so"
            )
            yield f"params.yaml: train_siw.photo_proportions: {name}: {hint}"


def _file(root: Path, key: str, path: str, digest: str, hint: str) -> Iterator[str]:
    if not (root / path).is_file():
        yield f"params.yaml: {key}: {path} is not there ({hint})"
    elif digest and sha256_file(root / path) != digest:
        yield f"params.yaml: {key}: {path} is not the file of that sha256"


def _is_had(root: Path, path: str) -> bool:
    """Whether a file or folder is there, or DVC holds it or a folder above it."""
    full = root / path
    holders = (holder for holder in (full, *full.parents) if holder.name)
    return full.exists() or any(holder.with_name(f"{holder.name}.dvc").is_file() for holder in holders)


def _batches(root: Path, document: dict, lock: dict) -> Iterator[str]:
    made = document["avatars"]["batches"]
    for name in document["batches"]:
        if f"ingest_scans@{name}" in lock or name in made or _is_had(root, str(SCANS / name)):
            continue
        there = [path.name for path in (root / SCANS).glob("*/")]
        near = difflib.get_close_matches(name, {*made, *there}, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "put its scans there, or take it off the list"
        yield f"params.yaml: batches: {SCANS / name} is not there; {hint}"


# Of stages whose blocks name files: what is wrong with these.
FILES = {
    "import_photos": _sources,
    "train_parser": _pretrained,
    "train_sof": _warm_start,
    "train_siw": _photo_folders,
    "evaluate": _inception,
}
