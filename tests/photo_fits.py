"""Photos of drawn faces fitted in few steps, and the parser that knows them."""

from functools import partial

import numpy as np
import pytest
import torch

from sofgan.apps import map_fit, photo_head
from sofgan.apps.style_fit import fit_look
from sofgan.labels import EYE, HAIR, L_LIP, R_NOSE, SKIN
from sofgan.labels import resize as resize_labels
from tests.drawn_faces import GREY

# Colors of drawn faces, and what they are.
COLORS = {
    GREY: 0, (50, 35, 30): HAIR, (215, 170, 145): SKIN, (205, 155, 130): R_NOSE, (240, 240, 240): EYE,
    (170, 80, 85): L_LIP,
}  # fmt: skip


class DrawnParser:
    """Tells the parts of drawn faces by their colors."""

    mean = torch.zeros(1)

    def parse(self, images, size=None, mirror=False):
        pixels = ((images[0].permute(1, 2, 0) + 1) * 127.5).numpy()
        palette = np.array(list(COLORS))
        nearest = np.square(pixels[:, :, None] - palette).sum(-1).argmin(-1)
        labels = np.array(list(COLORS.values()), np.uint8)[nearest]
        return resize_labels(labels, size or len(labels))[None]


def fit_in_few_steps(patch: pytest.MonkeyPatch) -> None:
    """Have `fit_photo` take seconds; what it finds is far from the photo."""
    patch.setattr(map_fit, "recipe", partial(map_fit.recipe, 2, 2, 2))
    patch.setattr(photo_head, "fit_look", partial(fit_look, steps=(2, 2)))
