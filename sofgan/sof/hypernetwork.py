"""The paper's hypernetwork: a code in, the weights of the scene representation Phi out (eq. 4)."""

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.sof.config import FieldConfig
from sofgan.sof.field import Field, Representation
from sofgan.sof.precision import wide_layers


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


class HyperField(Field):
    """The paper's: a four-layer Phi with layer norm, every weight of it made from the code, and a classifier."""

    def __init__(self, config: FieldConfig):
        super().__init__()
        self.feature_size = config.phi_hidden
        sizes = [3] + [config.phi_hidden] * config.phi_layers
        self.hypernetwork = Hypernetwork(config.code_size, config.hyper_hidden, sizes)
        hidden = []
        for _ in range(config.head_hidden):
            linear = nn.Linear(config.phi_hidden, config.phi_hidden)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            hidden += [linear, nn.LayerNorm(config.phi_hidden), nn.ReLU()]
        self.head = nn.Sequential(*hidden, nn.Linear(config.phi_hidden, config.num_classes))

    def generate(self, codes: Tensor) -> Representation:
        made = {}
        for index, (weight, bias) in enumerate(self.hypernetwork(codes)):
            made[f"weight{index}"], made[f"bias{index}"] = weight, bias
        return made

    def features(self, representation: Representation, points: Tensor) -> Tensor:
        values = points
        for index in range(len(representation) // 2):
            weight, bias = representation[f"weight{index}"], representation[f"bias{index}"]
            # The first layer reads coordinates, in full precision.
            with wide_layers() if index else nullcontext():
                values = torch.baddbmm(bias[:, None], values, weight.transpose(1, 2))
            values = F.relu(F.layer_norm(values.to(points), values.shape[-1:]))
        return values

    def classify(self, features: Tensor) -> Tensor:
        with wide_layers():
            features = self.head[:-1](features)
        return self.head[-1](features.to(self.head[-1].weight))
