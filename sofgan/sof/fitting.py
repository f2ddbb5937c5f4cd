"""Heads that a field was not trained on: codes fitted to their views while the field stays as it is.

How well such heads are shown from other sides tells what the field's space of heads can express, which held-out
views of training heads do not.
"""

import copy
import dataclasses

import numpy as np
import torch
from torch import Tensor

from sofgan.progress import SILENT, Progress
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import torch_generator
from sofgan.sof.config import TrainSof
from sofgan.sof.data import RaySampler
from sofgan.sof.model import SofModel
from sofgan.sof.train import learn, share_tasks, validate
from sofgan.sof.view_set import ViewSet
from sofgan.training import warmup_cosine

WARMUP_SHARE = 0.05


def with_codes(model: SofModel, codes: Tensor) -> SofModel:
    """The field with other instances' codes (S, Z), which alone take gradients; the model itself is left as it is."""
    twin = copy.deepcopy(model).requires_grad_(False)
    twin.codes = torch.nn.Parameter(codes.detach().clone())
    return twin


def fit_codes(
    model: SofModel,
    views: ViewSet,
    config: TrainSof,
    steps: int,
    seed: int,
    device: str | torch.device,
    progress: Progress = SILENT,
) -> Tensor:
    """Codes of unseen instances from their training views, whose cameras are known.

    The rays, the loss and the optimiser are the training's; points alone are judged for the same share of the
    steps. Every code starts at the mean of the model's.

    Args:
        model: a trained field; it is not changed.
        views: of S instances that it has not seen; their held-out views stay unseen.
        config: of its training.
        steps: for each group of `instances_per_step` instances, so for each code.

    Returns:
        (S, Z) on the device.

    Raises:
        ViewsError: an instance has no training views.
    """
    views = views.to(device)
    sampler = RaySampler(views, config.rays)
    mean = model.codes.detach().mean(0).to(device)
    points_only = int(config.points_only_share * steps) if config.marcher.kind == "volume" else 0
    total = steps * -(-len(views.names) // config.instances_per_step)
    progress.items(0, total, "steps on unseen heads")
    fitted = []
    for first in range(0, len(views.names), config.instances_per_step):
        group = torch.arange(len(views.names), device=mean.device)[first : first + config.instances_per_step]
        twin = with_codes(model, mean.expand(len(group), -1)).to(device)
        optimizer = torch.optim.Adam([twin.codes], config.code_learning_rate, (0.9, config.adam_beta2))
        for step in range(steps):
            # Codes are of the group, rays of the whole set's instances.
            generator = torch_generator(seed, "sof fit", first, step)
            batch = sampler.draw(group, config.views_per_instance, config.rays_per_view, generator)
            batch = dataclasses.replace(batch, instances=group - first)
            factor = warmup_cosine(step, steps, max(1, int(WARMUP_SHARE * steps)))
            optimizer.param_groups[0]["lr"] = config.code_learning_rate * factor
            optimizer.zero_grad(set_to_none=True)
            tasks = share_tasks(twin, batch, config, step >= points_only, generator, [twin.codes])
            learn([twin.codes], tasks, device)
            optimizer.step()
            if (step + 1) % 10 == 0:
                progress.items(len(fitted) * steps + step + 1, total, "steps on unseen heads")
        fitted.append(twin.codes.detach())
    return torch.cat(fitted)


def score_codes(
    model: SofModel, codes: Tensor, views: ViewSet, limit: int | None = None
) -> tuple[ConfusionMatrix, np.ndarray]:
    """Held-out views (`limit` of them, None: all) of instances with these codes (S, Z) against the truth, as
    `validate` does it: the confusion matrix, and a picture of truth above answer."""
    return validate(with_codes(model, codes), views.to(codes.device), limit)
