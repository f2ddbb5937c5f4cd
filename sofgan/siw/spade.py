"""SPADE: gain and shift of features from the label map (paper, section 5.1)."""

import torch
from torch import Tensor, nn

from sofgan.labels import NUM_CLASSES
from sofgan.siw.config import GeneratorConfig
from sofgan.siw.operators import GAIN, EqualConv2d, leaky_relu, resize_weights, upsample2


class Spade(nn.Module):
    """Gain and shift of features from the label map: x * (1 + gamma) + beta (spec 4.2).

    gamma stays within +- `spade_gain`, where that is not 0: an unbounded gain lets rare classes glow.
    """

    def __init__(self, outputs: int, size: int, config: GeneratorConfig):
        super().__init__()
        self.size, self.limit = size, config.spade_gain
        self.map_size = min(size, config.spade_max_size)
        self.hidden = EqualConv2d(NUM_CLASSES, config.spade_hidden, 3)
        self.gain_shift = EqualConv2d(config.spade_hidden, 2 * outputs, 3)
        nn.init.normal_(self.gain_shift.weight, std=config.spade_start)

    def gain_and_shift(self, one_hot: Tensor) -> tuple[Tensor, Tensor]:
        """Depends on the map alone: computed once a map, whatever the number of styles."""
        y = leaky_relu(self.hidden(resize_weights(one_hot, self.map_size), gain=GAIN))
        y = self.gain_shift(y)
        while y.shape[-1] < self.size:
            y = upsample2(y)
        gamma, beta = y.chunk(2, 1)
        if not self.limit:
            return 1 + gamma, beta
        # tanh by the sigmoid, which on a CPU is several times as fast.
        return 1 - self.limit + 2 * self.limit * torch.sigmoid(2 * gamma), beta
