"""Heads whose truth is known from all sides, inverted from one frontal map: what became of the other sides."""

import torch
from torch import Tensor

from sofgan import runtime
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.sof.inversion.invert import Inversion
from sofgan.sof.render import render_view
from sofgan.sof.view_set import ViewSet


def frontal_views(views: ViewSet) -> Tensor:
    """(S,) indices of each instance's first view, which is its frontal one."""
    return torch.stack(
        [torch.nonzero(views.instance == instance)[0, 0] for instance in range(len(views.names))]
    )


@torch.no_grad()
def score_other_views(found: Inversion, views: ViewSet) -> ConfusionMatrix:
    """All views of S instances but their frontal ones against those of codes inverted from the frontal maps.

    Args:
        found: of `views.labels[frontal_views(views)]`.
        views: whose cameras are used: a head that was turned in its fit scores low.
    """
    views = views.to(found.codes.device)
    confusion, frontal = ConfusionMatrix(), set(frontal_views(views).tolist())

    @torch.no_grad()
    def compare(instance: int) -> ConfusionMatrix:
        seen = ConfusionMatrix()
        representation = found.model.generate(found.codes[instance : instance + 1])
        for view in torch.nonzero(views.instance == instance)[:, 0].tolist():
            if view not in frontal:
                rendered = render_view(found.model, representation, views.camera(view))
                seen.update(rendered.labels, views.labels[view])
        return seen

    for seen in runtime.map_pieces(compare, range(len(found.codes)), found.codes.device):
        confusion.merge(seen)
    return confusion
