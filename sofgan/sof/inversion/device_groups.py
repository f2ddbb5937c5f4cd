"""Groups of maps of an inversion, dealt to processes that each have a device of their own."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sofgan.parallel import Mapper
from sofgan.session import UNWATCHED, Session
from sofgan.sof.inversion.cameras import FramingCameras
from sofgan.sof.inversion.fit import Recipe
from sofgan.sof.inversion.invert import Inversion, invert
from sofgan.sof.sof import SofFile


def invert_dealt(
    file: SofFile,
    maps: Tensor,
    recipe: Recipe,
    seed: int,
    mapper: Mapper,
    session: Session = UNWATCHED,
    known_framing: bool = False,
) -> Inversion:
    """Inversion by the fast preset, as `invert` has it, whose groups of `maps_per_step` maps don't know of each other.

    States hold whole groups.

    Args:
        maps: (M, H, W) uint8.
        mapper: works off the groups.
    """
    groups = list(enumerate(maps.cpu().split(recipe.config.maps_per_step)))
    _, state = session.resume()
    finished: list[dict[str, Tensor]] = state["finished"] if state else []
    # Sent to each process: no views, which it doesn't need.
    encoder = copy.deepcopy(recipe.encoder).cpu() if recipe.encoder else None
    sent = replace(recipe, encoder=encoder, known=None)
    task = partial(_invert_group, file=file, recipe=sent, seed=seed, known_framing=known_framing)
    for one in mapper(task, groups[len(finished) :]):
        finished.append(one)
        session.progress.items(len(finished), len(groups), "groups of maps")
        session.keep(len(finished), 1, len(groups), lambda: {"finished": finished})
    whole = {name: torch.cat([one[name] for one in finished]) for name in finished[0]}
    sof = file.load()
    made = {name: whole[name].to(sof.device) for name in ("codes", "values", "free")}
    views = FramingCameras(made["values"], sof.radius, sof.intrinsics.to(sof.device), made["free"])
    model = copy.deepcopy(sof.model).requires_grad_(False)
    return Inversion(made["codes"], views, whole["miou"].numpy(), whole["fitted"].numpy(), model)


def _invert_group(
    group: tuple[int, Tensor], file: SofFile, recipe: Recipe, seed: int, known_framing: bool
) -> dict[str, Tensor]:
    """Codes, cameras and fit of one group, on the CPU, from which they can be sent."""
    number, maps = group
    sof = file.load()
    if recipe.encoder:
        recipe.encoder.to(sof.device)
    found = invert(sof, maps, recipe, seed, known_framing=known_framing, first_group=number)
    return {
        "codes": found.codes.cpu(),
        "values": found.views.values.detach().cpu(),
        "free": found.views.free.cpu(),
        "miou": torch.from_numpy(np.asarray(found.miou)),
        "fitted": torch.from_numpy(found.fitted),
    }
