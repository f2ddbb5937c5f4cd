"""Groups of maps of an inversion, dealt to processes that each have a device of their own."""

import copy
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sofgan.parallel import Mapper
from sofgan.progress import SILENT, Progress
from sofgan.sof.config import InvertMasks, TrainSof
from sofgan.sof.inversion.cameras import FramingCameras
from sofgan.sof.inversion.invert import Inversion, invert
from sofgan.sof.inversion.map_encoder import MapEncoder
from sofgan.sof.sof import SofFile
from sofgan.training import Checkpoints


def invert_dealt(
    file: SofFile,
    maps: Tensor,
    config: InvertMasks,
    training: TrainSof,
    seed: int,
    mapper: Mapper,
    encoder: MapEncoder | None = None,
    known_framing: bool = False,
    checkpoints: Checkpoints | None = None,
    progress: Progress = SILENT,
) -> Inversion:
    """Inversion by the fast preset, whose groups of `maps_per_step` maps don't know of each other.

    States hold whole groups.

    Args:
        maps: (M, H, W) uint8.
        training: the field's, as `invert` wants it.
        mapper: works off the groups.
    """
    groups = list(enumerate(maps.cpu().split(config.maps_per_step)))
    found = checkpoints.latest() if checkpoints else None
    finished: list[dict[str, Tensor]] = found[1]["finished"] if found else []
    how = (config, training, seed, copy.deepcopy(encoder).cpu() if encoder else None, known_framing)
    for one in mapper(partial(_invert_group, file=file, how=how), groups[len(finished) :]):
        finished.append(one)
        progress.items(len(finished), len(groups), "groups of maps")
        if checkpoints:
            checkpoints.save(len(finished), {"finished": finished})
    whole = {name: torch.cat([one[name] for one in finished]) for name in finished[0]}
    sof = file.load()
    made = {name: whole[name].to(sof.device) for name in ("codes", "values", "free")}
    views = FramingCameras(made["values"], sof.radius, sof.intrinsics.to(sof.device), made["free"])
    model = copy.deepcopy(sof.model).requires_grad_(False)
    return Inversion(made["codes"], views, whole["miou"].numpy(), whole["fitted"].numpy(), model)


def _invert_group(group: tuple[int, Tensor], file: SofFile, how: tuple) -> dict[str, Tensor]:
    """Codes, cameras and fit of one group, on the CPU, from which they can be sent."""
    number, maps = group
    config, training, seed, encoder, known_framing = how
    sof = file.load()
    encoder = encoder.to(sof.device) if encoder else None
    found = invert(sof, maps, config, training, seed, encoder, known_framing, first_group=number)
    return {
        "codes": found.codes.cpu(),
        "values": found.views.values.detach().cpu(),
        "free": found.views.free.cpu(),
        "miou": torch.from_numpy(np.asarray(found.miou)),
        "fitted": torch.from_numpy(found.fitted),
    }
