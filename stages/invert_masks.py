"""Find codes and cameras of real people's label maps in the trained field, and teach it those heads (round 2)."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sofgan import cameras
from sofgan.cameras import Camera
from sofgan.config import to_mapping
from sofgan.errors import InputError
from sofgan.files import atomic_path, sha256_file, write_npz, write_png
from sofgan.labels import colorize, resize
from sofgan.photos.store import HELD_OUT, PhotoStore
from sofgan.runtime import use_cpu, use_gpu
from sofgan.session import Session
from sofgan.sof.config import InvertMasks
from sofgan.sof.inversion.code_prior import fit_prior
from sofgan.sof.inversion.device_groups import invert_dealt
from sofgan.sof.inversion.fit import Recipe
from sofgan.sof.inversion.invert import Inversion, extend, invert, join, part, release
from sofgan.sof.inversion.map_encoder import train_encoder
from sofgan.sof.inversion.paper_inversion import invert_in_turns
from sofgan.sof.inversion.scores import frontal_views, score_other_views
from sofgan.sof.sof import Sof, SofFile, load_sof, save_sof
from sofgan.sof.train import validate
from sofgan.sof.view_set import ViewSet, instance_name, read_views, view_files
from stages import paths
from stages.execution.dask_shards import over_devices
from stages.execution.entry import enter
from stages.execution.sessions import forget, session
from stages.params import batches, read_params, runtime, seed
from stages.tracking.run import StageRun, stage_run

SOF = paths.SOF
SHOWN = 8
NEW_YAWS = (-0.5, 0.0, 0.5)  # radians of the new views shown
HEADLINE = {"masks": "input_miou"}  # in metrics/invert_masks.json: of all figures
OpenSession = Callable[..., Session]  # `part=`: which training
KNOWN_VIEWS = 96  # held-out views of known heads that are looked at, before and after the release


def main() -> None:
    params, training, machine = read_params("invert_masks"), read_params("train_sof"), runtime()
    use_cpu(machine.threads)
    use_gpu(machine.device, exact=True)
    sof = load_sof(SOF, machine.device)
    keys, maps = photo_maps(params)
    known, new_heads = known_and_new_views(sof, params.new_heads)
    # Scans that the field has not seen are masks like others; only of them the other sides are known.
    frontal = resize(new_heads.labels[frontal_views(new_heads)], params.size) if new_heads else maps[:0]
    new_names = new_heads.names if new_heads else []
    recipe = Recipe(params, training, known=known)
    with stage_run("invert_masks", params) as run:
        open_session = partial(
            session,
            "invert_masks",
            params,
            run,
            training=to_mapping(training),
            inputs={
                str(SOF): sha256_file(SOF),
                "maps": [keys, _digest(maps)],
                "new_heads": [new_names, _digest(frontal)],
            },
        )
        fit = fit_in_turns if params.preset == "paper" else fit_in_groups
        frozen, found = fit(sof, maps, frontal, recipe, open_session)
        people = part(found, slice(len(keys)))
        scores = {"input_miou_frozen": float(frozen.miou[: len(keys)].mean())}
        if new_heads:
            scores |= new_head_scores(part(frozen, slice(len(keys), None)), new_heads, "_frozen")
            scores |= new_head_scores(part(found, slice(len(keys), None)), new_heads, "")
        if params.released_steps:
            for name, model in {"_frozen": sof.model, "": found.model}.items():
                confusion, _ = validate(model, known.to(sof.device), KNOWN_VIEWS)
                scores[f"known_head_miou{name}"] = confusion.miou()
        scores |= {
            "input_miou": float(people.miou.mean()),
            **miou_by_set(people.miou, keys),
            "input_miou_worst": float(people.miou.min()),
            "maps": len(keys),
        }
        scores["heads"] = write(sof, people, keys, maps, params.least_miou, run)
        run.final(scores, headline=HEADLINE)
    forget("invert_masks")


def fit_in_groups(
    sof: Sof, maps: torch.Tensor, frontal: torch.Tensor, recipe: Recipe, open_session: OpenSession
) -> tuple[Inversion, Inversion]:
    """Masks and frontal maps of new heads by the fast preset, before the release and after."""
    params = recipe.config
    if params.encoder_steps:
        prior, steps = fit_prior(sof.codes), params.encoder_steps
        encoder = train_encoder(
            recipe.known.to(sof.device), sof.codes, prior, steps, seed(), open_session(part="encoder")
        )
        recipe = replace(recipe, encoder=encoder)

    def fit(name: str, label_maps: torch.Tensor, known_framing: bool) -> Inversion:
        if len(label_maps) > params.maps_per_step:
            device = runtime().device
            with over_devices("invert_masks", device) as mapper:
                if mapper is not None:
                    file, how = SofFile(SOF, sha256_file(SOF), device), open_session(part=name, dealt=True)
                    return invert_dealt(file, label_maps, recipe, seed(), mapper, how, known_framing)
        return invert(sof, label_maps, recipe, seed(), open_session(part=name), known_framing)

    frozen = fit("masks", maps, known_framing=False)
    # Scans that the field has not seen are masks like others; only of them the other sides are known.
    if len(frontal):
        frozen = join(frozen, fit("new_heads", frontal, known_framing=True))
    if not params.released_steps:
        return frozen, frozen
    everything = torch.cat([maps, frontal])
    return frozen, release(sof, frozen, everything, recipe, seed(), open_session(part="released"))


def fit_in_turns(
    sof: Sof, maps: torch.Tensor, frontal: torch.Tensor, recipe: Recipe, open_session: OpenSession
) -> tuple[Inversion, Inversion]:
    """Masks and frontal maps of new heads together by the paper's preset, each visited as often: before the release,
    and after."""
    return invert_in_turns(sof, torch.cat([maps, frontal]), recipe, seed(), open_session(part="turns"))


def miou_by_set(miou: np.ndarray, keys: list[str]) -> dict[str, float]:
    """Mean IoU of the fits of maps (M,) that were drawn by hand, and of those that were parsed, where there are any."""
    found = {}
    for name, of in (("masks", "celebamask/"), ("parsed", "ffhq/")):
        values = [value for value, key in zip(miou.tolist(), keys) if key.startswith(of)]
        if values:
            found[f"input_miou_{name}"] = float(np.mean(values))
    return found


def _digest(maps: torch.Tensor) -> str:
    """Digest of label maps: those of the same photos differ by who parsed them."""
    return hashlib.sha256(maps.cpu().numpy().tobytes()).hexdigest()


def photo_maps(params: InvertMasks) -> tuple[list[str], torch.Tensor]:
    """Names, set/key, and label maps (M, S, S) of photos: those with masks, then those that were parsed; none that is
    held out, since these heads become conditions of the generator's training.

    Raises:
        InputError: all photos of a set that is asked for are held out.
    """
    names, maps = [], []
    for name, path, most in (
        ("celebamask", paths.PHOTOS["celebamask"], params.maps),
        ("ffhq", paths.PARSED, params.parsed_maps),
    ):
        if not most:
            continue
        store = PhotoStore(path)
        # Spread over the store, where neighbours may show one person.
        places, all_keys = np.flatnonzero(store.splits() != HELD_OUT), store.keys()
        if not len(places):
            raise InputError(f"all photos of {path} are held out: lower import_photos.{name}.held_out_share")
        spread = np.linspace(0, len(places) - 1, min(most, len(places)))
        for index in places[np.unique(spread.round().astype(int))].tolist():
            names.append(f"{name}/{all_keys[index]}")
            maps.append(store.labels(index, params.size))
    return names, torch.from_numpy(np.stack(maps))


def known_and_new_views(sof: Sof, new_heads: int) -> tuple[ViewSet, ViewSet | None]:
    """Views of the field's heads, in the order of its codes, and of at most `new_heads` others."""
    files = {instance_name(path): path for path in view_files(paths.VIEWS, batches())}
    known = [files.pop(name) for name in sof.training_names]
    new: list[Path] = list(files.values())[:new_heads]
    return read_views(known), read_views(new) if new else None


def new_head_scores(found: Inversion, views: ViewSet, suffix: str) -> dict[str, float]:
    """Scores of unseen scans, on the frontal map that was given and on all other views."""
    return {
        f"new_head_input_miou{suffix}": float(found.miou.mean()),
        f"new_head_other_miou{suffix}": score_other_views(found, views).miou(),
    }


def write(
    sof: Sof, found: Inversion, keys: list[str], maps: torch.Tensor, least_miou: float, run: StageRun
) -> int:
    """The field with the codes of maps that were fitted at least so well, all that was found, and a picture: map, fit
    and new views from above to below. Returns the number of new codes."""
    good = np.flatnonzero(found.miou >= least_miou)
    extended = extend(sof, part(found, good), [keys[index] for index in good], seed())
    save_sof(paths.SOF_INVERTED, extended)
    shown = slice(min(SHOWN, len(keys)))
    poses = cameras.orbit(np.array(NEW_YAWS), np.zeros(len(NEW_YAWS)), sof.radius)
    around = Camera(poses, sof.intrinsics, found.fitted.shape[-1])
    columns = [
        np.concatenate(
            [label_map, fitted] + [view.labels.cpu().numpy() for view in extended.render_views(code, around)]
        )
        for label_map, fitted, code in zip(maps.numpy()[shown], found.fitted[shown], found.codes[shown])
    ]
    picture = colorize(np.concatenate(columns, 1))
    fitted_cameras = found.cameras()
    with atomic_path(paths.INVERTED) as folder:
        folder.mkdir()
        write_npz(
            folder / "inversion.npz",
            keys=np.array(keys),
            codes=found.codes.cpu().numpy(),
            camera_names=np.array(found.views.NAMES),
            cameras=found.views.values.detach().cpu().numpy(),
            cam2world=fitted_cameras.cam2world.cpu().numpy(),
            intrinsics=fitted_cameras.intrinsics.cpu().numpy(),
            miou=found.miou,
            joined=found.miou >= least_miou,
            labels=maps.numpy(),
            fitted=found.fitted,
        )
        write_png(folder / "inversion.png", picture)
    run.image("samples/inversion", picture)
    return len(good)


if __name__ == "__main__":
    enter(main)
