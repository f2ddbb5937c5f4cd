"""How many a rehearsal has of what (`FEW`), and how many there will be in their place."""

from pathlib import Path

from pipelines.dvc_stages import Planned

SETS = {"ffhq": 70_000, "celebamask": 30_000}  # photos, as published
PAPER_SCANS = 122
SCANS = 2
PHOTOS = {"ffhq": (14, 4), "celebamask": (21, 2)}  # of a rehearsal, to train on and held out
# How many a rehearsal has of what: keys of params.yaml, by their last names wherever they stand, or dotted. Whole
# numbers are at most these; others, and lists, become these. Those of `GROWING` are unlike other sizes: by them
# `stages.execution.rehearsing.run` knows tables that grow with them.
GROWING = {"images": 7, "sof_images": 5, "evaluation_maps": 10, "maps": 9}
FEW = GROWING | {
    # scans and photos
    "scans_per_batch": SCANS, "ffhq_photos": 14, "celebamask_photos": 15, "photos_per_identity": 4,
    "people": 2, "held_out_people": 1, "views_per_person": 2,
    "views_per_scan": 3, "held_out_views": 1, "sheet_scans": 2, "sheet_views": 2, "limit": 0,
    # steps, and what is looked at between them
    "steps": 2, "fit_steps": 2, "encoder_steps": 2, "released_steps": 2, "warmup_steps": 1, "patience": 0,
    "added_draws": 1, "score_every_steps": 1, "validate_every_steps": 1, "checkpoint_every_steps": 1,
    "validate_views": 2,
    # at once
    "train_parser.batch": 2, "train_shape_parser.batch": 2, "parse_faces.batch": 4, "evaluate.batch": 4,
    "instances_per_step": SCANS, "views_per_instance": 1, "rays_per_view": 64, "rays_per_map": 64, "maps_per_step": 3,
    "rehearsal_instances": 1, "parsed_maps": 4, "least_miou": 0, "starts": 2, "blend": 2, "new_heads": 1,
    "held_out_instances": 1, "reference_maps": 12, "reference_heads": 2, "reference_photos": 4,
    # pictures and figures
    "kid_subset": 3, "restyled_maps": 2, "evaluate.held_out_views": 2, "grid": [2, 2], "sample_grid": [2, 2],
    "turntable_yaws_degrees": [-15.0, 15.0], "turntable_styles": 2, "turntable_frames": 2,
    "orbit_heads": 2, "orbit_avatars": 2, "orbit_styles": 2, "orbit_yaws_degrees": [-10.0, 0.0, 10.0],
}  # fmt: skip
RUNTIME = {"device": "cpu", "workers": 1, "threads": 1, "cluster": "", "train_processes": 1}


def fewer(document: dict) -> dict:
    """params.yaml of a rehearsal: the same with few of everything, see `FEW`."""
    few = {block: _fewer(value, block, document) for block, value in document.items()}
    few["runtime"] = document["runtime"] | RUNTIME
    siw = few["train_siw"]
    # Two steps of as many pictures as a critic compares, or a share of them is accumulated.
    siw["batch"] = max(2, siw["discriminator"]["minibatch_group"])
    siw["accumulate"] = 1
    siw["photo_proportions"] = {}  # Photos that stand in lie in other folders.
    siw["kimg"] = 2 * siw["batch"] / 1000
    siw["report_every_kimg"] = siw["kimg"] / 2
    if siw["scores"]["every_kimg"]:
        siw["scores"]["every_kimg"] = siw["kimg"] / 2
    # What has no published layout of its own is looked for in this folder.
    for settings in (few["import_photos"]["ffhq"], few["import_photos"]["celebamask"]):
        if Path(settings["source"]).is_absolute():
            settings["source"] = f"data/raw/{Path(settings['source']).name}"
    few["train_sof"]["warm_start"] = few["train_sof"].get("warm_start", {}) | {"field": "", "sha256": ""}
    return few


def _fewer(value, name: str, document: dict):
    if isinstance(value, dict):
        return {key: _fewer(below, f"{name}.{key}", document) for key, below in value.items()}
    few = FEW.get(name, FEW.get(name.rpartition(".")[2]))
    if few is None or isinstance(value, str | bool):
        return value
    return min(value, few) if isinstance(value, int) and isinstance(few, int) else few


def lengths_of(
    stage: Planned, document: dict, few: dict, sets: dict[str, int]
) -> dict[int, tuple[float, str]]:
    """The few that stand for many in a stage: as many it will be, and of what."""
    found = {}
    for name, (train, held_out) in PHOTOS.items():
        share = document["import_photos"][name]["held_out_share"]
        found[train] = (sets[name] * (1 - share), f"photos of {name}")
        if share:
            found[train + held_out] = (sets[name], f"photos of {name}")
    inverted = few["invert_masks"]["maps"] + few["invert_masks"]["parsed_maps"]
    heads = SCANS * len(few["batches"]) + inverted
    maps = min(document["invert_masks"]["maps"], sets["celebamask"])
    maps += min(document["invert_masks"]["parsed_maps"], sets["ffhq"])
    found[heads] = (sets["scans"] + maps, "heads of the field")
    for block in stage.params:
        for key, value in few[block].items() if isinstance(few.get(block), dict) else ():
            if key in GROWING and value == GROWING[key]:
                found[value] = (document[block][key], f"{block}.{key}")
    return found


def set_sizes(document: dict, root: Path) -> dict[str, int]:
    """Photos of either set, and scans: those that stages make or that are here, else the published or the paper's."""
    sizes = {}
    for name, published in SETS.items():
        settings = document["import_photos"][name]
        made = settings["source"] == f"data/raw/portraits/{name}"
        there = (
            0
            if made
            else sum(1 for path in (root / settings["source"]).rglob("*") if path.suffix in PICTURES)
        )
        sizes[name] = document["make_portraits"][f"{name}_photos"] if made else there or published
        if settings["limit"]:
            sizes[name] = min(sizes[name], settings["limit"])
    made = sum(batch in document["avatars"]["batches"] for batch in document["batches"])
    sizes["scans"] = made * document["make_avatars"]["scans_per_batch"]
    if made < len(document["batches"]):
        sizes["scans"] += PAPER_SCANS
    return sizes


PICTURES = (".png", ".jpg", ".jpeg")
