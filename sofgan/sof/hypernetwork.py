"""The paper's hypernetwork: a code in, the weights of the scene representation Phi out (eq. 4)."""

import math

import torch
from torch import Tensor, nn


def _kaiming(linear: nn.Linear, gain: float = 1.0) -> nn.Linear:
    """SRN's initialisation: Kaiming normal over fan-in, optionally scaled; biases as torch makes them."""
    nn.init.kaiming_normal_(linear.weight, a=0.0, nonlinearity="relu", mode="fan_in")
    with torch.no_grad():
        linear.weight.mul_(gain)
    return linear


class LayerHypernetwork(nn.Module):
    """Weights of one linear layer from a code: Linear, LN, ReLU, Linear, LN, ReLU, Linear."""

    def __init__(self, code_size: int, hidden: int, in_features: int, out_features: int):
        super().__init__()
        self.shape = (out_features, in_features)
        self.network = nn.Sequential(
            _kaiming(nn.Linear(code_size, hidden)),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            _kaiming(nn.Linear(hidden, hidden)),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            _kaiming(nn.Linear(hidden, math.prod(self.shape) + out_features), gain=0.1),
        )

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """codes (B, Z) to weights (B, out, in) and biases (B, out)."""
        made = self.network(codes)
        split = math.prod(self.shape)
        return made[:, :split].unflatten(1, self.shape), made[:, split:]


class Hypernetwork(nn.Module):
    """One separate network for each layer of Phi (`sizes` = features from the input to the output)."""

    def __init__(self, code_size: int, hidden: int, sizes: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(
            LayerHypernetwork(code_size, hidden, i, o) for i, o in zip(sizes[:-1], sizes[1:])
        )

    def forward(self, codes: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [layer(codes) for layer in self.layers]
