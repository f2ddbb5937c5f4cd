"""The loss of the semantic occupancy field (paper, section 4.2): cross-entropies of rays and points; regularizers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.labels import BACKGROUND, VOID
from sofgan.sof.config import SofLoss, TrainSof
from sofgan.sof.data import RayBatch, known_points
from sofgan.sof.model import SofModel

LEAST_SOLID = 1e-7  # chance that a ray of a void pixel is stopped: keeps the loss of a sure mistake finite


def weighted_cross_entropy(
    log_probabilities: Tensor, classes: Tensor, weights: Tensor, void: bool = False
) -> Tensor:
    """Mean over rays of weight times negative log probability (…, K) of the class (…).

    Where `void` says that classes may be VOID, such a ray is judged by whether it meets anything: by the negative log
    probability that it isn't background, whichever class it is.
    """
    return -(weights * picked_classes(log_probabilities, classes, void)).mean()


def picked_classes(log_probabilities: Tensor, classes: Tensor, void: bool) -> Tensor:
    """Log probability (…) of the class of each ray, see `weighted_cross_entropy`."""
    if not void:
        return log_probabilities.gather(-1, classes[..., None])[..., 0]
    unknown = classes == VOID
    picked = log_probabilities.gather(-1, classes.masked_fill(unknown, BACKGROUND)[..., None])[..., 0]
    # Only of unknown ones: the gradient of a logarithm of 0 would be none, also where it is left out.
    log_empty = torch.where(unknown, log_probabilities[..., BACKGROUND], -1.0)
    solid = (-torch.expm1(log_empty)).clamp_min(LEAST_SOLID).log()
    return torch.where(unknown, solid, picked)


def point_cross_entropy(logits: Tensor, classes: Tensor, void: bool) -> Tensor:
    """Negative log probability (P,) of the class (P,) by logits (P, K); where it is VOID, of not being background.

    There each class gets a gradient by its share of what is there: the likelier it is, the likelier it becomes.
    """
    if not void:
        return F.cross_entropy(logits, classes, reduction="none")
    unknown = classes == VOID
    each = F.cross_entropy(logits, classes.masked_fill(unknown, BACKGROUND), reduction="none")
    return torch.where(unknown, F.softplus(logits[:, BACKGROUND] - logits[:, 1:].logsumexp(-1)), each)


def sof_loss(
    model: SofModel, batch: RayBatch, config: TrainSof, project: bool, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch and its terms. Where `project` is False only points are judged."""
    weights: SofLoss = config.loss
    codes = model.codes[batch.instances]
    representation = model.generate(codes)
    terms = {"code": codes.square().mean()}
    total = weights.code * terms["code"]
    if weights.roughness:
        terms["roughness"] = model.field.roughness(representation)
        total = total + weights.roughness * terms["roughness"]
    if weights.points and config.marcher.kind == "volume":
        points, classes = known_points(batch, config.rays, generator)
        logits = model.field.logits(representation, points.flatten(1, 2)).float()
        each = point_cross_entropy(logits.flatten(0, 1), classes.flatten(), batch.void)
        terms["points"] = (each.reshape(classes.shape).mean(-1) * batch.weights).mean()
        total = total + (weights.points if project else 1.0) * terms["points"]
    if project:
        projection = model.project(representation, batch.rays, generator, batch.depth)
        terms["cross_entropy"] = weighted_cross_entropy(
            projection.log_probabilities, batch.labels, batch.weights, batch.void
        )
        total = total + weights.cross_entropy * terms["cross_entropy"]
        if weights.negative_depth:
            terms["negative_depth"] = projection.depth.clamp_max(0).square().mean()
            total = total + weights.negative_depth * terms["negative_depth"]
    return total, terms
